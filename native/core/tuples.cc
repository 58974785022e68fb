#include "core/tuples.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include "core/crc16_t10dif.h"
#include "core/crc64_nvme.h"
#include "core/ip_checksum.h"

namespace blkint {
namespace {

std::uint64_t big_endian(std::uint64_t word) noexcept {
  return std::endian::native == std::endian::little ? __builtin_bswap64(word) : word;
}

std::uint64_t load_word(const std::uint8_t* at) noexcept {
  std::uint64_t word;
  std::memcpy(&word, at, sizeof word);
  return big_endian(word);
}

void store_word(std::uint8_t* at, std::uint64_t word) noexcept {
  word = big_endian(word);
  std::memcpy(at, &word, sizeof word);
}

// A tuple, or the bits of one that are looked at. The application tag stands above the reference tag: two
// words to compare, whatever the format.
struct Tuple {
  std::uint64_t guard;
  std::uint64_t tags;
};

struct EightBytes {
  static constexpr unsigned kRefBits = 32;
  static constexpr unsigned kTagBits = 48;

  static Tuple load(const std::uint8_t* at) noexcept {
    const std::uint64_t word = load_word(at);
    return {.guard = word >> kTagBits, .tags = word & ((std::uint64_t{1} << kTagBits) - 1)};
  }
  static void store(std::uint8_t* at, const Tuple& tuple) noexcept { store_word(at, word_of(tuple)); }
  // The bits in which a tuple differs, of those in the mask; 0 for none.
  static std::uint64_t difference(const std::uint8_t* at, const Tuple& expected, const Tuple& mask) noexcept {
    return (load_word(at) ^ word_of(expected)) & word_of(mask);
  }
  // With more above them.
  static std::uint64_t tags(const std::uint8_t* at) noexcept { return load_word(at); }

 private:
  static std::uint64_t word_of(const Tuple& tuple) noexcept { return tuple.guard << kTagBits | tuple.tags; }
};

struct SixteenBytes {
  static constexpr std::size_t kBytes = 16;
  static constexpr unsigned kRefBits = 48;

  static Tuple load(const std::uint8_t* at) noexcept { return {.guard = load_word(at), .tags = tags(at)}; }
  static void store(std::uint8_t* at, const Tuple& tuple) noexcept {
    store_word(at, tuple.guard);
    store_word(at + sizeof(std::uint64_t), tuple.tags);
  }
  static std::uint64_t difference(const std::uint8_t* at, const Tuple& expected, const Tuple& mask) noexcept {
    return ((load_word(at) ^ expected.guard) & mask.guard) | ((tags(at) ^ expected.tags) & mask.tags);
  }
  static std::uint64_t tags(const std::uint8_t* at) noexcept { return load_word(at + sizeof(std::uint64_t)); }
};

template <typename Format>
constexpr std::uint64_t kRefMask = (std::uint64_t{1} << Format::kRefBits) - 1;

// Intervals that are worked on together: their guards are computed, then their tuples made or compared while
// the cache holds both.
constexpr std::size_t kChunkIntervals = 32;
constexpr std::size_t kChunkBytes = 32768;

std::size_t chunk_of(const TupleLayout& layout) noexcept {
  return std::clamp<std::size_t>(kChunkBytes / layout.interval, 1, kChunkIntervals);
}

// Whether no interval shares a byte with the metadata of another: in two buffers, or in one where all
// metadata lies in the gaps between the intervals.
bool apart(const TupleLayout& layout, std::span<const std::uint8_t> data,
           std::span<const std::uint8_t> metadata) noexcept {
  const auto data_at = reinterpret_cast<std::uintptr_t>(data.data());
  const auto metadata_at = reinterpret_cast<std::uintptr_t>(metadata.data());
  if (data_at + data.size() <= metadata_at || metadata_at + metadata.size() <= data_at) return true;
  if (data_at != metadata_at || layout.data_stride != layout.metadata_stride) return false;
  return layout.metadata_start >= layout.interval &&
         layout.metadata_start + layout.pi_offset + tuple_bytes(layout.guard) <= layout.data_stride;
}

template <typename Byte>
Byte* metadata_of(const TupleLayout& layout, std::size_t i, std::span<Byte> metadata) noexcept {
  return metadata.data() + layout.metadata_start + i * layout.metadata_stride;
}

// The guard of an interval and the metadata before its tuple, from that of the interval.
std::uint64_t guard_behind(Guard guard, std::uint64_t of_interval, std::span<const std::uint8_t> interval,
                           std::span<const std::uint8_t> before_tuple) noexcept {
  switch (guard) {
    case Guard::kCrc16T10Dif:
      return crc16_t10dif(static_cast<std::uint16_t>(of_interval), before_tuple);
    case Guard::kCrc64Nvme:
      return crc64_nvme(of_interval, before_tuple);
    case Guard::kIpChecksum:
      break;
  }
  // Behind an odd number of bytes the words are others.
  return interval.size() % 2 == 0 ? ip_checksum_behind(static_cast<std::uint16_t>(of_interval), before_tuple)
                                  : ip_checksum(interval, before_tuple);
}

using Guards = std::array<std::uint64_t, kChunkIntervals>;

// Of `count` intervals from `first` on.
void compute_guards_of(const TupleLayout& layout, std::size_t first, std::size_t count,
                       std::span<const std::uint8_t> data, std::span<const std::uint8_t> metadata,
                       Guards& guards) noexcept {
  const Intervals intervals{.at = data.data() + first * layout.data_stride,
                            .stride = layout.data_stride,
                            .bytes = layout.interval,
                            .count = count,
                            .from_memory = layout.from_memory};
  const std::uint64_t before = guard_of_nothing(layout.guard);
  if (layout.copies.at == nullptr) {
    compute_guards(layout.guard, before, intervals, guards.data());
  } else {
    copy_and_compute_guards(layout.guard, before, intervals, copies_from(layout.copies, first),
                            guards.data());
  }
  if (layout.pi_offset == 0) return;
  for (std::size_t k = 0; k < count; ++k) {
    guards[k] = guard_behind(layout.guard, guards[k], {intervals.at + k * intervals.stride, intervals.bytes},
                             {metadata_of(layout, first + k, metadata), layout.pi_offset});
  }
}

// Whether `count` pieces (1 or more) of `size` bytes, `stride` (1 or more) apart, the first at `start`, lie
// inside `total` bytes.
bool inside(std::size_t total, std::size_t start, std::size_t stride, std::size_t size,
            std::size_t count) noexcept {
  return size <= total && start <= total - size && count - 1 <= (total - size - start) / stride;
}

// Intervals up to `end` with one application tag, or none.
struct AppTagRun {
  std::optional<std::uint16_t> tag;
  std::size_t end;
};

// The application tags; asked in rising order.
class AppTagReader {
 public:
  explicit AppTagReader(const AppTags& tags) noexcept : tags_(tags) {}

  AppTagRun from(std::size_t i) noexcept {
    auto& ranges = tags_.ranges;
    while (!ranges.empty() && end_of(ranges.front()) <= i) ranges = ranges.subspan(1);
    if (ranges.empty()) return {.tag = tags_.others, .end = std::numeric_limits<std::size_t>::max()};
    const AppTagRange& next = ranges.front();
    if (i < next.first) return {.tag = tags_.others, .end = next.first};
    return {.tag = next.value, .end = end_of(next)};
  }

 private:
  static std::size_t end_of(const AppTagRange& range) noexcept {
    return std::size_t{range.first} + range.count;
  }

  AppTags tags_;
};

template <typename Format>
void generate_as(const TupleLayout& layout, const GenerateRule& rule, std::span<const std::uint8_t> data,
                 std::span<std::uint8_t> metadata) noexcept {
  // Else a guard may be over a tuple that is made before it.
  const std::size_t chunk = apart(layout, data, metadata) ? chunk_of(layout) : 1;
  const std::uint64_t ref_mask = rule.count_ref ? kRefMask<Format> : 0;
  AppTagReader app_tags(rule.app_tags);
  Guards guards;
  for (std::size_t i = 0, count = 0; i < layout.intervals; i += count) {
    const AppTagRun run = app_tags.from(i);
    count = std::min({chunk, layout.intervals - i, run.end - i});
    compute_guards_of(layout, i, count, data, metadata, guards);
    const std::uint64_t app = std::uint64_t{run.tag.value_or(0)} << Format::kRefBits;
    for (std::size_t k = 0; k < count; ++k) {
      Format::store(metadata_of(layout, i + k, metadata) + layout.pi_offset,
                    {.guard = guards[k], .tags = app | ((layout.seed + i + k) & ref_mask)});
    }
  }
}

template <typename Format>
class Verifier {
 public:
  Verifier(const TupleLayout& layout, const VerifyRule& rule, std::span<const std::uint8_t> data,
           std::span<const std::uint8_t> metadata) noexcept
      : layout_(layout), rule_(rule), data_(data), metadata_(metadata) {
    if (!rule.escape_needs_ref) escape_ &= ~kRefMask<Format>;
  }

  VerifyResult verify() {
    const std::size_t chunk = chunk_of(layout_);
    const bool needs_guards = compares_guards(rule_);
    AppTagReader app_tags(rule_.app_tags);
    for (std::size_t i = 0; i < layout_.intervals;) {
      const AppTagRun run = app_tags.from(i);
      compare_with(run.tag);
      for (const std::size_t end = std::min(run.end, layout_.intervals); i < end;) {
        const std::size_t count = std::min(chunk, end - i);
        if (needs_guards) compute_guards_of(layout_, i, count, data_, metadata_, guards_);
        if (all_as_expected(i, count)) {
          result_.checked += compares_ ? count : 0;
        } else if (!look_at_each(i, count)) {
          return std::move(result_);
        }
        i += count;
      }
    }
    return std::move(result_);
  }

 private:
  // What is compared in intervals of that application tag, or of none.
  void compare_with(std::optional<std::uint16_t> tag) noexcept {
    app_ = std::uint64_t{tag.value_or(0)} << Format::kRefBits;
    masks_ = {};
    compares_ = false;
    for (const Check check : rule_.checks) {
      if (check == Check::kApp && !tag) continue;
      compares_ = true;
      masks_[static_cast<std::size_t>(check)] = field(check, rule_.app_tag_mask);
    }
  }

  static Tuple field(Check check, std::uint16_t app_tag_mask) noexcept {
    switch (check) {
      case Check::kGuard:
        return {.guard = ~std::uint64_t{0}, .tags = 0};
      case Check::kApp:
        return {.guard = 0, .tags = std::uint64_t{app_tag_mask} << Format::kRefBits};
      case Check::kRef:
        break;
    }
    return {.guard = 0, .tags = kRefMask<Format>};
  }

  static std::uint64_t value(Check check, const Tuple& tuple) noexcept {
    switch (check) {
      case Check::kGuard:
        return tuple.guard;
      case Check::kApp:
        return tuple.tags >> Format::kRefBits;
      case Check::kRef:
        break;
    }
    return tuple.tags & kRefMask<Format>;
  }

  Tuple expected(std::size_t first, std::size_t k) const noexcept {
    return {.guard = guards_[k], .tags = app_ | ref(first + k)};
  }

  bool is_escaped(const Tuple& stored) const noexcept { return (~stored.tags & escape_) == 0; }

  const std::uint8_t* tuple_of(std::size_t i) const noexcept {
    return metadata_of(layout_, i, metadata_) + layout_.pi_offset;
  }

  // The reference tag expected of interval i.
  std::uint64_t ref(std::size_t i) const noexcept { return (layout_.seed + i) & kRefMask<Format>; }

  // Without a branch for each: bad and escaped tuples are rare. False too where reference tags wrap on the
  // way.
  bool all_as_expected(std::size_t first, std::size_t count) const noexcept {
    const Tuple mask{.guard = masks_[0].guard, .tags = masks_[1].tags | masks_[2].tags};
    const std::uint64_t tags = app_ | ref(first);
    std::uint64_t differs = ref(first) + (count - 1) > kRefMask<Format> ? 1 : 0;
    // What a tuple lacks of the bits that an escaped one has, in the one that lacks least.
    std::uint64_t least_of_escape = escape_;
    for (std::size_t k = 0; k < count; ++k) {
      const std::uint8_t* const at = tuple_of(first + k);
      differs |= Format::difference(at, {.guard = guards_[k], .tags = tags + k}, mask);
      least_of_escape = std::min(least_of_escape, ~Format::tags(at) & escape_);
    }
    return differs == 0 && least_of_escape != 0;
  }

  // False at an escaped tuple that ends the walk.
  bool look_at_each(std::size_t first, std::size_t count) {
    for (std::size_t k = 0; k < count; ++k) {
      const Tuple stored = Format::load(tuple_of(first + k));
      if (is_escaped(stored)) {
        ++result_.escaped;
        if (rule_.escape_ends) return false;
        continue;
      }
      if (compares_) ++result_.checked;
      compare(first + k, stored, expected(first, k));
    }
    return true;
  }

  void compare(std::size_t i, const Tuple& stored, const Tuple& computed) {
    Finding finding{};
    for (const Check check : rule_.checks) {
      const Tuple& mask = masks_[static_cast<std::size_t>(check)];
      if ((((stored.guard ^ computed.guard) & mask.guard) | ((stored.tags ^ computed.tags) & mask.tags)) == 0)
        continue;
      if (finding.differs == 0) {
        finding.check = check;
        finding.stored = value(check, stored);
        finding.computed = value(check, computed);
      }
      finding.differs |= 1U << static_cast<std::uint32_t>(check);
    }
    if (finding.differs == 0) return;
    finding.interval = static_cast<std::uint32_t>(i);
    ++result_.bad;
    ++result_.bad_by_check[static_cast<std::size_t>(finding.check)];
    if (result_.findings.size() < rule_.findings_max) result_.findings.push_back(finding);
  }

  const TupleLayout& layout_;
  const VerifyRule& rule_;
  const std::span<const std::uint8_t> data_;
  const std::span<const std::uint8_t> metadata_;
  std::uint64_t escape_ = std::uint64_t{kAppEscape} << Format::kRefBits | kRefMask<Format>;
  Guards guards_;  // Of the chunk.
  std::uint64_t app_ = 0;
  std::array<Tuple, kChecks> masks_{};  // By Check.
  bool compares_ = false;
  VerifyResult result_;
};

}  // namespace

const char* misfit(const TupleLayout& layout, std::size_t data_bytes, std::size_t metadata_bytes) noexcept {
  const std::size_t tuple = tuple_bytes(layout.guard);
  if (layout.interval == 0) return "interval";
  if (layout.data_stride < layout.interval) return "dataStride";
  if (layout.metadata_stride < tuple) return "metadataStride";
  if (layout.pi_offset > layout.metadata_stride - tuple) return "piOffset";
  if (layout.intervals == 0) return nullptr;
  if (layout.intervals - 1 > UINT32_MAX) return "intervals";  // Findings number them with 32 bits.
  if (!inside(data_bytes, 0, layout.data_stride, layout.interval, layout.intervals)) return "data";
  if (!inside(metadata_bytes, layout.metadata_start, layout.metadata_stride, layout.pi_offset + tuple,
              layout.intervals)) {
    return "metadata";
  }
  return nullptr;
}

bool compares_guards(const VerifyRule& rule) noexcept {
  return std::ranges::find(rule.checks, Check::kGuard) != rule.checks.end();
}

void generate(const TupleLayout& layout, const GenerateRule& rule, std::span<const std::uint8_t> data,
              std::span<std::uint8_t> metadata) noexcept {
  if (tuple_bytes(layout.guard) == SixteenBytes::kBytes)
    return generate_as<SixteenBytes>(layout, rule, data, metadata);
  generate_as<EightBytes>(layout, rule, data, metadata);
}

VerifyResult verify(const TupleLayout& layout, const VerifyRule& rule, std::span<const std::uint8_t> data,
                    std::span<const std::uint8_t> metadata) {
  if (tuple_bytes(layout.guard) == SixteenBytes::kBytes)
    return Verifier<SixteenBytes>(layout, rule, data, metadata).verify();
  return Verifier<EightBytes>(layout, rule, data, metadata).verify();
}

}  // namespace blkint
