// The ways to compute guards, of which the fastest that this CPU has is used: which one is known at run time
// alone.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace blkint {

enum class Guard { kCrc16T10Dif, kIpChecksum, kCrc64Nvme };

inline constexpr std::size_t kGuards = 3;

// The guard of no bytes.
constexpr std::uint64_t guard_of_nothing(Guard guard) noexcept {
  return guard == Guard::kIpChecksum ? 0xffff : 0;
}

// Interval i is at[i * stride, + bytes]. Any address and any length; a single one has no stride.
struct Intervals {
  const std::uint8_t* at;
  std::size_t stride;
  std::size_t bytes;
  std::size_t count;
  bool from_memory =
      false;  // They are part of more than caches hold. A hint: it changes how they are loaded.
};

// Writes the guard of each interval, going on from `before`, the guard of what precedes every one of them;
// before an IP checksum goes an even number of bytes.
using ComputeGuards = void (*)(std::uint64_t before, const Intervals& intervals,
                               std::uint64_t* guards) noexcept;

// Where intervals are copied to, interval i to at[i * stride]; apart from all of them. Nowhere without `at`.
struct Copies {
  std::uint8_t* at = nullptr;
  std::size_t stride = 0;
};

// Those of the intervals from `first` on; none of none.
constexpr Copies copies_from(const Copies& copies, std::size_t first) noexcept {
  return {.at = copies.at == nullptr ? nullptr : copies.at + first * copies.stride, .stride = copies.stride};
}

// As ComputeGuards, and copies the intervals.
using CopyAndComputeGuards = void (*)(std::uint64_t before, const Intervals& intervals, const Copies& copies,
                                      std::uint64_t* guards) noexcept;

struct GuardKernel {
  const char* name;
  // Whether this CPU has the instructions and this system saves their registers: CPUID and XGETBV, which
  // __builtin_cpu_supports asks both.
  bool (*runs_here)() noexcept;
  std::array<ComputeGuards, kGuards> compute;  // By Guard.
  // In one go, where that is faster than one after the other.
  std::array<CopyAndComputeGuards, kGuards> copy_and_compute{};
};

// Those of this architecture, the slowest first.
std::span<const GuardKernel* const> guard_kernels() noexcept;

// The one in use: the last that runs here, or that which was asked for.
const GuardKernel& guard_kernel() noexcept;

// From now on, in every thread. False where no kernel of that name runs here: then nothing changes.
bool use_guard_kernel(std::string_view name) noexcept;

inline void compute_guards(Guard guard, std::uint64_t before, const Intervals& intervals,
                           std::uint64_t* guards) noexcept {
  guard_kernel().compute[static_cast<std::size_t>(guard)](before, intervals, guards);
}

// The intervals should leave room in a first-level cache: it may go over them twice.
void copy_and_compute_guards(Guard guard, std::uint64_t before, const Intervals& intervals,
                             const Copies& copies, std::uint64_t* guards) noexcept;

}  // namespace blkint
