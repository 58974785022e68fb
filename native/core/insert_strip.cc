#include "core/insert_strip.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/tuple_parts.h"

namespace blkint {
namespace {

// Read and written, they leave half of a first-level cache of 32 KiB to the tables of the guards.
constexpr std::size_t kPartBytes = 8192;

// In pieces: glibc copies thousands of bytes by REP MOVSB, which is slow where source and destination lie
// differently in their cache lines, as data and blocks always do. Volatile: with a limit that it knows the
// compiler would do the same of itself.
constexpr volatile std::size_t kPieceMax = 1024;

void copy(std::uint8_t* to, const std::uint8_t* from, std::size_t bytes) noexcept {
  const std::size_t piece_max = kPieceMax;
  for (std::size_t at = 0; at < bytes; at += piece_max)
    std::memcpy(to + at, from + at, std::min(piece_max, bytes - at));
}

std::size_t intervals_of_part(const TupleLayout& layout) noexcept {
  return std::max<std::size_t>(1, kPartBytes / layout.interval);
}

}  // namespace

const char* misfit_of_blocks(const TupleLayout& layout, std::size_t data_bytes,
                             std::size_t block_bytes) noexcept {
  if (const char* name = misfit(layout, data_bytes, block_bytes)) return name;
  if (layout.metadata_start != layout.interval) return "metadataStart";
  const std::size_t tuple_at_most = layout.metadata_stride - tuple_bytes(layout.guard);
  if (tuple_at_most < layout.interval || tuple_at_most - layout.interval < layout.pi_offset)
    return "metadataStride";
  return layout.intervals > block_bytes / layout.metadata_stride ? "metadata" : nullptr;
}

void insert(const TupleLayout& layout, const GenerateRule& rule, std::span<const std::uint8_t> data,
            std::span<std::uint8_t> blocks) {
  const std::size_t metadata_bytes = layout.metadata_stride - layout.interval;
  in_parts(layout, intervals_of_part(layout), [&](const Part& part) {
    for (std::size_t i = part.first; i < part.first + part.count; ++i) {
      std::uint8_t* const block = blocks.data() + i * layout.metadata_stride;
      copy(block, data.data() + i * layout.data_stride, layout.interval);
      std::memset(block + layout.interval, 0, metadata_bytes);
    }
    generate_part(layout, rule, part, data, blocks);
    return true;
  });
}

VerifyResult strip(const TupleLayout& layout, const VerifyRule& rule, std::span<const std::uint8_t> blocks,
                   std::span<std::uint8_t> data) {
  VerifyInParts verified(layout, rule);
  in_parts(layout, intervals_of_part(layout), [&](const Part& part) {
    for (std::size_t i = part.first; i < part.first + part.count; ++i) {
      copy(data.data() + i * layout.data_stride, blocks.data() + i * layout.metadata_stride, layout.interval);
    }
    verified.verify(part, data, blocks);
    return true;
  });
  return std::move(verified.result());
}

}  // namespace blkint
