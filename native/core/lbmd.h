// What a block device says of its metadata: FS_IOC_GETLBMD_CAP (Linux 6.17).
#pragma once

#include <cstddef>
#include <cstdint>

namespace blkint {

// struct logical_block_metadata_cap, declared here because the headers of older distributions do not have it.
struct LbmdCap {
  std::uint32_t flags;
  std::uint16_t interval;
  std::uint8_t size;
  std::uint8_t opaque_size;
  std::uint8_t opaque_offset;
  std::uint8_t pi_size;
  std::uint8_t pi_offset;
  std::uint8_t guard_tag_type;
  std::uint8_t app_tag_size;
  std::uint8_t ref_tag_size;
  std::uint8_t storage_tag_size;
  std::uint8_t pad;
};
static_assert(sizeof(LbmdCap) == 16);
static_assert(offsetof(LbmdCap, size) == 6);
static_assert(offsetof(LbmdCap, guard_tag_type) == 11);

struct LbmdAnswer {
  int error = 0;
  LbmdCap cap{};
};

LbmdAnswer lbmd_capability(int fd) noexcept;

}  // namespace blkint
