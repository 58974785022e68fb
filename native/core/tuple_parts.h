// A run of intervals generated or verified in parts: so that a part is in cache when the next step wants it,
// and a long run can be given up between two parts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/tuples.h"

namespace blkint {

// Some of the intervals of a layout, one after the other.
struct Part {
  std::size_t first;
  std::size_t count;
};

// Calls `work` with parts of at most `intervals` (1 or more) until it says false or all are done.
template <typename Work>
void in_parts(const TupleLayout& layout, std::size_t intervals, Work work) {
  for (std::size_t first = 0; first < layout.intervals; first += intervals) {
    const std::size_t left = layout.intervals - first;
    if (!work(Part{.first = first, .count = left < intervals ? left : intervals})) return;
  }
}

// What generate() does, for one part. The buffers are those of the whole run.
void generate_part(const TupleLayout& layout, const GenerateRule& rule, const Part& part,
                   std::span<const std::uint8_t> data, std::span<std::uint8_t> metadata);

// What verify() does, part after part, in rising order. What the rule refers to must outlive it.
class VerifyInParts {
 public:
  VerifyInParts(const TupleLayout& layout, const VerifyRule& rule) noexcept : layout_(layout), rule_(rule) {}

  // False once an escape has ended the walk; then it looks at nothing.
  bool verify(const Part& part, std::span<const std::uint8_t> data, std::span<const std::uint8_t> metadata);

  [[nodiscard]] VerifyResult& result() noexcept { return result_; }

 private:
  TupleLayout layout_;
  VerifyRule rule_;
  VerifyResult result_;
};

}  // namespace blkint
