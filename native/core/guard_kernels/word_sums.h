// IP checksums by vectors. A multiplication adds pairs of signed words into 32 bits; words are unsigned, so
// 8000h is taken from each before, by turning its highest bit over, and given back in the end.
//
// Included behind a definition of BLKINT_TARGET, as folding.h.
#pragma once

#ifndef BLKINT_TARGET
#error "which instructions?"
#endif

#include <cstddef>
#include <cstdint>

#include "core/guard_kernels.h"
#include "core/ip_checksum.h"

namespace blkint {
namespace {

// So many bytes can be added up before 32 signed bits are full: 2^15 words of at most 2^15.
constexpr std::size_t kWordSumsBytes = 65536;

// `bytes` is a multiple of a vector's, and at most kWordSumsBytes.
template <typename Words>
BLKINT_TARGET std::uint64_t sum_words(const std::uint8_t* at, std::size_t bytes) noexcept {
  auto sums = Words::zero();
  auto more_sums = Words::zero();  // Two, as one addition waits for the other.
  std::size_t done = 0;
  for (; done + 2 * Words::kBytes <= bytes; done += 2 * Words::kBytes) {
    sums = Words::add_words(sums, at + done);
    more_sums = Words::add_words(more_sums, at + done + Words::kBytes);
  }
  if (done < bytes) sums = Words::add_words(sums, at + done);
  const std::int64_t sum{Words::sum_of_lanes(Words::add(sums, more_sums))};
  return static_cast<std::uint64_t>(sum + static_cast<std::int64_t>(bytes / 2) * 0x8000);
}

template <typename Words>
BLKINT_TARGET void ip_checksums(std::uint64_t before, const Intervals& intervals,
                                std::uint64_t* guards) noexcept {
  for (std::size_t i = 0; i < intervals.count; ++i) {
    const std::uint8_t* at = intervals.at + i * intervals.stride;
    std::size_t left = intervals.bytes;
    std::uint64_t sum = 0;
    while (left >= Words::kBytes) {
      const std::size_t bytes =
          (left < kWordSumsBytes ? left : kWordSumsBytes) / Words::kBytes * Words::kBytes;
      sum += sum_words<Words>(at, bytes);
      at += bytes;
      left -= bytes;
    }
    const std::uint16_t checksum = ip_checksum_behind(static_cast<std::uint16_t>(before), sum);
    guards[i] = left == 0 ? checksum : ip_checksum_behind(checksum, {at, left});
  }
}

}  // namespace
}  // namespace blkint
