// x86 with PCLMULQDQ (Westmere, 2010): folding by 128 bits. The IP checksum is plain: the compiler makes
// vectors of it.
#include "core/guard_kernels/kernels.h"

#ifdef __x86_64__

#define BLKINT_TARGET __attribute__((target("pclmul,ssse3")))
#include "core/guard_kernels/folding.h"
#include "core/guard_kernels/x86_128.h"

namespace blkint {
namespace {

bool runs_here() noexcept { return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("ssse3"); }

}  // namespace

constexpr GuardKernel kPclmulKernel{.name = "pclmul",
                                    .runs_here = runs_here,
                                    .compute = {crcs_by_folding<Bits128, Crc16Folding>, plain_ip_checksums,
                                                crcs_by_folding<Bits128, Crc64Folding>}};

}  // namespace blkint

#endif
