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

// The application tag of each interval; asked in rising order.
class AppTagReader {
 public:
  explicit AppTagReader(const AppTags& tags) noexcept : tags_(tags) {}

  std::optional<std::uint16_t> at(std::size_t i) noexcept {
    auto& ranges = tags_.ranges;
    while (!ranges.empty() && std::size_t{ranges.front().first} + ranges.front().count <= i)
      ranges = ranges.subspan(1);
    return !ranges.empty() && i >= ranges.front().first ? ranges.front().value : tags_.others;
  }

 private:
  AppTags tags_;
};

// A field of interval i as it was found and as it ought to be.
struct Comparison {
  std::uint32_t stored;
  std::uint32_t computed;
  std::uint32_t mask;

  bool differs() const noexcept { return ((stored ^ computed) & mask) != 0; }
};

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
  AppTagReader app_tags(rule.app_tags);
  for (std::size_t i = 0; i < layout.intervals; ++i) {
    const auto before_tuple =
        metadata.subspan(layout.metadata_start + i * layout.metadata_stride, layout.pi_offset);
    store(before_tuple.data() + layout.pi_offset, {.guard = compute_guard(layout, i, data, before_tuple),
                                                   .app = app_tags.at(i).value_or(0),
                                                   .ref = rule.count_ref ? ref_of(layout, i) : 0});
  }
}

VerifyResult verify(const TupleLayout& layout, const VerifyRule& rule, std::span<const std::uint8_t> data,
                    std::span<const std::uint8_t> metadata) {
  VerifyResult result;
  AppTagReader app_tags(rule.app_tags);
  for (std::size_t i = 0; i < layout.intervals; ++i) {
    const auto before_tuple =
        metadata.subspan(layout.metadata_start + i * layout.metadata_stride, layout.pi_offset);
    const Tuple stored = load(before_tuple.data() + layout.pi_offset);
    if (stored.app == kAppEscape && (!rule.escape_needs_ref || stored.ref == kRefEscape)) {
      ++result.escaped;
      if (rule.escape_ends) break;
      continue;
    }

    const auto compare = [&](Check check) -> std::optional<Comparison> {
      switch (check) {
        case Check::kGuard:
          return Comparison{stored.guard, compute_guard(layout, i, data, before_tuple), UINT16_MAX};
        case Check::kRef:
          return Comparison{stored.ref, ref_of(layout, i), UINT32_MAX};
        case Check::kApp:
          break;
      }
      const auto app = app_tags.at(i);
      return app ? std::optional(Comparison{stored.app, *app, rule.app_tag_mask}) : std::nullopt;
    };
    bool compared = false;
    Finding finding{};
    finding.interval = static_cast<std::uint32_t>(i);
    for (const Check check : rule.checks) {
      const auto comparison = compare(check);
      if (!comparison) continue;
      compared = true;
      if (!comparison->differs()) continue;
      if (finding.differs == 0) {
        finding.check = check;
        finding.stored = comparison->stored;
        finding.computed = comparison->computed;
      }
      finding.differs |= 1U << static_cast<std::uint32_t>(check);
    }
    if (compared) ++result.checked;
    if (finding.differs == 0) continue;
    ++result.bad;
    ++result.bad_by_check[static_cast<std::size_t>(finding.check)];
    if (result.findings.size() < rule.findings_max) result.findings.push_back(finding);
  }
  return result;
}

}  // namespace blkint
