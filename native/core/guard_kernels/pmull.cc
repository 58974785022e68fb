// ARM64 with PMULL: folding by 128 bits. The IP checksum is plain: the compiler makes vectors of it.
#include "core/guard_kernels/kernels.h"

#ifdef __aarch64__

#include <arm_neon.h>
#include <sys/auxv.h>

#define BLKINT_TARGET __attribute__((target("+crypto")))
#include "core/guard_kernels/folding.h"

namespace blkint {
namespace {

struct Bits128 {
  using Vector = uint64x2_t;
  using Narrow = Bits128;
  static constexpr std::size_t kBytes = 16;
  static constexpr unsigned kLanes = 1;
  static constexpr unsigned kVectors = 4;  // As many as hide how long a multiplication takes.

  BLKINT_TARGET static Vector swapped(Vector v) noexcept {
    const uint8x16_t halves = vrev64q_u8(vreinterpretq_u8_u64(v));
    return vreinterpretq_u64_u8(vextq_u8(halves, halves, 8));
  }
  template <bool kSwaps>
  BLKINT_TARGET static Vector load(const std::uint8_t* at) noexcept {
    const Vector v = vreinterpretq_u64_u8(vld1q_u8(at));
    return kSwaps ? swapped(v) : v;
  }
  // 8 bytes, as they are in memory, with zeros behind.
  template <bool kSwaps>
  BLKINT_TARGET static Vector from(std::uint64_t bytes) noexcept {
    const Vector v = vcombine_u64(vcreate_u64(bytes), vcreate_u64(0));
    return kSwaps ? swapped(v) : v;
  }
  BLKINT_TARGET static Vector factors(const FoldFactors* of_lanes) noexcept {
    return vld1q_u64(&of_lanes->low);
  }
  BLKINT_TARGET static Vector add(Vector a, Vector b) noexcept { return veorq_u64(a, b); }
  BLKINT_TARGET static Vector fold(Vector v, Vector factors) noexcept {
    return add(multiply_low(v, factors), multiply_high(v, factors));
  }
  BLKINT_TARGET static Vector multiply_low(Vector v, Vector factors) noexcept {
    return vreinterpretq_u64_p128(vmull_p64(vgetq_lane_p64(vreinterpretq_p64_u64(v), 0),
                                            vgetq_lane_p64(vreinterpretq_p64_u64(factors), 0)));
  }
  BLKINT_TARGET static Vector multiply_high(Vector v, Vector factors) noexcept {
    return vreinterpretq_u64_p128(vmull_high_p64(vreinterpretq_p64_u64(v), vreinterpretq_p64_u64(factors)));
  }
  BLKINT_TARGET static Vector without_low_2_bytes(Vector v) noexcept {
    return vreinterpretq_u64_u8(vextq_u8(vreinterpretq_u8_u64(v), vdupq_n_u8(0), 2));
  }
  BLKINT_TARGET static Vector high_to_low(Vector v) noexcept { return vdupq_laneq_u64(v, 1); }
  BLKINT_TARGET static std::uint64_t low(Vector v) noexcept { return vgetq_lane_u64(v, 0); }
  static Vector sum_of_lanes(Vector v) noexcept { return v; }
  static Vector last_lane(Vector v) noexcept { return v; }
};

bool runs_here() noexcept { return (getauxval(AT_HWCAP) & HWCAP_PMULL) != 0; }

}  // namespace

constexpr GuardKernel kPmullKernel{.name = "pmull",
                                   .runs_here = runs_here,
                                   .compute = {crcs_by_folding<Bits128, Crc16Folding>, plain_ip_checksums,
                                               crcs_by_folding<Bits128, Crc64Folding>}};

}  // namespace blkint

#endif
