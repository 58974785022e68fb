// The 64-bit CRC guard of NVMe (NVM command set specification, 64b CRC): polynomial AD93D23594C93659h, least
// significant bit first, begun and ended with all bits inverted.
#pragma once

#include <cstdint>
#include <span>

namespace blkint {

// Goes on from `crc`, which is 0 for the first part of a message.
std::uint64_t crc64_nvme(std::uint64_t crc, std::span<const std::uint8_t> data) noexcept;

}  // namespace blkint
