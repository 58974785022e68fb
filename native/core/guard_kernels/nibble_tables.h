// CRC-16 by tables, for CPUs whose shuffles are fast and whose carry-less multiplication is not. A CRC is
// linear over single bits, so what a message adds to it is the sum of what its nibbles add, each by its value
// and its place: one of 16 values of 16 bits. VPSHUFB looks up one byte of that for 32 nibbles at once. There
// is no chain of steps that wait for each other and no swapping of bytes.
//
// The tables of a place would be those of one byte; so all bytes of 128 bits are looked up as if they were
// the last one, and what is left in the end is a message of one byte more than 128 bits, in two parts: the
// high and the low bytes of what was looked up, by byte of the 128 bits. folding.h reduces it.
//
// Included behind a definition of BLKINT_TARGET, as folding.h.
#pragma once

#include <immintrin.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "core/copy_intervals.h"
#include "core/guard_kernels.h"
#include "core/guard_kernels/folding.h"
#include "core/guard_kernels/polynomials.h"
#include "core/guard_kernels/x86_128.h"

namespace blkint {
namespace {

// Four runs are worked on at once: so many sums, and the tables of their place, fit into sixteen registers.
constexpr std::size_t kRuns = 4;
constexpr std::size_t kRunBytes = 512;
constexpr std::size_t kRunVectors = kRunBytes / sizeof(__m256i);

// While four runs are worked on, the four that begin so many behind them are asked for, in the order of their
// addresses. Four behind, the last one would be asked for only a quarter of a round before its first bytes
// are needed.
constexpr std::size_t kRunsAhead = 6;

constexpr std::size_t kLineBytes = 64;
constexpr std::size_t kLinesOfVectors = kRuns * sizeof(__m256i) / kLineBytes;  // A vector of each run.

using Nibbles = std::array<std::uint8_t, 16>;

// The high and the low byte of what high and low nibbles add to the CRC, for the two lanes of a vector.
struct PlaceTables {
  std::array<Nibbles, 2> high_of_high;
  std::array<Nibbles, 2> low_of_high;
  std::array<Nibbles, 2> high_of_low;
  std::array<Nibbles, 2> low_of_low;
};

// By vector of a run.
alignas(32) constexpr auto kOfPlace = [] {
  std::array<PlaceTables, kRunVectors> tables{};
  std::uint64_t power = 1;  // Of x, by as many bits as there are behind the last byte of the lane.
  for (std::size_t v = kRunVectors; v-- > 0;) {
    for (std::size_t lane = 2; lane-- > 0;) {
      std::array<std::uint64_t, 8> of_bits{};
      for (auto& of_bit : of_bits) {
        of_bit = power;
        power = Crc16Polynomial::times_x(power);
      }
      for (unsigned bit = 8; bit < 128; ++bit) power = Crc16Polynomial::times_x(power);
      for (std::size_t nibble = 0; nibble < 16; ++nibble) {
        std::uint64_t low = 0;
        std::uint64_t high = 0;
        for (unsigned bit = 0; bit < 4; ++bit) {
          if ((nibble >> bit & 1) == 0) continue;
          low ^= of_bits[bit];
          high ^= of_bits[bit + 4];
        }
        tables[v].high_of_high[lane][nibble] = static_cast<std::uint8_t>(high >> 8);
        tables[v].low_of_high[lane][nibble] = static_cast<std::uint8_t>(high);
        tables[v].high_of_low[lane][nibble] = static_cast<std::uint8_t>(low >> 8);
        tables[v].low_of_low[lane][nibble] = static_cast<std::uint8_t>(low);
      }
    }
  }
  return tables;
}();

BLKINT_TARGET inline __m256i load(const void* at) noexcept {
  return _mm256_loadu_si256(static_cast<const __m256i*>(at));
}

BLKINT_TARGET inline void store(void* at, __m256i bytes) noexcept {
  _mm256_storeu_si256(static_cast<__m256i*>(at), bytes);
}

// Both lanes are of the same place by now. Byte by byte the first one is the most significant.
BLKINT_TARGET inline __m128i sum_of_lanes(__m256i v) noexcept {
  return Bits128::swapped(_mm_xor_si128(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1)));
}

// What runs stand for, each in 16 bytes: high * x^8 + low.
struct RunSums {
  __m128i high[kRuns];
  __m128i low[kRuns];
};

// Of runs `stride` bytes apart, which are copied where that is asked for. What comes where it `goes_on` is
// asked for in advance: going over four at once, the processor does not see that it is a stream. That may
// reach behind the last one, where nothing is read: asking never faults.
template <bool kCopies>
BLKINT_TARGET inline RunSums sums_of_runs(const std::uint8_t* at, std::size_t stride, bool goes_on,
                                          const Copies& copies) noexcept {
  const std::uint8_t* const ahead = goes_on ? at + kRunsAhead * stride : at;
  const __m256i nibble = _mm256_set1_epi8(15);
  // A shift by 4 bits, in the half of the processor that does no lookups (Zen 3).
  const __m256i sixteenth = _mm256_set1_epi16(1 << 12);
  __m256i high[kRuns];
  __m256i low[kRuns];
  for (std::size_t s = 0; s < kRuns; ++s) high[s] = low[s] = _mm256_setzero_si256();
  for (std::size_t v = 0; v < kRunVectors; ++v) {
    for (std::size_t line = 0; line < kLinesOfVectors; ++line)
      __builtin_prefetch(ahead + (v * kLinesOfVectors + line) * kLineBytes);
    const __m256i high_of_high = load(&kOfPlace[v].high_of_high);
    const __m256i low_of_high = load(&kOfPlace[v].low_of_high);
    const __m256i high_of_low = load(&kOfPlace[v].high_of_low);
    const __m256i low_of_low = load(&kOfPlace[v].low_of_low);
#pragma GCC unroll 4
    for (std::size_t s = 0; s < kRuns; ++s) {
      const __m256i bytes = load(at + s * stride + v * sizeof(__m256i));
      if constexpr (kCopies) store(copies.at + s * copies.stride + v * sizeof(__m256i), bytes);
      const __m256i of_low = _mm256_and_si256(bytes, nibble);
      const __m256i of_high = _mm256_and_si256(_mm256_mulhi_epu16(bytes, sixteenth), nibble);
      high[s] = _mm256_xor_si256(high[s], _mm256_shuffle_epi8(high_of_low, of_low));
      low[s] = _mm256_xor_si256(low[s], _mm256_shuffle_epi8(low_of_low, of_low));
      high[s] = _mm256_xor_si256(high[s], _mm256_shuffle_epi8(high_of_high, of_high));
      low[s] = _mm256_xor_si256(low[s], _mm256_shuffle_epi8(low_of_high, of_high));
    }
  }
  RunSums sums;
  for (std::size_t s = 0; s < kRuns; ++s) {
    sums.high[s] = sum_of_lanes(high[s]);
    sums.low[s] = sum_of_lanes(low[s]);
  }
  return sums;
}

// What brings 16 bytes over so many bits, and as many runs as there are behind one.
constexpr std::array<FoldFactors, kRuns> over_runs(unsigned bits) noexcept {
  std::array<FoldFactors, kRuns> factors{};
  for (auto& of_runs : factors) {
    of_runs = Crc16Folding::over_bits(bits);
    bits += 8 * kRunBytes;
  }
  return factors;
}

constexpr auto kHighOverRuns = over_runs(8);
constexpr auto kLowOverRuns = over_runs(0);

BLKINT_TARGET inline __m128i fold(__m128i v, const FoldFactors& factors) noexcept {
  return Bits128::fold(v, Bits128::factors(&factors));
}

// The CRC of high * x^8 + low: 16 of the 17 bytes are two halves with one byte behind them. The last byte is
// its own remainder, times x^16 and the x that remainder() takes.
BLKINT_TARGET inline std::uint64_t crc_of_sums(__m128i high, __m128i low) noexcept {
  static constexpr FoldFactors kFactors{.low = Crc16Folding::to_remainder(8),
                                        .high = Crc16Folding::to_remainder(72)};
  const __m128i halves = fold(_mm_xor_si128(high, _mm_srli_si128(low, 1)), kFactors);
  const __m128i last_byte = _mm_and_si128(low, _mm_cvtsi32_si128(0xff));
  return Crc16Folding::remainder<Bits128>(_mm_xor_si128(halves, _mm_slli_epi64(last_byte, 17)));
}

// The 128 bits that a CRC stands for with a message of so many bytes behind it: crc_of multiplies by x^16.
template <std::size_t kBytesBehind>
BLKINT_TARGET inline __m128i message_of(std::uint64_t crc) noexcept {
  constexpr FoldFactors kFactors{.low = Crc16Polynomial::power_of_x(8 * kBytesBehind - 16), .high = 0};
  return Bits128::multiply_low(_mm_cvtsi64_si128(static_cast<std::int64_t>(crc)),
                               Bits128::factors(&kFactors));
}

// Intervals of one run, four at a time; returns how many.
template <bool kCopies>
BLKINT_TARGET inline std::size_t crcs_of_single_runs(std::uint64_t before, const Intervals& intervals,
                                                     const Copies& copies, std::uint64_t* guards) noexcept {
  const __m128i earlier = message_of<kRunBytes>(before);
  std::size_t done = 0;
  for (; intervals.count - done >= kRuns; done += kRuns) {
    const std::uint8_t* const at = intervals.at + done * intervals.stride;
    const bool goes_on = intervals.from_memory || intervals.count - done > kRuns;
    const RunSums sums = sums_of_runs<kCopies>(at, intervals.stride, goes_on, copies_from(copies, done));
    for (std::size_t s = 0; s < kRuns; ++s) {
      guards[done + s] = crc_of_sums(sums.high[s], _mm_xor_si128(earlier, sums.low[s]));
    }
  }
  return done;
}

// Four runs and more of one interval, four at a time, then what is left of it. Behind it others come where it
// `goes_on`.
template <typename Wide, bool kCopies>
BLKINT_TARGET inline std::uint64_t crc_of_runs(std::uint64_t before, std::span<const std::uint8_t> interval,
                                               bool goes_on, std::uint8_t* copy) noexcept {
  constexpr std::size_t kStep = kRuns * kRunBytes;
  static constexpr FoldFactors kAStep = Crc16Folding::over_bits(8 * kStep);
  const std::size_t steps = interval.size() / kStep;
  __m128i message = message_of<kStep>(before);
  for (std::size_t step = 0; step < steps; ++step) {
    if (step > 0) message = fold(message, kAStep);
    const std::uint8_t* const at = interval.data() + step * kStep;
    const RunSums sums = sums_of_runs<kCopies>(at, kRunBytes, goes_on || step + 1 < steps,
                                               copies_from({.at = copy, .stride = kRunBytes}, step * kRuns));
    for (std::size_t s = 0; s < kRuns; ++s) {
      const std::size_t behind = kRuns - 1 - s;
      message = _mm_xor_si128(message, fold(sums.high[s], kHighOverRuns[behind]));
      message = _mm_xor_si128(message, behind == 0 ? sums.low[s] : fold(sums.low[s], kLowOverRuns[behind]));
    }
  }
  const auto rest = interval.subspan(steps * kStep);
  if constexpr (kCopies) std::memcpy(copy + steps * kStep, rest.data(), rest.size());
  if (rest.size() < kRunBytes) return finish<Bits128, Crc16Folding>(message, rest.data(), rest.size());
  return crc_by_folding<Wide, Crc16Folding>(Crc16Folding::crc_of<Bits128>(message), rest.data(), rest.size());
}

// Wide folds what makes no four runs.
template <typename Wide, bool kCopies>
BLKINT_TARGET inline void crc16s(std::uint64_t before, const Intervals& intervals, const Copies& copies,
                                 std::uint64_t* guards) noexcept {
  if (intervals.bytes >= kRuns * kRunBytes) {
    for (std::size_t i = 0; i < intervals.count; ++i) {
      const std::uint8_t* const at = intervals.at + i * intervals.stride;
      const bool goes_on = intervals.from_memory || i + 1 < intervals.count;
      guards[i] =
          crc_of_runs<Wide, kCopies>(before, {at, intervals.bytes}, goes_on, copies_from(copies, i).at);
    }
    return;
  }
  const std::size_t done =
      intervals.bytes == kRunBytes ? crcs_of_single_runs<kCopies>(before, intervals, copies, guards) : 0;
  Intervals rest = intervals;
  rest.at += done * intervals.stride;
  rest.count -= done;
  if constexpr (kCopies) copy_intervals(rest, copies_from(copies, done));
  crcs_by_folding<Wide, Crc16Folding>(before, rest, guards + done);
}

template <typename Wide>
BLKINT_TARGET void crc16s_by_nibbles(std::uint64_t before, const Intervals& intervals,
                                     std::uint64_t* guards) noexcept {
  crc16s<Wide, false>(before, intervals, {}, guards);
}

template <typename Wide>
BLKINT_TARGET void copy_and_crc16s_by_nibbles(std::uint64_t before, const Intervals& intervals,
                                              const Copies& copies, std::uint64_t* guards) noexcept {
  crc16s<Wide, true>(before, intervals, copies, guards);
}

}  // namespace
}  // namespace blkint
