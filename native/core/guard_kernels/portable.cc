// For every CPU: the plain functions, one interval after the other.
#include "core/crc16_t10dif.h"
#include "core/crc64_nvme.h"
#include "core/guard_kernels/kernels.h"
#include "core/ip_checksum.h"

namespace blkint {
namespace {

bool everywhere() noexcept { return true; }

template <auto kGuardOf>
void each(std::uint64_t before, const Intervals& intervals, std::uint64_t* guards) noexcept {
  for (std::size_t i = 0; i < intervals.count; ++i)
    guards[i] = kGuardOf(before, {intervals.at + i * intervals.stride, intervals.bytes});
}

std::uint64_t crc16_of(std::uint64_t before, std::span<const std::uint8_t> data) noexcept {
  return crc16_t10dif(static_cast<std::uint16_t>(before), data);
}

std::uint64_t ip_of(std::uint64_t before, std::span<const std::uint8_t> data) noexcept {
  return ip_checksum_behind(static_cast<std::uint16_t>(before), data);
}

}  // namespace

void plain_ip_checksums(std::uint64_t before, const Intervals& intervals, std::uint64_t* guards) noexcept {
  each<ip_of>(before, intervals, guards);
}

constexpr GuardKernel kPortableKernel{.name = "portable",
                                      .runs_here = everywhere,
                                      .compute = {each<crc16_of>, plain_ip_checksums, each<crc64_nvme>}};

}  // namespace blkint
