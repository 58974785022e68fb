#include "core/copy_intervals.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace blkint {
namespace {

// In pieces: glibc copies thousands of bytes by REP MOVSB, which is slow where source and destination lie
// differently in their cache lines, as data and blocks always do. Volatile: with a limit that it knows the
// compiler would do the same of itself.
constexpr volatile std::size_t kPieceMax = 1024;

void copy(std::uint8_t* to, const std::uint8_t* from, std::size_t bytes) noexcept {
  const std::size_t piece_max = kPieceMax;
  for (std::size_t at = 0; at < bytes; at += piece_max)
    std::memcpy(to + at, from + at, std::min(piece_max, bytes - at));
}

}  // namespace

void copy_intervals(const Intervals& intervals, const Copies& copies) noexcept {
  for (std::size_t i = 0; i < intervals.count; ++i)
    copy(copies.at + i * copies.stride, intervals.at + i * intervals.stride, intervals.bytes);
}

}  // namespace blkint
