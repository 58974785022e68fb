// x86 with AVX2 and VPCLMULQDQ (Zen 3, Alder Lake): CRC-16 by tables of nibbles, CRC-64 by folding by 256
// bits; the IP checksum by the sums of 16 words at once.
#include "core/guard_kernels/kernels.h"

#ifdef __x86_64__

#define BLKINT_TARGET __attribute__((target("avx2,pclmul,vpclmulqdq")))
#include "core/guard_kernels/folding.h"
#include "core/guard_kernels/nibble_tables.h"
#include "core/guard_kernels/word_sums.h"
#include "core/guard_kernels/x86_128.h"
#include "core/guard_kernels/x86_256.h"

namespace blkint {
namespace {

struct Bits256 {
  using Vector = __m256i;
  using Narrow = Bits128;
  static constexpr std::size_t kBytes = 32;
  static constexpr unsigned kLanes = 2;
  static constexpr unsigned kVectors = 8;

  template <bool kSwaps>
  BLKINT_TARGET static Vector load(const std::uint8_t* at) noexcept {
    const Vector v = _mm256_loadu_si256(reinterpret_cast<const Vector*>(at));
    if constexpr (!kSwaps) return v;
    const __m128i order = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm256_shuffle_epi8(v, _mm256_broadcastsi128_si256(order));
  }
  template <bool kSwaps>
  BLKINT_TARGET static Vector from(std::uint64_t bytes) noexcept {
    return _mm256_zextsi128_si256(Bits128::from<kSwaps>(bytes));
  }
  BLKINT_TARGET static Vector factors(const FoldFactors* of_lanes) noexcept {
    return _mm256_loadu_si256(reinterpret_cast<const Vector*>(of_lanes));
  }
  BLKINT_TARGET static Vector add(Vector a, Vector b) noexcept { return _mm256_xor_si256(a, b); }
  BLKINT_TARGET static Vector fold(Vector v, Vector factors) noexcept {
    return add(_mm256_clmulepi64_epi128(v, factors, 0x00), _mm256_clmulepi64_epi128(v, factors, 0x11));
  }
  BLKINT_TARGET static __m128i sum_of_lanes(Vector v) noexcept {
    return _mm_xor_si128(_mm256_castsi256_si128(v), last_lane(v));
  }
  BLKINT_TARGET static __m128i last_lane(Vector v) noexcept { return _mm256_extracti128_si256(v, 1); }
};

bool runs_here() noexcept {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("pclmul") &&
         __builtin_cpu_supports("vpclmulqdq");
}

}  // namespace

constexpr GuardKernel kAvx2VpclmulKernel{
    .name = "avx2-vpclmul",
    .runs_here = runs_here,
    .compute = {crc16s_by_nibbles<Bits256>, ip_checksums<Words256>, crcs_by_folding<Bits256, Crc64Folding>},
    .copy_and_compute = {copy_and_crc16s_by_nibbles<Bits256>}};

}  // namespace blkint

#endif
