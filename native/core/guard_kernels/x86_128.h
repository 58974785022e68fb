// Vectors of 128 bits for folding.h, with PCLMULQDQ and SSSE3. Included behind a definition of BLKINT_TARGET,
// as folding.h.
#pragma once

#include <immintrin.h>

#include "core/guard_kernels/folding.h"

namespace blkint {
namespace {

struct Bits128 {
  using Vector = __m128i;
  using Narrow = Bits128;
  static constexpr std::size_t kBytes = 16;
  static constexpr unsigned kLanes = 1;
  static constexpr unsigned kVectors = 4;  // As many as hide how long a multiplication takes.

  BLKINT_TARGET static Vector swapped(Vector v) noexcept {
    return _mm_shuffle_epi8(v, _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
  }
  template <bool kSwaps>
  BLKINT_TARGET static Vector load(const std::uint8_t* at) noexcept {
    const Vector v = _mm_loadu_si128(reinterpret_cast<const Vector*>(at));
    return kSwaps ? swapped(v) : v;
  }
  // 8 bytes, as they are in memory, with zeros behind.
  template <bool kSwaps>
  BLKINT_TARGET static Vector from(std::uint64_t bytes) noexcept {
    const Vector v = _mm_cvtsi64_si128(static_cast<std::int64_t>(bytes));
    return kSwaps ? swapped(v) : v;
  }
  BLKINT_TARGET static Vector factors(const FoldFactors* of_lanes) noexcept {
    return _mm_loadu_si128(reinterpret_cast<const Vector*>(of_lanes));
  }
  BLKINT_TARGET static Vector add(Vector a, Vector b) noexcept { return _mm_xor_si128(a, b); }
  BLKINT_TARGET static Vector fold(Vector v, Vector factors) noexcept {
    return add(multiply_low(v, factors), multiply_high(v, factors));
  }
  BLKINT_TARGET static Vector multiply_low(Vector v, Vector factors) noexcept {
    return _mm_clmulepi64_si128(v, factors, 0x00);
  }
  BLKINT_TARGET static Vector multiply_high(Vector v, Vector factors) noexcept {
    return _mm_clmulepi64_si128(v, factors, 0x11);
  }
  BLKINT_TARGET static Vector without_low_2_bytes(Vector v) noexcept { return _mm_srli_si128(v, 2); }
  BLKINT_TARGET static Vector high_to_low(Vector v) noexcept { return _mm_unpackhi_epi64(v, v); }
  BLKINT_TARGET static std::uint64_t low(Vector v) noexcept {
    return static_cast<std::uint64_t>(_mm_cvtsi128_si64(v));
  }
  static Vector sum_of_lanes(Vector v) noexcept { return v; }
  static Vector last_lane(Vector v) noexcept { return v; }
};

}  // namespace
}  // namespace blkint
