// Reads and writes that carry the caller's tuples: the PI attribute of io_uring (Linux 6.14), by the bare
// system calls.
#pragma once

#include <linux/io_uring.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "core/block_io.h"
#include "core/fd.h"

namespace blkint {

// One command's length is 32 bits wide, and the kernel moves at most this much (MAX_RW_COUNT with pages of
// 4096 bytes).
inline constexpr std::size_t kTransferBytesMax = 0x7ffff000;

struct IoUringFeatures {
  int error = 0;
  std::uint32_t features = 0;
};

// Of the running kernel.
IoUringFeatures io_uring_features() noexcept;

struct PiAttribute {
  std::uint16_t flags;  // IO_INTEGRITY_CHK_*
  std::uint16_t app_tag;
  std::uint64_t seed;  // Reference tag of the first interval.
  std::span<std::uint8_t> tuples;
};

// Memory that the kernel shares with us.
class Mapping {
 public:
  Mapping() = default;
  Mapping(int fd, std::size_t bytes, std::uint64_t offset) noexcept;
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  Mapping(Mapping&& other) noexcept : start_(std::exchange(other.start_, nullptr)), bytes_(other.bytes_) {}
  Mapping& operator=(Mapping&& other) noexcept;

  [[nodiscard]] bool is_mapped() const noexcept { return start_ != nullptr; }
  template <typename T>
  [[nodiscard]] T* at(std::size_t offset) const noexcept {
    return reinterpret_cast<T*>(start_ + offset);
  }

 private:
  std::uint8_t* start_ = nullptr;
  std::size_t bytes_ = 0;
};

struct Sqe;

// A ring that is made for its first command and holds one command at a time.
class PiRing {
 public:
  // ENOTSUP when the running kernel lacks the attribute. At most kTransferBytesMax.
  Transfer read(int fd, std::span<std::uint8_t> buffer, std::uint64_t offset, const PiAttribute& pi) noexcept;
  Transfer write(int fd, std::span<std::uint8_t> buffer, std::uint64_t offset,
                 const PiAttribute& pi) noexcept;

 private:
  Transfer transfer(std::uint8_t opcode, int fd, std::span<std::uint8_t> buffer, std::uint64_t offset,
                    const PiAttribute& pi) noexcept;
  Outcome set_up() noexcept;
  std::int32_t run(const Sqe& sqe) noexcept;

  Fd ring_;
  io_uring_params params_{};
  Mapping queues_;  // Both rings: every kernel with the attribute has IORING_FEAT_SINGLE_MMAP.
  Mapping sqes_;
};

}  // namespace blkint
