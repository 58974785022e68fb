// Plain data to blocks with their metadata and back (512 to 520 bytes and the like), in one pass: the kernels
// that can copy on the way, else what was copied is generated or verified while it is in the first-level
// cache.
//
// The layout has the data in the plain buffer and the metadata in the buffer of blocks: a block is the
// interval and its metadata, `metadata_stride` bytes, so `metadata_start` is the interval.
#pragma once

#include <cstdint>
#include <span>

#include "core/tuples.h"

namespace blkint {

// As misfit(), and "metadataStart" unless the layout is such a one. insert and strip rely on it.
const char* misfit_of_blocks(const TupleLayout& layout, std::size_t data_bytes,
                             std::size_t block_bytes) noexcept;

// Copies each interval into its block and makes its tuple; the metadata outside the tuple becomes 0.
void insert(const TupleLayout& layout, const GenerateRule& rule, std::span<const std::uint8_t> data,
            std::span<std::uint8_t> blocks);

// Copies each interval out of its block, the bad ones too, and verifies it.
VerifyResult strip(const TupleLayout& layout, const VerifyRule& rule, std::span<const std::uint8_t> blocks,
                   std::span<std::uint8_t> data);

}  // namespace blkint
