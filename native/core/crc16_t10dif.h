// The CRC-16 guard of T10 protection information (T10 SBC-4): polynomial 8BB7h, most significant bit
// first, no final inversion.
#pragma once

#include <cstdint>
#include <span>

namespace blkint {

// Goes on from `crc`, which is 0 for the first part of a message.
std::uint16_t crc16_t10dif(std::uint16_t crc, std::span<const std::uint8_t> data) noexcept;

}  // namespace blkint
