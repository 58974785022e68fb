#include "core/tuples.h"

#include "core/crc16_t10dif.h"
#include "core/ip_checksum.h"

namespace blkint {
namespace {

struct Tuple {
  std::uint16_t guard;
  std::uint16_t app;
  std::uint32_t ref;
};

Tuple load(const std::uint8_t* at) noexcept {
  return {.guard = static_cast<std::uint16_t>((at[0] << 8) | at[1]),
          .app = static_cast<std::uint16_t>((at[2] << 8) | at[3]),
          .ref = (std::uint32_t{at[4]} << 24) | (std::uint32_t{at[5]} << 16) | (std::uint32_t{at[6]} << 8) |
                 at[7]};
}

void store(std::uint8_t* at, const Tuple& tuple) noexcept {
  at[0] = static_cast<std::uint8_t>(tuple.guard >> 8);
  at[1] = static_cast<std::uint8_t>(tuple.guard);
  at[2] = static_cast<std::uint8_t>(tuple.app >> 8);
  at[3] = static_cast<std::uint8_t>(tuple.app);
  at[4] = static_cast<std::uint8_t>(tuple.ref >> 24);
  at[5] = static_cast<std::uint8_t>(tuple.ref >> 16);
  at[6] = static_cast<std::uint8_t>(tuple.ref >> 8);
  at[7] = static_cast<std::uint8_t>(tuple.ref);
}

std::uint16_t compute_guard(const TupleLayout& layout, std::size_t i, std::span<const std::uint8_t> data,
                            std::span<const std::uint8_t> before_tuple) noexcept {
  const auto interval = data.subspan(i * layout.data_stride, layout.interval);
  switch (layout.guard) {
    case Guard::kCrc16T10Dif:
      return crc16_t10dif(crc16_t10dif(0, interval), before_tuple);
    case Guard::kIpChecksum:
      break;
  }
  return ip_checksum(interval, before_tuple);
}

std::uint32_t ref_of(const TupleLayout& layout, std::size_t i) noexcept {
  return layout.seed + static_cast<std::uint32_t>(i);
}

// Whether `count` pieces (1 or more) of `size` bytes, `stride` (1 or more) apart, the first at `start`, lie
// inside `total` bytes.
bool inside(std::size_t total, std::size_t start, std::size_t stride, std::size_t size,
            std::size_t count) noexcept {
  return size <= total && start <= total - size && count - 1 <= (total - size - start) / stride;
}

std::optional<Finding> examine(const TupleLayout& layout, const VerifyRule& rule, std::size_t i,
                               const Tuple& stored, std::uint16_t guard) noexcept {
  const auto at = static_cast<std::uint32_t>(i);
  if (rule.check_ref && stored.ref != ref_of(layout, i))
    return Finding{at, Check::kRef, stored.ref, ref_of(layout, i)};
  if (stored.guard != guard) return Finding{at, Check::kGuard, stored.guard, guard};
  if (rule.app_tag && stored.app != *rule.app_tag) return Finding{at, Check::kApp, stored.app, *rule.app_tag};
  return std::nullopt;
}

}  // namespace

const char* misfit(const TupleLayout& layout, std::size_t data_bytes, std::size_t metadata_bytes) noexcept {
  if (layout.interval == 0) return "interval";
  if (layout.data_stride < layout.interval) return "dataStride";
  if (layout.metadata_stride < kTupleBytes) return "metadataStride";
  if (layout.pi_offset > layout.metadata_stride - kTupleBytes) return "piOffset";
  if (layout.intervals == 0) return nullptr;
  if (layout.intervals - 1 > UINT32_MAX) return "intervals";  // Findings number them with 32 bits.
  if (!inside(data_bytes, 0, layout.data_stride, layout.interval, layout.intervals)) return "data";
  if (!inside(metadata_bytes, layout.metadata_start, layout.metadata_stride, layout.pi_offset + kTupleBytes,
              layout.intervals)) {
    return "metadata";
  }
  return nullptr;
}

void generate(const TupleLayout& layout, const GenerateRule& rule, std::span<const std::uint8_t> data,
              std::span<std::uint8_t> metadata) noexcept {
  for (std::size_t i = 0; i < layout.intervals; ++i) {
    const auto before_tuple =
        metadata.subspan(layout.metadata_start + i * layout.metadata_stride, layout.pi_offset);
    store(before_tuple.data() + layout.pi_offset, {.guard = compute_guard(layout, i, data, before_tuple),
                                                   .app = rule.app_tag,
                                                   .ref = rule.count_ref ? ref_of(layout, i) : 0});
  }
}

VerifyResult verify(const TupleLayout& layout, const VerifyRule& rule, std::span<const std::uint8_t> data,
                    std::span<const std::uint8_t> metadata) {
  VerifyResult result;
  for (std::size_t i = 0; i < layout.intervals; ++i) {
    const auto before_tuple =
        metadata.subspan(layout.metadata_start + i * layout.metadata_stride, layout.pi_offset);
    const Tuple stored = load(before_tuple.data() + layout.pi_offset);
    if (stored.app == kAppEscape && (!rule.escape_needs_ref || stored.ref == kRefEscape)) {
      ++result.escaped;
      continue;
    }
    const auto finding = examine(layout, rule, i, stored, compute_guard(layout, i, data, before_tuple));
    if (!finding) continue;
    ++result.bad;
    if (result.findings.size() < rule.findings_max) result.findings.push_back(*finding);
  }
  return result;
}

}  // namespace blkint
