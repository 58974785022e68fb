#include "core/guard_kernels.h"

#include <atomic>

#include "core/copy_intervals.h"
#include "core/guard_kernels/kernels.h"

namespace blkint {
namespace {

constexpr std::array kKernels {
  &kPortableKernel,
#if defined(__x86_64__)
      &kPclmulKernel, &kAvx2Kernel, &kAvx2VpclmulKernel, &kAvx512GfniKernel,
#elif defined(__aarch64__)
      &kPmullKernel,
#endif
};

const GuardKernel* fastest() noexcept {
  const GuardKernel* found = nullptr;
  for (const GuardKernel* kernel : kKernels) {
    if (kernel->runs_here()) found = kernel;
  }
  return found;
}

std::atomic<const GuardKernel*>& in_use() noexcept {
  static std::atomic<const GuardKernel*> kernel{fastest()};
  return kernel;
}

}  // namespace

std::span<const GuardKernel* const> guard_kernels() noexcept { return kKernels; }

const GuardKernel& guard_kernel() noexcept { return *in_use().load(std::memory_order_relaxed); }

bool use_guard_kernel(std::string_view name) noexcept {
  for (const GuardKernel* kernel : kKernels) {
    if (kernel->name != name || !kernel->runs_here()) continue;
    in_use().store(kernel, std::memory_order_relaxed);
    return true;
  }
  return false;
}

void copy_and_compute_guards(Guard guard, std::uint64_t before, const Intervals& intervals,
                             const Copies& copies, std::uint64_t* guards) noexcept {
  const GuardKernel& kernel = guard_kernel();
  const auto index = static_cast<std::size_t>(guard);
  if (const auto in_one_go = kernel.copy_and_compute[index]) {
    in_one_go(before, intervals, copies, guards);
    return;
  }
  copy_intervals(intervals, copies);
  // Of the two that which has no gaps: fewer loads go across two cache lines.
  Intervals again = intervals;
  if (copies.stride == intervals.bytes) {
    again.at = copies.at;
    again.stride = copies.stride;
  }
  kernel.compute[index](before, again, guards);
}

}  // namespace blkint
