#include "core/ip_checksum.h"

#include <bit>
#include <cstddef>
#include <cstring>

namespace blkint {
namespace {

// 2^16 is 1 modulo FFFFh: the halves of a sum may be added up.
std::uint32_t fold(std::uint64_t sum) noexcept {
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint32_t>(sum);
}

std::uint32_t swap_bytes(std::uint32_t word) noexcept { return ((word << 8) | (word >> 8)) & 0xffff; }

// The ones' complement sum of the words in the machine's own byte order, 0 to FFFFh. The sum of the
// byte-swapped words is the byte-swapped sum, so words need not be swapped one by one.
std::uint32_t sum_words(std::span<const std::uint8_t> data) noexcept {
  const std::uint8_t* at = data.data();
  std::size_t left = data.size();
  std::uint64_t sum = 0;  // 2^32 words of 32 bits fit.
  for (; left >= sizeof(std::uint32_t); at += sizeof(std::uint32_t), left -= sizeof(std::uint32_t)) {
    std::uint32_t words;
    std::memcpy(&words, at, sizeof words);
    sum += words;
  }
  std::uint32_t tail = 0;
  if (left > 0) std::memcpy(&tail, at, left);
  return fold(sum + tail);
}

// A checksum and the sum of words that it stands for, each from the other: the sum inverted and read
// big-endian.
std::uint16_t swap_between(std::uint32_t value) noexcept {
  const std::uint32_t inverted = ~value & 0xffff;
  return static_cast<std::uint16_t>(std::endian::native == std::endian::little ? swap_bytes(inverted)
                                                                               : inverted);
}

}  // namespace

std::uint16_t ip_checksum(std::span<const std::uint8_t> data, std::span<const std::uint8_t> more) noexcept {
  const std::uint32_t rest = sum_words(more);
  // After an odd number of bytes every later byte stands in the other half of its word.
  return swap_between(
      fold(std::uint64_t{sum_words(data)} + (data.size() % 2 == 0 ? rest : swap_bytes(rest))));
}

std::uint16_t ip_checksum_behind(std::uint16_t before, std::span<const std::uint8_t> data) noexcept {
  return ip_checksum_behind(before, std::uint64_t{sum_words(data)});
}

std::uint16_t ip_checksum_behind(std::uint16_t before, std::uint64_t sum_of_words) noexcept {
  return swap_between(fold(swap_between(before) + sum_of_words));
}

}  // namespace blkint
