// The IP checksum guard (RFC 1071), which host adapters may use between the host and themselves instead of
// the CRC.
#pragma once

#include <cstdint>
#include <span>

namespace blkint {

// The checksum of `data` followed by `more`, an odd end padded with a zero byte, as the two stored bytes read
// big-endian.
std::uint16_t ip_checksum(std::span<const std::uint8_t> data,
                          std::span<const std::uint8_t> more = {}) noexcept;

// The checksum of `data` behind a message of even length whose checksum is `before`.
std::uint16_t ip_checksum_behind(std::uint16_t before, std::span<const std::uint8_t> data) noexcept;

// The same of words that are added up already, each read in the machine's own byte order.
std::uint16_t ip_checksum_behind(std::uint16_t before, std::uint64_t sum_of_words) noexcept;

}  // namespace blkint
