// The kernels, a file each.
#pragma once

#include "core/guard_kernels.h"

namespace blkint {

extern const GuardKernel kPortableKernel;
#if defined(__x86_64__)
extern const GuardKernel kPclmulKernel;
extern const GuardKernel kAvx2Kernel;
extern const GuardKernel kAvx2VpclmulKernel;
extern const GuardKernel kAvx512GfniKernel;
#elif defined(__aarch64__)
extern const GuardKernel kPmullKernel;
#endif

// Plain, for kernels that have nothing better.
void plain_ip_checksums(std::uint64_t before, const Intervals& intervals, std::uint64_t* guards) noexcept;

}  // namespace blkint
