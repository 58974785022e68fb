// Vectors of 256 bits for word_sums.h, with AVX2. Included behind a definition of BLKINT_TARGET, as it.
#pragma once

#include <immintrin.h>

#include "core/guard_kernels/word_sums.h"

namespace blkint {
namespace {

struct Words256 {
  using Vector = __m256i;
  static constexpr std::size_t kBytes = 32;

  BLKINT_TARGET static Vector zero() noexcept { return _mm256_setzero_si256(); }
  BLKINT_TARGET static Vector add_words(Vector sums, const std::uint8_t* at) noexcept {
    const Vector words = _mm256_loadu_si256(reinterpret_cast<const Vector*>(at));
    const Vector less = _mm256_xor_si256(words, _mm256_set1_epi16(INT16_MIN));
    return _mm256_add_epi32(sums, _mm256_madd_epi16(less, _mm256_set1_epi16(1)));
  }
  BLKINT_TARGET static Vector add(Vector a, Vector b) noexcept { return _mm256_add_epi32(a, b); }
  BLKINT_TARGET static std::int32_t sum_of_lanes(Vector sums) noexcept {
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, _MM_SHUFFLE(1, 0, 3, 2)));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, _MM_SHUFFLE(2, 3, 0, 1)));
    return _mm_cvtsi128_si32(sum);
  }
};

}  // namespace
}  // namespace blkint
