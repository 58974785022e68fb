// x86 with AVX2 and PCLMULQDQ (Haswell, Zen): CRC-16 by tables of nibbles, CRC-64 by folding by 128 bits; the
// IP checksum by the sums of 16 words at once.
#include "core/guard_kernels/kernels.h"

#ifdef __x86_64__

#define BLKINT_TARGET __attribute__((target("avx2,pclmul")))
#include "core/guard_kernels/folding.h"
#include "core/guard_kernels/nibble_tables.h"
#include "core/guard_kernels/word_sums.h"
#include "core/guard_kernels/x86_128.h"
#include "core/guard_kernels/x86_256.h"

namespace blkint {
namespace {

bool runs_here() noexcept { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("pclmul"); }

}  // namespace

constexpr GuardKernel kAvx2Kernel{
    .name = "avx2",
    .runs_here = runs_here,
    .compute = {crc16s_by_nibbles<Bits128>, ip_checksums<Words256>, crcs_by_folding<Bits128, Crc64Folding>},
    .copy_and_compute = {copy_and_crc16s_by_nibbles<Bits128>}};

}  // namespace blkint

#endif
