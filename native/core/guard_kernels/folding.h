// CRCs by carry-less multiplication (V. Gopal et al., "Fast CRC Computation for Generic Polynomials Using
// PCLMULQDQ Instruction", Intel 2009). A message M is a polynomial, and its CRC is a remainder, which does
// not change when 128 bits of it, V, with n bits behind them are replaced: V * x^n = V.high * x^(n + 64) +
// V.low * x^n, where the powers of x may be reduced before. So several vectors go over the message side by
// side until 128 bits are left, which crc_of reduces.
//
// A kernel's file includes this behind its definition of BLKINT_TARGET, the instructions that these functions
// may have. All of them are internal to that file: nothing that is compiled for one CPU can be linked into
// what runs on another.
#pragma once

#ifndef BLKINT_TARGET
#error "which instructions?"
#endif

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/crc16_t10dif.h"
#include "core/crc64_nvme.h"
#include "core/guard_kernels.h"
#include "core/guard_kernels/polynomials.h"

namespace blkint {
namespace {

// What the halves of 128 bits are multiplied by.
struct FoldFactors {
  std::uint64_t low;
  std::uint64_t high;
};

// The most significant bit of a message's first byte comes first, so that bytes are swapped on loading and
// the high half is the earlier one.
struct Crc16Folding {
  static constexpr bool kSwapsBytes = true;

  static constexpr FoldFactors over_bits(unsigned n) noexcept {
    return {.low = Crc16Polynomial::power_of_x(n), .high = Crc16Polynomial::power_of_x(n + 64)};
  }
  // What is added to the first 8 bytes of a message, as they are in memory, so that its CRC goes on from
  // `before`.
  static std::uint64_t begin(std::uint64_t before) noexcept { return (before & 0xff) << 8 | before >> 8; }
  // What a half with n bits behind it is multiplied by for the sum that remainder() takes: x^n, the x^16 of
  // the CRC itself, and the one x more. A half of 64 bits times 16 are the 79 bits.
  static constexpr std::uint64_t to_remainder(unsigned n) noexcept {
    return Crc16Polynomial::power_of_x(n + 16) << 1;
  }
  // The remainder of S, of 79 bits, given S * x, after Barrett: q = floor(S / x^16) * floor(x^79 / P) / x^63,
  // and S - q * P is left. One x more brings q to the high half of the product; what lies below bit 16 of S
  // changes nothing there.
  template <typename Narrow>
  BLKINT_TARGET static std::uint64_t remainder(typename Narrow::Vector s_times_x) noexcept {
    constexpr std::uint64_t kQuotient = std::uint64_t{1} << 63 | Crc16Polynomial::quotient(79);
    constexpr std::uint64_t kPolynomial = (std::uint64_t{1} << 16 | Crc16Polynomial::power_of_x(16)) << 1;
    static constexpr FoldFactors kFactors{.low = kQuotient, .high = kPolynomial};
    const auto factors = Narrow::factors(&kFactors);
    const auto q = Narrow::multiply_low(Narrow::without_low_2_bytes(s_times_x), factors);
    return Narrow::low(Narrow::add(s_times_x, Narrow::multiply_high(q, factors))) >> 1 & 0xffff;
  }
  // The CRC that 128 bits stand for.
  template <typename Narrow>
  BLKINT_TARGET static std::uint64_t crc_of(typename Narrow::Vector v) noexcept {
    static constexpr FoldFactors kFactors{.low = to_remainder(0), .high = to_remainder(64)};
    return remainder<Narrow>(Narrow::fold(v, Narrow::factors(&kFactors)));
  }
  static std::uint64_t plain_behind(std::uint64_t before, std::span<const std::uint8_t> data) noexcept {
    return crc16_t10dif(static_cast<std::uint16_t>(before), data);
  }
};

// The least significant bit comes first: all is reversed, the low half is the earlier one, and a product of
// reversed factors is the reversed product divided by x, for which the powers make up.
struct Crc64Folding {
  static constexpr bool kSwapsBytes = false;

  static constexpr FoldFactors over_bits(unsigned n) noexcept {
    return {.low = reverse_bits(Crc64Polynomial::power_of_x(n + 63)),
            .high = reverse_bits(Crc64Polynomial::power_of_x(n - 1))};
  }
  static std::uint64_t begin(std::uint64_t before) noexcept { return ~before; }
  // The remainder after Barrett: with H * x^64 + L the 128 bits times x^64, folded once, q = H * floor(x^128
  // / P) / x^64 and the CRC is L - q * P. Both factors are one bit too long for a half: the bit that is cut
  // off the first does not count, the other's is the q that is added by itself.
  template <typename Narrow>
  BLKINT_TARGET static std::uint64_t crc_of(typename Narrow::Vector v) noexcept {
    constexpr std::uint64_t kQuotient = reverse_bits(Crc64Polynomial::quotient(128)) << 1 | 1;
    constexpr std::uint64_t kPolynomial = reverse_bits(Crc64Polynomial::power_of_x(64)) << 1;
    constexpr FoldFactors kFactors[] = {over_bits(64), {kQuotient, 0}, {kPolynomial, 0}};
    const auto folded = Narrow::multiply_low(v, Narrow::factors(&kFactors[0]));
    const auto late = Narrow::add(folded, Narrow::high_to_low(v));
    const auto q = Narrow::multiply_low(late, Narrow::factors(&kFactors[1]));
    const auto product = Narrow::multiply_low(q, Narrow::factors(&kFactors[2]));
    return ~Narrow::low(Narrow::add(q, Narrow::high_to_low(Narrow::add(folded, product))));
  }
  static std::uint64_t plain_behind(std::uint64_t before, std::span<const std::uint8_t> data) noexcept {
    return crc64_nvme(before, data);
  }
};

template <typename Wide>
constexpr std::array<FoldFactors, Wide::kLanes> every_lane(FoldFactors factors) noexcept {
  std::array<FoldFactors, Wide::kLanes> repeated{};
  repeated.fill(factors);
  return repeated;
}

// The factors that bring every 128-bit lane of every vector to where the last lane of the last vector is;
// that lane's are 0.
template <typename Wide, typename Crc>
constexpr auto to_last_lane() noexcept {
  constexpr unsigned kLanes = Wide::kVectors * Wide::kLanes;
  std::array<FoldFactors, kLanes> factors{};
  for (unsigned lane = 0; lane + 1 < kLanes; ++lane)
    factors[lane] = Crc::over_bits(128 * (kLanes - 1 - lane));
  return factors;
}

// Takes what is left of a message after the 128 bits that stand for what came before.
template <typename Narrow, typename Crc>
BLKINT_TARGET std::uint64_t finish(typename Narrow::Vector v, const std::uint8_t* at,
                                   std::size_t left) noexcept {
  constexpr FoldFactors kBehind = Crc::over_bits(128);
  const auto behind = Narrow::factors(&kBehind);
  for (; left >= Narrow::kBytes; at += Narrow::kBytes, left -= Narrow::kBytes)
    v = Narrow::add(Narrow::fold(v, behind), Narrow::template load<Crc::kSwapsBytes>(at));
  const std::uint64_t crc = Crc::template crc_of<Narrow>(v);
  return left == 0 ? crc : Crc::plain_behind(crc, {at, left});
}

template <typename Wide, typename Crc>
BLKINT_TARGET std::uint64_t crc_by_folding(std::uint64_t before, const std::uint8_t* at,
                                           std::size_t left) noexcept {
  using Narrow = typename Wide::Narrow;
  constexpr std::size_t kStep = Wide::kVectors * Wide::kBytes;
  const std::uint64_t begin = Crc::begin(before);
  if (left < Narrow::kBytes) return Crc::plain_behind(before, {at, left});
  if (left < kStep) {
    const auto first = Narrow::add(Narrow::template load<Crc::kSwapsBytes>(at),
                                   Narrow::template from<Crc::kSwapsBytes>(begin));
    return finish<Narrow, Crc>(first, at + Narrow::kBytes, left - Narrow::kBytes);
  }

  typename Wide::Vector v[Wide::kVectors];
#pragma GCC unroll 8
  for (std::size_t k = 0; k < Wide::kVectors; ++k)
    v[k] = Wide::template load<Crc::kSwapsBytes>(at + k * Wide::kBytes);
  v[0] = Wide::add(v[0], Wide::template from<Crc::kSwapsBytes>(begin));
  alignas(64) static constexpr auto kAStep = every_lane<Wide>(Crc::over_bits(8 * kStep));
  const auto a_step = Wide::factors(kAStep.data());
  for (at += kStep, left -= kStep; left >= kStep; at += kStep, left -= kStep) {
#pragma GCC unroll 8
    for (std::size_t k = 0; k < Wide::kVectors; ++k)
      v[k] =
          Wide::add(Wide::fold(v[k], a_step), Wide::template load<Crc::kSwapsBytes>(at + k * Wide::kBytes));
  }
  alignas(64) static constexpr auto kToLast = to_last_lane<Wide, Crc>();
  auto sum = Wide::fold(v[0], Wide::factors(&kToLast[0]));
#pragma GCC unroll 8
  for (std::size_t k = 1; k < Wide::kVectors; ++k)
    sum = Wide::add(sum, Wide::fold(v[k], Wide::factors(&kToLast[k * Wide::kLanes])));
  const auto last = Wide::last_lane(v[Wide::kVectors - 1]);
  return finish<Narrow, Crc>(Narrow::add(Wide::sum_of_lanes(sum), last), at, left);
}

template <typename Wide, typename Crc>
BLKINT_TARGET void crcs_by_folding(std::uint64_t before, const Intervals& intervals,
                                   std::uint64_t* guards) noexcept {
  for (std::size_t i = 0; i < intervals.count; ++i)
    guards[i] = crc_by_folding<Wide, Crc>(before, intervals.at + i * intervals.stride, intervals.bytes);
}

}  // namespace
}  // namespace blkint
