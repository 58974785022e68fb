// Makes and checks the tuples (guard, application tag, reference tag, all big-endian) of a run of intervals
// in memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/guard_kernels.h"

namespace blkint {

inline constexpr std::uint16_t kAppEscape = 0xffff;

// The tuple of 8 bytes has 2 of guard, 2 of application tag and 4 of reference tag (T10 SBC-4); that of 16
// bytes has 8, 2 and 6 (NVM command set specification, 64b guard).
constexpr std::size_t tuple_bytes(Guard guard) noexcept { return guard == Guard::kCrc64Nvme ? 16 : 8; }

// The reference tag of all ones, 32 or 48 bits.
constexpr std::uint64_t ref_escape(Guard guard) noexcept {
  return (std::uint64_t{1} << (guard == Guard::kCrc64Nvme ? 48 : 32)) - 1;
}

// Where the intervals and their tuples lie; sizes in bytes. Interval i is data[i * data_stride, + interval];
// its metadata starts at metadata_start + i * metadata_stride, and the tuple pi_offset into it. Data and
// metadata may be one buffer (interleaved).
struct TupleLayout {
  std::size_t interval;
  std::size_t intervals;
  std::size_t data_stride;
  std::size_t metadata_start;
  std::size_t metadata_stride;
  std::size_t pi_offset;
  Guard guard;               // Covers the interval, then the metadata before the tuple.
  std::uint64_t seed;        // Reference tag of interval 0, at most ref_escape(guard).
  bool from_memory = false;  // As of Intervals: where there are more than kCachesHold bytes of data.
  Copies copies{};           // Where each interval goes when its guard is computed; nowhere without.
};

// Of one processor, about; larger data come from memory.
inline constexpr std::size_t kCachesHold = std::size_t{16} << 20;

// The name of the first member that makes the layout reach outside the two buffers or into the next interval;
// null when it is right. generate and verify rely on it.
const char* misfit(const TupleLayout& layout, std::size_t data_bytes, std::size_t metadata_bytes) noexcept;

// A run of intervals with one application tag.
struct AppTagRange {
  std::uint32_t first;
  std::uint32_t count;  // 1 or more.
  std::uint16_t value;
};

// Application tags by ranges, which are in rising order and apart, and the one of all other intervals.
struct AppTags {
  std::span<const AppTagRange> ranges;
  std::optional<std::uint16_t> others;
};

struct GenerateRule {
  bool count_ref;    // Reference tags count up from the seed, wrapping at 2^32 or 2^48; else they are 0.
  AppTags app_tags;  // 0 where there is none.
};

void generate(const TupleLayout& layout, const GenerateRule& rule, std::span<const std::uint8_t> data,
              std::span<std::uint8_t> metadata) noexcept;

enum class Check : std::uint32_t { kGuard = 0, kApp = 1, kRef = 2 };

inline constexpr std::size_t kChecks = 3;

struct VerifyRule {
  std::span<const Check> checks;  // What is compared, in this order. Without kGuard the data is not read.
  bool escape_needs_ref;          // A reference tag of all ones, beside application tag FFFFh.
  bool escape_ends;               // An escaped tuple ends the walk, as in Linux 3.10 drivers/scsi/sd_dif.c.
  AppTags app_tags;               // An interval that has none is not compared by it.
  std::uint16_t app_tag_mask;
  std::size_t findings_max;
};

bool compares_guards(const VerifyRule& rule) noexcept;

struct Finding {
  std::uint32_t interval;
  Check check;  // The first that differs; stored and computed are its values.
  std::uint64_t stored;
  std::uint64_t computed;
  std::uint32_t differs;  // 1 << check for each that differs.
};

struct VerifyResult {
  std::size_t checked = 0;  // Intervals of which something was compared.
  std::size_t escaped = 0;
  std::size_t bad = 0;
  std::array<std::size_t, kChecks> bad_by_check{};  // By the first that differs.
  std::vector<Finding> findings;                    // The first findings_max bad intervals, in order.
};

// Each interval: escape, then the checks. The walk goes on after a bad interval.
VerifyResult verify(const TupleLayout& layout, const VerifyRule& rule, std::span<const std::uint8_t> data,
                    std::span<const std::uint8_t> metadata);

}  // namespace blkint
