// Open, read, write, lock and flush a device node by the block layer's own calls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "core/fd.h"

namespace blkint {

// What a call answered: a positive errno, or 0.
struct Outcome {
  int error = 0;
};

// bytes were transferred before the error, or before the end of the device.
struct Transfer {
  int error = 0;
  std::size_t bytes = 0;
};

struct NodeStatus {
  int error = 0;
  std::uint32_t mode = 0;
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  std::uint32_t logical_block_size = 0;  // 0 when it is no block device, as is the next.
  std::uint64_t size_bytes = 0;
};

// EBUSY when `fd` holds a node already.
Outcome open_node(Fd& fd, const std::string& path, int flags) noexcept;
NodeStatus node_status(int fd) noexcept;
Transfer read_at(int fd, std::span<std::uint8_t> buffer, std::uint64_t offset) noexcept;
Transfer write_at(int fd, std::span<const std::uint8_t> buffer, std::uint64_t offset) noexcept;
// Does not wait: EWOULDBLOCK when another holds it.
Outcome lock_exclusive(int fd) noexcept;
// fsync, and on a block device BLKFLSBUF, so that the next read comes from the medium.
Outcome flush(int fd) noexcept;

}  // namespace blkint
