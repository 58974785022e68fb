// The constants of the kernels, made from the polynomials of the CRCs while this is compiled.
#pragma once

#include <cstdint>

namespace blkint {

// A polynomial modulo P, the coefficient of x^n in bit n; P itself is written without its highest term.
template <unsigned kDegree, std::uint64_t kPolynomial>
struct Modulo {
  // v * x mod P.
  static constexpr std::uint64_t times_x(std::uint64_t v) noexcept {
    constexpr std::uint64_t kHighest = std::uint64_t{1} << (kDegree - 1);
    return ((v & (kHighest - 1)) << 1) ^ ((v & kHighest) != 0 ? kPolynomial : 0);
  }
  // x^n mod P.
  static constexpr std::uint64_t power_of_x(unsigned n) noexcept {
    std::uint64_t v = 1;
    for (; n > 0; --n) v = times_x(v);
    return v;
  }
  // x^n / P without its highest term, x^(n - kDegree).
  static constexpr std::uint64_t quotient(unsigned n) noexcept {
    std::uint64_t rest = kPolynomial;  // x^kDegree mod P.
    std::uint64_t quotient = 0;
    for (unsigned bit = kDegree; bit < n; ++bit) {
      quotient = quotient << 1 | rest >> (kDegree - 1);
      rest = times_x(rest);
    }
    return quotient;
  }
};

using Crc16Polynomial = Modulo<16, 0x8bb7>;
using Crc64Polynomial = Modulo<64, 0xad93d23594c93659>;

constexpr std::uint64_t reverse_bits(std::uint64_t v) noexcept {
  std::uint64_t reversed = 0;
  for (int bit = 0; bit < 64; ++bit) reversed = reversed << 1 | ((v >> bit) & 1);
  return reversed;
}

}  // namespace blkint
