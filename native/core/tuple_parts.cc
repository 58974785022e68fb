#include "core/tuple_parts.h"

#include <algorithm>
#include <functional>
#include <vector>

namespace blkint {
namespace {

// Its buffers begin with its first interval and with that one's metadata less metadata_start.
TupleLayout part_of(const TupleLayout& layout, const Part& part) noexcept {
  TupleLayout result = layout;
  result.intervals = part.count;
  result.seed = (layout.seed + part.first) & ref_escape(layout.guard);
  result.copies = copies_from(layout.copies, part.first);
  return result;
}

// The ranges that reach into a part, numbered from its first interval.
std::vector<AppTagRange> part_of(std::span<const AppTagRange> ranges, const Part& part) {
  std::vector<AppTagRange> result;
  const auto end_of = [](const AppTagRange& range) { return std::size_t{range.first} + range.count; };
  for (auto range = std::ranges::upper_bound(ranges, part.first, {}, end_of);
       range != ranges.end() && range->first < part.first + part.count; ++range) {
    const std::size_t first = std::max<std::size_t>(range->first, part.first);
    const std::size_t end = std::min(end_of(*range), part.first + part.count);
    result.push_back({.first = static_cast<std::uint32_t>(first - part.first),
                      .count = static_cast<std::uint32_t>(end - first),
                      .value = range->value});
  }
  return result;
}

}  // namespace

void generate_part(const TupleLayout& layout, const GenerateRule& rule, const Part& part,
                   std::span<const std::uint8_t> data, std::span<std::uint8_t> metadata) {
  const std::vector<AppTagRange> ranges = part_of(rule.app_tags.ranges, part);
  GenerateRule of_part = rule;
  of_part.app_tags.ranges = ranges;
  generate(part_of(layout, part), of_part, data.subspan(part.first * layout.data_stride),
           metadata.subspan(part.first * layout.metadata_stride));
}

bool VerifyInParts::verify(const Part& part, std::span<const std::uint8_t> data,
                           std::span<const std::uint8_t> metadata) {
  if (rule_.escape_ends && result_.escaped > 0) return false;
  const std::vector<AppTagRange> ranges = part_of(rule_.app_tags.ranges, part);
  VerifyRule of_part = rule_;
  of_part.app_tags.ranges = ranges;
  of_part.findings_max = rule_.findings_max - result_.findings.size();
  VerifyResult verified =
      blkint::verify(part_of(layout_, part), of_part, data.subspan(part.first * layout_.data_stride),
                     metadata.subspan(part.first * layout_.metadata_stride));
  result_.checked += verified.checked;
  result_.escaped += verified.escaped;
  result_.bad += verified.bad;
  std::ranges::transform(result_.bad_by_check, verified.bad_by_check, result_.bad_by_check.begin(),
                         std::plus<>());
  for (Finding& finding : verified.findings) {
    finding.interval += static_cast<std::uint32_t>(part.first);
    result_.findings.push_back(finding);
  }
  return !rule_.escape_ends || result_.escaped == 0;
}

}  // namespace blkint
