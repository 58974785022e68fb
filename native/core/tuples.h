// Makes and checks the 8-byte tuples (guard, application tag, reference tag, all big-endian) of a run of
// intervals in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace blkint {

inline constexpr std::size_t kTupleBytes = 8;
inline constexpr std::uint16_t kAppEscape = 0xffff;
inline constexpr std::uint32_t kRefEscape = 0xffffffff;

enum class Guard { kCrc16T10Dif, kIpChecksum };

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
  Guard guard;         // Covers the interval, then the metadata before the tuple.
  std::uint32_t seed;  // Reference tag of interval 0.
};

// The name of the first member that makes the layout reach outside the two buffers or into the next interval;
// null when it is right. generate and verify rely on it.
const char* misfit(const TupleLayout& layout, std::size_t data_bytes, std::size_t metadata_bytes) noexcept;

struct GenerateRule {
  bool count_ref;  // Reference tags count up from the seed, wrapping at 2^32; else they are 0.
  std::uint16_t app_tag;
};

void generate(const TupleLayout& layout, const GenerateRule& rule, std::span<const std::uint8_t> data,
              std::span<std::uint8_t> metadata) noexcept;

struct VerifyRule {
  bool check_ref;
  bool escape_needs_ref;                 // Reference tag FFFFFFFFh, beside application tag FFFFh.
  std::optional<std::uint16_t> app_tag;  // Compared when there is one.
  std::size_t findings_max;
};

enum class Check : std::uint32_t { kGuard = 0, kApp = 1, kRef = 2 };

struct Finding {
  std::uint32_t interval;
  Check check;
  std::uint32_t stored;
  std::uint32_t computed;
};

struct VerifyResult {
  std::size_t escaped = 0;
  std::size_t bad = 0;
  std::vector<Finding> findings;  // The first findings_max bad intervals, in order.
};

// Each interval: escape, then reference tag, guard, application tag, in the order of the kernel (Linux 3.18
// to 7.1 block/t10-pi.c; it compares no application tag). The first that differs is the finding, and the walk
// goes on.
VerifyResult verify(const TupleLayout& layout, const VerifyRule& rule, std::span<const std::uint8_t> data,
                    std::span<const std::uint8_t> metadata);

}  // namespace blkint
