// One SCSI command through the SG_IO ioctl: sg v3 on a block node or an sg node, sg v4 on a bsg node.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace blkint {

inline constexpr std::size_t kCdbBytesMin = 6;
inline constexpr std::size_t kCdbBytesMax = 32;
inline constexpr std::size_t kSenseBytesMax = 96;

enum class Direction { kNone, kFromDevice, kToDevice };

struct SgCommand {
  std::vector<std::uint8_t> cdb;
  Direction direction;
  std::span<std::uint8_t> data;  // The kernel maps or bounces it.
  std::uint32_t timeout_ms;
};

struct SgAnswer {
  int error = 0;
  std::uint8_t status = 0;
  std::uint16_t host_status = 0;
  std::uint16_t driver_status = 0;
  std::int32_t resid = 0;
  std::uint32_t duration_ms = 0;
  std::array<std::uint8_t, kSenseBytesMax> sense{};
  std::uint8_t sense_bytes = 0;
  bool overrun = false;  // Something was written behind the data. Who owns the memory sees it.
};

// Sent once, whatever happens: a command is never repeated here.
SgAnswer sg_io(int fd, const SgCommand& command) noexcept;
SgAnswer bsg_io(int fd, const SgCommand& command) noexcept;

}  // namespace blkint
