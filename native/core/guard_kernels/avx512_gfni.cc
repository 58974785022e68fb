// x86 with AVX-512, GFNI and VPCLMULQDQ (Ice Lake, Zen 4).
//
// CRC-16 by bit matrices, not by folding: a CRC is linear over single bits, so what a byte adds to it is a
// matrix of 16 by 8 bits times that byte, and the matrix depends on its place alone. VGF2P8AFFINEQB
// multiplies 64 bytes by such matrices, those of a quadword by the same one. There is no chain of steps that
// wait for each other, no swapping of bytes and no tail; eight runs of 512 bytes are worked on at once, for
// the matrices and what is left to do in the end are shared by all.
//
// CRC-64 by folding by 512 bits; the IP checksum by the sums of 32 words at once.
#include "core/guard_kernels/kernels.h"

#ifdef __x86_64__

#include <algorithm>

// Of what GCC's own header leaves undefined on purpose.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"

#define BLKINT_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi,gfni,pclmul,vpclmulqdq")))
// Whatever the compiler would choose: what is called shares registers with its caller.
#define BLKINT_INLINED BLKINT_TARGET inline __attribute__((always_inline))
#include "core/guard_kernels/folding.h"
#include "core/guard_kernels/word_sums.h"
#include "core/guard_kernels/x86_128.h"

namespace blkint {
namespace {

constexpr std::size_t kVectorBytes = 64;
constexpr std::size_t kWords = 8;  // Quadwords of a vector, and bytes of a quadword.
constexpr std::size_t kRuns = 8;
constexpr std::size_t kRunBytes = 512;
constexpr std::size_t kRunVectors = kRunBytes / kVectorBytes;

using Quadwords = std::array<std::uint64_t, kWords>;

// x^n mod P for all n that occur.
constexpr auto kPowersOfX = [] {
  std::array<std::uint16_t, 8 * kRunBytes + 16> powers{1};
  for (std::size_t n = 1; n < powers.size(); ++n)
    powers[n] = static_cast<std::uint16_t>(Crc16Polynomial::times_x(powers[n - 1]));
  return powers;
}();

// The matrix of b -> (b * x^n mod P) >> shift, its 8 lowest bits, as VGF2P8AFFINEQB takes it: the row of bit
// i in byte 7 - i.
constexpr std::uint64_t matrix(std::size_t n, unsigned shift) noexcept {
  std::uint64_t rows = 0;
  for (unsigned from = 0; from < 8; ++from) {
    for (unsigned to = 0; to < 8; ++to) {
      const std::uint64_t bit = (kPowersOfX[n + from] >> (shift + to)) & 1;
      rows |= bit << (8 * (7 - to) + from);
    }
  }
  return rows;
}

// Matrices for the high and the low byte of a CRC.
struct ByteMatrices {
  Quadwords high;
  Quadwords low;
};

// By vector of a run: from a byte to the CRC of the run, as if every byte were the last of its quadword.
alignas(kVectorBytes) constexpr auto kOfRun = [] {
  std::array<ByteMatrices, kRunVectors> matrices{};
  for (std::size_t v = 0; v < kRunVectors; ++v) {
    for (std::size_t q = 0; q < kWords; ++q) {
      const std::size_t bytes_behind = kRunBytes - v * kVectorBytes - (q + 1) * kWords;
      matrices[v].high[q] = matrix(8 * bytes_behind + 16, 8);
      matrices[v].low[q] = matrix(8 * bytes_behind + 16, 0);
    }
  }
  return matrices;
}();

// What makes up for that: from the sums of byte b of all quadwords. Quadword b holds the matrices for it.
constexpr ByteMatrices of_byte(unsigned shift) noexcept {
  ByteMatrices matrices{};
  for (std::size_t b = 0; b < kWords; ++b) {
    const std::size_t bits_behind = 8 * (kWords - 1 - b);
    matrices.high[b] = matrix(bits_behind + shift, 8);
    matrices.low[b] = matrix(bits_behind + shift, 0);
  }
  return matrices;
}

alignas(kVectorBytes) constexpr ByteMatrices kOfHighByte = of_byte(8);
alignas(kVectorBytes) constexpr ByteMatrices kOfLowByte = of_byte(0);

// Byte s of quadword b from byte b of quadword s.
alignas(kVectorBytes) constexpr auto kTransposed = [] {
  std::array<std::uint8_t, kVectorBytes> from{};
  for (std::size_t i = 0; i < from.size(); ++i)
    from[i] = static_cast<std::uint8_t>(kWords * (i % kWords) + i / kWords);
  return from;
}();

// The compiler is kept from loading it again for each use.
BLKINT_TARGET inline __m512i load(const void* at) noexcept {
  __m512i v = _mm512_loadu_si512(at);
  asm("" : "+v"(v));
  return v;
}

BLKINT_TARGET inline __m512i multiply(__m512i bytes, __m512i matrices) noexcept {
  return _mm512_gf2p8affine_epi64_epi8(bytes, matrices, 0);
}

BLKINT_TARGET inline __m512i add(__m512i a, __m512i b) noexcept { return _mm512_xor_si512(a, b); }

BLKINT_TARGET inline __m512i add(__m512i a, __m512i b, __m512i c) noexcept {
  constexpr int kXor = 0x96;
  return _mm512_ternarylogic_epi64(a, b, c, kXor);
}

// A vector for each byte of the CRC.
struct OfBytes {
  __m512i high;
  __m512i low;
};

// Quadwords 2 k and 2 k + 1: the sums of quadwords 2 k and 2 k + 1 of either.
BLKINT_TARGET inline __m512i sums_of_two(__m512i a, __m512i b) noexcept {
  return add(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}

// Of pairs of quadwords, in the same way.
BLKINT_TARGET inline __m512i sums_of_pairs(__m512i a, __m512i b) noexcept {
  return add(_mm512_shuffle_i64x2(a, b, 0x88), _mm512_shuffle_i64x2(a, b, 0xdd));
}

using Runs = std::array<const std::uint8_t*, kRuns>;

struct Loading {
  bool from_memory;
  bool ahead;  // Whether to ask for what follows in advance: not where all of it would lie behind the end.
};

// How the vectors of runs are loaded, all of one run after the other.
struct AsTheyLie {
  BLKINT_TARGET void begin(const std::uint8_t* run, bool, bool) noexcept { at = run; }
  BLKINT_TARGET __m512i vector(std::size_t v) noexcept { return load(at + v * kVectorBytes); }

  const std::uint8_t* at = nullptr;
};

alignas(kVectorBytes) constexpr std::array<std::uint64_t, 2 * kWords> kCounted = {
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

// By whole cache lines, of which a vector takes the end of one and the beginning of the next. In cache that
// is slower by a fifth, and from memory faster by a tenth. For runs at multiples of a quadword.
struct ByLines {
  static constexpr unsigned kWholeLine = 0xff;

  // Of the lines that a run shares, `before` and `behind` say whether what precedes and follows it there is
  // the caller's too; else it is not touched.
  BLKINT_TARGET void begin(const std::uint8_t* run, bool before, bool behind) noexcept {
    const std::size_t quadwords = reinterpret_cast<std::uintptr_t>(run) % kVectorBytes / kWords;
    const std::uint8_t* const begins = run - quadwords * kWords;
    order = load(&kCounted[quadwords]);
    if (!before)
      line = _mm512_maskz_loadu_epi64(static_cast<__mmask8>(kWholeLine << quadwords), begins);
    else if (begins != at)
      line = load(begins);
    at = begins;
    mask_of_last = static_cast<__mmask8>(behind ? kWholeLine : (1U << quadwords) - 1);
  }
  BLKINT_TARGET __m512i vector(std::size_t v) noexcept {
    at += kVectorBytes;
    const __m512i next = v + 1 < kRunVectors || mask_of_last == kWholeLine
                             ? load(at)
                             : _mm512_maskz_loadu_epi64(mask_of_last, at);
    const __m512i bytes = _mm512_permutex2var_epi64(line, order, next);
    line = next;
    return bytes;
  }

  const std::uint8_t* at = nullptr;  // Of the line that was loaded last.
  __m512i line;
  __m512i order;
  __mmask8 mask_of_last = 0;
};

// So far ahead is asked for what follows: further than the eight runs that are worked on.
constexpr std::size_t kAheadBytes = 3 * kRuns * kRunBytes / 2;

// Eight runs, one after the other, as the memory's own prefetching expects it. The matrices stay in
// registers, and so does what becomes of a run: what is stored lies in the way of loads that end in the same
// 12 bits.
template <typename Loads>
class RunSums {
 public:
  BLKINT_TARGET RunSums(const Runs& runs, bool ahead) noexcept : runs_(runs), ahead_(ahead) {
#pragma GCC unroll 8
    for (std::size_t v = 0; v < kRunVectors; ++v)
      of_run_[v] = {.high = load(&kOfRun[v].high), .low = load(&kOfRun[v].low)};
  }

  // Quadword s is the sum of the quadwords of run s.
  BLKINT_INLINED OfBytes sums() noexcept {
    const OfBytes first = four(0);
    const OfBytes last = four(kRuns / 2);
    return {.high = sums_of_pairs(first.high, last.high), .low = sums_of_pairs(first.low, last.low)};
  }

 private:
  BLKINT_INLINED OfBytes four(std::size_t s) noexcept {
    const OfBytes first = two(s);
    const OfBytes last = two(s + 2);
    return {.high = sums_of_pairs(first.high, last.high), .low = sums_of_pairs(first.low, last.low)};
  }
  BLKINT_INLINED OfBytes two(std::size_t s) noexcept {
    const OfBytes first = one(s);
    const OfBytes last = one(s + 1);
    return {.high = sums_of_two(first.high, last.high), .low = sums_of_two(first.low, last.low)};
  }
  BLKINT_INLINED OfBytes one(std::size_t s) noexcept {
    if (ahead_) {
#pragma GCC unroll 8
      for (std::size_t v = 0; v < kRunVectors; ++v)
        __builtin_prefetch(runs_[s] + kAheadBytes + v * kVectorBytes);
    }
    loads_.begin(runs_[s], runs_[s] > runs_[0], s + 1 < kRuns && runs_[s + 1] > runs_[s]);
    __m512i bytes = loads_.vector(0);
    OfBytes sums{.high = multiply(bytes, of_run_[0].high), .low = multiply(bytes, of_run_[0].low)};
#pragma GCC unroll 8
    for (std::size_t v = 1; v + 1 < kRunVectors; v += 2) {
      bytes = loads_.vector(v);
      const __m512i next = loads_.vector(v + 1);
      sums.high = add(sums.high, multiply(bytes, of_run_[v].high), multiply(next, of_run_[v + 1].high));
      sums.low = add(sums.low, multiply(bytes, of_run_[v].low), multiply(next, of_run_[v + 1].low));
    }
    bytes = loads_.vector(kRunVectors - 1);
    return {.high = add(sums.high, multiply(bytes, of_run_[kRunVectors - 1].high)),
            .low = add(sums.low, multiply(bytes, of_run_[kRunVectors - 1].low))};
  }

  const Runs& runs_;
  const bool ahead_;
  OfBytes of_run_[kRunVectors];
  Loads loads_;
};

// The CRCs of eight runs, from 0, in 16 bits each.
template <typename Loads>
BLKINT_TARGET inline __m128i crcs_of_runs_by(const Runs& runs, bool ahead) noexcept {
  const OfBytes sums = RunSums<Loads>(runs, ahead).sums();
  const __m512i order = load(&kTransposed);
  const __m512i high_bytes = _mm512_permutexvar_epi8(order, sums.high);
  const __m512i low_bytes = _mm512_permutexvar_epi8(order, sums.low);
  const __m512i high_byte =
      add(multiply(high_bytes, load(&kOfHighByte.high)), multiply(low_bytes, load(&kOfLowByte.high)));
  const __m512i low_byte =
      add(multiply(high_bytes, load(&kOfHighByte.low)), multiply(low_bytes, load(&kOfLowByte.low)));
  // Over the eight quadwords: the low bytes come into the lower halves of the lanes, the high bytes into the
  // upper ones.
  const __m512i lanes =
      add(_mm512_unpacklo_epi64(low_byte, high_byte), _mm512_unpackhi_epi64(low_byte, high_byte));
  const __m256i half = _mm256_xor_si256(_mm512_castsi512_si256(lanes), _mm512_extracti64x4_epi64(lanes, 1));
  const __m128i bytes = _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  return _mm_unpacklo_epi8(bytes, _mm_srli_si128(bytes, kWords));
}

BLKINT_TARGET inline __m128i crcs_of_runs(const Runs& runs, const Loading& loading) noexcept {
  std::uintptr_t bits = 0;
  for (const std::uint8_t* run : runs) bits |= reinterpret_cast<std::uintptr_t>(run);
  return loading.from_memory && bits % kWords == 0 ? crcs_of_runs_by<ByLines>(runs, loading.ahead)
                                                   : crcs_of_runs_by<AsTheyLie>(runs, loading.ahead);
}

// A CRC with a run of zeros behind it, by its high and its low byte.
constexpr auto behind_a_run(unsigned shift) noexcept {
  std::array<std::uint16_t, 256> crcs{};
  for (std::size_t byte = 0; byte < crcs.size(); ++byte) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      if ((byte >> bit & 1) != 0) crcs[byte] ^= kPowersOfX[8 * kRunBytes + shift + bit];
    }
  }
  return crcs;
}

constexpr auto kHighBehindARun = behind_a_run(8);
constexpr auto kLowBehindARun = behind_a_run(0);

// Eight CRCs of runs that follow each other, behind a CRC `before`: products with powers of x, and what is
// left of their sum after Barrett.
constexpr std::uint64_t power_over_runs(std::size_t runs) noexcept {
  return Crc16Polynomial::power_of_x(static_cast<unsigned>(8 * kRunBytes * runs));
}

alignas(kVectorBytes) constexpr auto kOverRuns = [] {
  Quadwords powers{};
  for (std::size_t s = 0; s < kRuns; ++s) powers[s] = power_over_runs(kRuns - 1 - s);
  return powers;
}();

BLKINT_TARGET inline __m128i product(__m128i low, std::uint64_t factor) noexcept {
  return Bits128::multiply_low(low, _mm_cvtsi64_si128(static_cast<std::int64_t>(factor)));
}

BLKINT_TARGET inline std::uint64_t joined(std::uint64_t before, __m128i crcs) noexcept {
  constexpr std::uint64_t kHighest = std::uint64_t{1} << 16;
  constexpr std::uint64_t kQuotient = kHighest | Crc16Polynomial::quotient(32);
  constexpr std::uint64_t kPolynomial = kHighest | Crc16Polynomial::power_of_x(16);
  const __m512i words = _mm512_cvtepu16_epi64(crcs);
  const __m512i powers = load(kOverRuns.data());
  const __m512i products =
      add(_mm512_clmulepi64_epi128(words, powers, 0x00), _mm512_clmulepi64_epi128(words, powers, 0x11));
  const __m256i half =
      _mm256_xor_si256(_mm512_castsi512_si256(products), _mm512_extracti64x4_epi64(products, 1));
  __m128i sum = _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  sum = _mm_xor_si128(sum,
                      product(_mm_cvtsi64_si128(static_cast<std::int64_t>(before)), power_over_runs(kRuns)));
  const __m128i q = _mm_srli_epi64(product(_mm_srli_epi64(sum, 16), kQuotient), 16);
  return Bits128::low(_mm_xor_si128(sum, product(q, kPolynomial))) & 0xffff;
}

BLKINT_TARGET inline std::uint64_t crc_of_runs(std::uint64_t crc, const std::uint8_t* at, std::size_t runs,
                                               const Loading& loading) noexcept {
  for (; runs >= kRuns; at += kRuns * kRunBytes, runs -= kRuns) {
    Runs of;
    for (std::size_t s = 0; s < kRuns; ++s) of[s] = at + s * kRunBytes;
    crc = joined(crc, crcs_of_runs(of, loading));
  }
  return crc;
}

// Intervals of one run each, as many of them as fill eight; returns how many.
BLKINT_TARGET inline std::size_t crcs_of_single_runs(const Intervals& intervals, const Loading& loading,
                                                     std::uint64_t* guards) noexcept {
  std::size_t done = 0;
  for (; intervals.count - done >= kRuns; done += kRuns) {
    Runs at;
    for (std::size_t s = 0; s < kRuns; ++s) at[s] = intervals.at + (done + s) * intervals.stride;
    _mm512_storeu_si512(guards + done, _mm512_cvtepu16_epi64(crcs_of_runs(at, loading)));
  }
  return done;
}

// Intervals of few runs: eight runs may be of several intervals.
BLKINT_TARGET inline void crcs_of_few_runs(const Intervals& intervals, const Loading& loading,
                                           std::uint64_t* guards) noexcept {
  const std::size_t runs_of_one = intervals.bytes / kRunBytes;
  const std::size_t to_next = intervals.stride - (runs_of_one - 1) * kRunBytes;
  const std::uint8_t* next = intervals.at;
  std::size_t next_run = 0;
  std::size_t run = 0;
  for (std::size_t left = intervals.count * runs_of_one; left > 0;) {
    const std::size_t count = std::min(kRuns, left);
    Runs at;
    for (std::size_t s = 0; s < count; ++s) {
      at[s] = next;
      if (s + 1 == left) break;  // There may be nothing where the next would be.
      const bool ends = ++next_run == runs_of_one;
      next += ends ? to_next : kRunBytes;
      if (ends) next_run = 0;
    }
    std::fill(at.begin() + count, at.end(), at[0]);  // Worked on for nothing.
    left -= count;
    alignas(16) std::array<std::uint16_t, kRuns> crcs;
    _mm_store_si128(reinterpret_cast<__m128i*>(crcs.data()), crcs_of_runs(at, loading));
    for (std::size_t s = 0; s < count; ++s) {
      *guards = kHighBehindARun[*guards >> 8] ^ kLowBehindARun[*guards & 0xff] ^ crcs[s];
      if (++run < runs_of_one) continue;
      run = 0;
      ++guards;
    }
  }
}

BLKINT_TARGET void crc16s(std::uint64_t before, const Intervals& intervals, std::uint64_t* guards) noexcept {
  const std::size_t runs = intervals.bytes / kRunBytes;
  const Loading loading{.from_memory = intervals.from_memory,
                        .ahead = intervals.from_memory || intervals.count * runs > kAheadBytes / kRunBytes};
  Intervals part = intervals;
  if (intervals.bytes == kRunBytes && before == 0) {
    const std::size_t done = crcs_of_single_runs(intervals, loading, guards);
    if (done == intervals.count) return;
    guards += done;
    part.at += done * intervals.stride;
    part.count -= done;
  }
  // What makes no whole run, then no eight runs, then the rest.
  part.bytes = intervals.bytes % kRunBytes;
  crcs_by_folding<Bits128, Crc16Folding>(before, part, guards);
  part.at += part.bytes;
  part.bytes = runs % kRuns * kRunBytes;
  if (part.bytes > 0) crcs_of_few_runs(part, loading, guards);
  part.at += part.bytes;
  if (runs < kRuns) return;
  for (std::size_t i = 0; i < part.count; ++i)
    guards[i] = crc_of_runs(guards[i], part.at + i * part.stride, runs / kRuns * kRuns, loading);
}

struct Bits512 {
  using Vector = __m512i;
  using Narrow = Bits128;
  static constexpr std::size_t kBytes = kVectorBytes;
  static constexpr unsigned kLanes = 4;
  static constexpr unsigned kVectors = 8;

  template <bool kSwaps>
  BLKINT_TARGET static Vector load(const std::uint8_t* at) noexcept {
    static_assert(!kSwaps);
    return _mm512_loadu_si512(at);
  }
  template <bool kSwaps>
  BLKINT_TARGET static Vector from(std::uint64_t bytes) noexcept {
    return _mm512_zextsi128_si512(Bits128::from<kSwaps>(bytes));
  }
  BLKINT_TARGET static Vector factors(const FoldFactors* of_lanes) noexcept {
    return _mm512_loadu_si512(of_lanes);
  }
  BLKINT_TARGET static Vector add(Vector a, Vector b) noexcept { return _mm512_xor_si512(a, b); }
  BLKINT_TARGET static Vector fold(Vector v, Vector factors) noexcept {
    return add(_mm512_clmulepi64_epi128(v, factors, 0x00), _mm512_clmulepi64_epi128(v, factors, 0x11));
  }
  BLKINT_TARGET static __m128i sum_of_lanes(Vector v) noexcept {
    const __m256i half = _mm256_xor_si256(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
    return _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  }
  BLKINT_TARGET static __m128i last_lane(Vector v) noexcept {
    return _mm512_extracti32x4_epi32(v, kLanes - 1);
  }
};

struct Words512 {
  using Vector = __m512i;
  static constexpr std::size_t kBytes = kVectorBytes;

  BLKINT_TARGET static Vector zero() noexcept { return _mm512_setzero_si512(); }
  BLKINT_TARGET static Vector add_words(Vector sums, const std::uint8_t* at) noexcept {
    const Vector less = _mm512_xor_si512(_mm512_loadu_si512(at), _mm512_set1_epi16(INT16_MIN));
    return _mm512_add_epi32(sums, _mm512_madd_epi16(less, _mm512_set1_epi16(1)));
  }
  BLKINT_TARGET static Vector add(Vector a, Vector b) noexcept { return _mm512_add_epi32(a, b); }
  BLKINT_TARGET static std::int32_t sum_of_lanes(Vector sums) noexcept {
    return _mm512_reduce_add_epi32(sums);
  }
};

bool runs_here() noexcept {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi") &&
         __builtin_cpu_supports("gfni") && __builtin_cpu_supports("pclmul") &&
         __builtin_cpu_supports("vpclmulqdq");
}

}  // namespace

constexpr GuardKernel kAvx512GfniKernel{
    .name = "avx512-gfni",
    .runs_here = runs_here,
    .compute = {crc16s, ip_checksums<Words512>, crcs_by_folding<Bits512, Crc64Folding>}};

}  // namespace blkint

#endif
