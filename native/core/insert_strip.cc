#include "core/insert_strip.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/copy_intervals.h"
#include "core/tuple_parts.h"

namespace blkint {
namespace {

// With their copies they are in a first-level cache, of 32 KiB at least, for what is done one after the
// other.
constexpr std::size_t kPartBytes = 16384;

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
  const bool has_more = metadata_bytes > tuple_bytes(layout.guard);
  TupleLayout copying = layout;
  copying.copies = {.at = blocks.data(), .stride = layout.metadata_stride};
  in_parts(layout, intervals_of_part(layout), [&](const Part& part) {
    for (std::size_t i = part.first; has_more && i < part.first + part.count; ++i)
      std::memset(blocks.data() + i * layout.metadata_stride + layout.interval, 0, metadata_bytes);
    generate_part(copying, rule, part, data, blocks);
    return true;
  });
}

VerifyResult strip(const TupleLayout& layout, const VerifyRule& rule, std::span<const std::uint8_t> blocks,
                   std::span<std::uint8_t> data) {
  TupleLayout interleaved = layout;
  interleaved.data_stride = layout.metadata_stride;
  const Copies copies{.at = data.data(), .stride = layout.data_stride};
  // Of some intervals no guard may be computed.
  const bool copies_first = rule.escape_ends || !compares_guards(rule);
  if (!copies_first) interleaved.copies = copies;
  VerifyInParts verified(interleaved, rule);
  in_parts(layout, intervals_of_part(layout), [&](const Part& part) {
    if (copies_first) {
      const std::uint8_t* const first = blocks.data() + part.first * layout.metadata_stride;
      copy_intervals(
          {.at = first, .stride = layout.metadata_stride, .bytes = layout.interval, .count = part.count},
          copies_from(copies, part.first));
    }
    verified.verify(part, blocks, blocks);
    return true;
  });
  return std::move(verified.result());
}

}  // namespace blkint
