// Random and hostile input to core, as TAP. Built with AddressSanitizer and UndefinedBehaviorSanitizer, which end the program where
// it reads or writes what is not its own.
//
//   core_fuzz CASES [SEED [CASE]]
//
// CASES is how many tests of memory alone get; those that make files get fewer. A case depends on seed, test and number alone: with CASE,
// only that one runs.
#include <linux/nvme_ioctl.h>
#include <sanitizer/common_interface_defs.h>
#include <scsi/sg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "core/crc16_t10dif.h"
#include "core/crc64_nvme.h"
#include "core/guard_kernels.h"
#include "core/insert_strip.h"
#include "core/ip_checksum.h"
#include "core/lbmd.h"
#include "core/nvme.h"
#include "core/open_nodes.h"
#include "core/read_verify.h"
#include "core/sg_io.h"
#include "core/sysfs.h"
#include "core/tcmu_ring.h"
#include "core/tuples.h"
#include "test/support.h"

namespace {

using namespace blkint;
namespace fs = std::filesystem;

// What runs, for the message of whatever ends it.
struct Current {
  std::uint64_t seed;
  const char* test = "";
  std::uint64_t number = 0;
  bool failed = false;
};
Current current;

void say_where() {
  std::printf("# %s: seed %llu, case %llu\n", current.test, static_cast<unsigned long long>(current.seed),
              static_cast<unsigned long long>(current.number));
  std::fflush(stdout);
}

void check(bool holds, const char* expression, int line) {
  if (holds || current.failed) return;  // The first of a test is enough.
  current.failed = true;
  std::printf("# line %d: %s\n", line, expression);
  say_where();
}
#define CHECK(expression) check((expression), #expression, __LINE__)

class Random {
 public:
  Random(std::uint64_t seed, std::uint64_t test, std::uint64_t number) {
    std::seed_seq mixed{seed, seed >> 32, test, number, number >> 32};
    engine_.seed(mixed);
  }
  std::uint64_t word() { return (std::uint64_t{engine_()} << 32) | engine_(); }
  std::size_t below(std::size_t n) { return word() % n; }
  bool once_in(std::size_t n) { return below(n) == 0; }
  template <typename Container>
  const auto& pick(const Container& from) {
    return from[below(std::size(from))];
  }
  void fill(std::span<std::uint8_t> bytes) {
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(word());
  }
  Bytes bytes(std::size_t size) {
    Bytes made(size);
    fill(made);
    return made;
  }
  // Numbers at which arithmetic goes wrong, and near them.
  std::uint64_t hostile() {
    constexpr std::uint64_t kEdges[] = {0,
                                        8,
                                        128,
                                        std::uint64_t{1} << 16,
                                        std::uint64_t{1} << 31,
                                        std::uint64_t{1} << 32,
                                        std::uint64_t{1} << 63,
                                        std::numeric_limits<std::uint64_t>::max() - 7};
    return once_in(4) ? word() : pick(kEdges) + below(17) - 8;
  }

 private:
  std::minstd_rand engine_;
};

// Bytes with forbidden pages before and behind. They touch one of the two.
class FencedBytes {
 public:
  FencedBytes(std::size_t size, bool at_end) {
    const auto page = static_cast<std::size_t>(::getpagesize());
    const std::size_t inside = (size + page - 1) / page * page;
    mapped_bytes_ = inside + 2 * page;
    mapped_ = static_cast<std::uint8_t*>(
        ::mmap(nullptr, mapped_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (mapped_ == MAP_FAILED) std::abort();
    if (inside > 0 && ::mprotect(mapped_ + page, inside, PROT_READ | PROT_WRITE) != 0) std::abort();
    bytes_ = {mapped_ + page + (at_end ? inside - size : 0), size};
  }
  ~FencedBytes() { ::munmap(mapped_, mapped_bytes_); }
  FencedBytes(const FencedBytes&) = delete;
  FencedBytes& operator=(const FencedBytes&) = delete;

  std::span<std::uint8_t> bytes() const { return bytes_; }

 private:
  std::uint8_t* mapped_;
  std::size_t mapped_bytes_;
  std::span<std::uint8_t> bytes_;
};

std::uint16_t ip_by_words(std::span<const std::uint8_t> first, std::span<const std::uint8_t> second) {
  Bytes message(first.begin(), first.end());
  message.insert(message.end(), second.begin(), second.end());
  if (message.size() % 2 == 1) message.push_back(0);
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < message.size(); i += 2) sum += message[i] * 256U + message[i + 1];
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

// That which computes guards from now on.
void use_any_kernel(Random& random) {
  const GuardKernel& kernel = *random.pick(guard_kernels());
  if (kernel.runs_here()) CHECK(use_guard_kernel(kernel.name));
}

void guards_of_any_bytes(Random& random) {
  const std::size_t size = random.once_in(8) ? random.below(5000) : random.below(300);
  const FencedBytes fenced(size, random.once_in(2));
  random.fill(fenced.bytes());
  const std::span<const std::uint8_t> whole = fenced.bytes().subspan(random.below(size + 1));
  const std::size_t cut = random.below(whole.size() + 1);
  const auto seed = static_cast<std::uint16_t>(random.word());
  CHECK(crc16_t10dif(crc16_t10dif(seed, whole.first(cut)), whole.subspan(cut)) == crc_by_bits(seed, whole));
  CHECK(ip_checksum(whole.first(cut), whole.subspan(cut)) == ip_by_words(whole, {}));
  CHECK(crc64_nvme(crc64_nvme(0, whole.first(cut)), whole.subspan(cut)) == crc64_by_bits(0, whole));
}

// Where the tuples lie, and the buffers' sizes.
struct Geometry {
  TupleLayout layout;
  std::size_t data_bytes;
  std::size_t metadata_bytes;
  bool one_buffer;
};

// Changes a number or two: most such do not fit.
void spoil_geometry(Random& random, Geometry& made) {
  TupleLayout& layout = made.layout;
  std::size_t* const numbers[] = {&layout.interval,       &layout.intervals,       &layout.data_stride,
                                  &layout.metadata_start, &layout.metadata_stride, &layout.pi_offset,
                                  &made.data_bytes,       &made.metadata_bytes};
  for (std::size_t changes = 1 + random.below(2); changes > 0; --changes) {
    std::size_t& number = *random.pick(numbers);
    number = random.once_in(2) ? number + random.below(3) - 1 : random.hostile();
  }
  constexpr std::size_t kBufferMax = 1 << 16;
  made.data_bytes = std::min(made.data_bytes, kBufferMax);
  made.metadata_bytes = std::min(made.metadata_bytes, kBufferMax);
}

Geometry random_geometry(Random& random) {
  constexpr std::size_t kIntervals[] = {1, 2, 7, 8, 64, 511, 512, 520, 528, 4096};
  Geometry made{};
  auto& layout = made.layout;
  layout.interval = random.once_in(3) ? 1 + random.below(600) : random.pick(kIntervals);
  layout.intervals = random.below(random.once_in(8) ? 140 : 6);
  layout.guard = static_cast<Guard>(random.below(kGuards));
  const std::size_t tuple = tuple_bytes(layout.guard);
  const std::size_t metadata = tuple + (random.once_in(2) ? 0 : random.below(60));
  layout.pi_offset = random.below(metadata - tuple + 1);
  layout.seed = random.hostile() & ref_escape(layout.guard);
  made.one_buffer = random.once_in(2);
  const std::size_t gap = random.once_in(2) ? 0 : random.below(40);
  const std::size_t before_last = layout.intervals == 0 ? 0 : layout.intervals - 1;
  const std::size_t last = layout.intervals == 0 ? 0 : 1;
  if (made.one_buffer) {
    layout.data_stride = layout.metadata_stride = layout.interval + metadata + gap;
    layout.metadata_start = layout.interval;
  } else {
    layout.data_stride = layout.interval + gap;
    layout.metadata_stride = metadata;
    layout.metadata_start = random.below(20);
  }
  made.data_bytes = before_last * layout.data_stride + last * layout.interval;
  made.metadata_bytes =
      last * (layout.metadata_start + layout.pi_offset + tuple) + before_last * layout.metadata_stride;
  if (random.once_in(4)) spoil_geometry(random, made);
  if (made.one_buffer) {
    made.metadata_bytes = made.data_bytes = std::max(made.data_bytes, made.metadata_bytes);
  }
  return made;
}

// The rule of misfit, in numbers that do not overflow.
bool fits(const Geometry& made) {
  using Wide = unsigned __int128;
  const TupleLayout& layout = made.layout;
  if (layout.interval == 0 || layout.data_stride < layout.interval) return false;
  if (Wide{layout.pi_offset} + tuple_bytes(layout.guard) > layout.metadata_stride) return false;
  if (layout.intervals == 0) return true;
  const Wide before_last = Wide{layout.intervals} - 1;
  return before_last <= UINT32_MAX && before_last * layout.data_stride + layout.interval <= made.data_bytes &&
         before_last * layout.metadata_stride + layout.metadata_start + layout.pi_offset +
                 tuple_bytes(layout.guard) <=
             made.metadata_bytes;
}

std::optional<std::uint16_t> tag_of(const AppTags& tags, std::size_t interval) {
  for (const AppTagRange& range : tags.ranges) {
    if (interval >= range.first && interval - range.first < range.count) return range.value;
  }
  return tags.others;
}

std::uint64_t big_endian(std::span<const std::uint8_t> bytes) {
  std::uint64_t value = 0;
  for (const std::uint8_t byte : bytes) value = value << 8 | byte;
  return value;
}

std::uint64_t guard_by_definition(const TupleLayout& layout, std::size_t i,
                                  std::span<const std::uint8_t> data,
                                  std::span<const std::uint8_t> metadata) {
  const auto interval = data.subspan(i * layout.data_stride, layout.interval);
  const auto before = metadata.subspan(layout.metadata_start + i * layout.metadata_stride, layout.pi_offset);
  if (layout.guard == Guard::kIpChecksum) return ip_by_words(interval, before);
  if (layout.guard == Guard::kCrc64Nvme) return crc64_by_bits(crc64_by_bits(0, interval), before);
  return crc_by_bits(crc_by_bits(0, interval), before);
}

std::vector<AppTagRange> random_ranges(Random& random) {
  std::vector<AppTagRange> ranges;
  std::uint32_t at = 0;
  for (std::size_t count = random.below(4); count > 0; --count) {
    at += static_cast<std::uint32_t>(random.below(4));
    const auto length = static_cast<std::uint32_t>(1 + random.below(4));
    ranges.push_back({.first = at, .count = length, .value = static_cast<std::uint16_t>(random.word())});
    at += length;
  }
  if (random.once_in(4)) ranges.push_back({.first = at, .count = UINT32_MAX, .value = 7});
  return ranges;
}

AppTags random_tags(Random& random, std::span<const AppTagRange> ranges) {
  return {.ranges = ranges,
          .others = random.once_in(2) ? std::optional<std::uint16_t>(random.below(65536)) : std::nullopt};
}

// By definition.
void put_tuple(const TupleLayout& layout, const GenerateRule& rule, std::size_t i,
               std::span<const std::uint8_t> data, Bytes& metadata) {
  const bool long_tuple = layout.guard == Guard::kCrc64Nvme;
  std::size_t at = layout.metadata_start + i * layout.metadata_stride + layout.pi_offset;
  const auto append = [&](std::uint64_t value, std::size_t bytes) {
    while (bytes-- > 0) metadata[at++] = static_cast<std::uint8_t>(value >> (8 * bytes));
  };
  append(guard_by_definition(layout, i, data, metadata), long_tuple ? 8 : 2);
  append(tag_of(rule.app_tags, i).value_or(0), 2);
  append(rule.count_ref ? layout.seed + i : 0, long_tuple ? 6 : 4);
}

void spoil_tuples(Random& random, const TupleLayout& layout, std::span<std::uint8_t> metadata) {
  for (std::size_t changes = random.below(4); changes > 0 && !metadata.empty(); --changes)
    metadata[random.below(metadata.size())] = static_cast<std::uint8_t>(random.hostile());
  if (random.once_in(3) && layout.intervals > 0) {  // Escaped.
    const std::size_t at = layout.metadata_start + random.below(layout.intervals) * layout.metadata_stride;
    std::ranges::fill(
        metadata.subspan(at + layout.pi_offset + 2, random.once_in(2) ? 2 : tuple_bytes(layout.guard) - 2),
        0xff);
  }
}

std::vector<Check> random_checks(Random& random, bool with_data) {
  std::vector<Check> checks;
  for (const Check one : {Check::kRef, Check::kGuard, Check::kApp}) {
    if (random.once_in(2) && (with_data || one != Check::kGuard)) checks.push_back(one);
  }
  return checks;
}

VerifyRule random_rule(Random& random, std::span<const Check> checks, const AppTags& tags) {
  return {.checks = checks,
          .escape_needs_ref = random.once_in(2),
          .escape_ends = random.once_in(4),
          .app_tags = tags,
          .app_tag_mask = static_cast<std::uint16_t>(random.hostile()),
          .findings_max = random.once_in(2) ? 100 : random.below(3)};
}

// By the definition of each check.
void check_verified(const TupleLayout& layout, const VerifyRule& rule, const VerifyResult& result,
                    std::span<const std::uint8_t> data, std::span<const std::uint8_t> metadata) {
  std::size_t checked = 0;
  std::size_t escaped = 0;
  std::size_t bad = 0;
  for (std::size_t i = 0; i < layout.intervals; ++i) {
    const auto tuple = metadata.subspan(layout.metadata_start + i * layout.metadata_stride + layout.pi_offset,
                                        tuple_bytes(layout.guard));
    const std::size_t guard_bytes = layout.guard == Guard::kCrc64Nvme ? 8 : 2;
    const std::uint64_t app = big_endian(tuple.subspan(guard_bytes, 2));
    const std::uint64_t ref = big_endian(tuple.subspan(guard_bytes + 2));
    if (app == kAppEscape && (!rule.escape_needs_ref || ref == ref_escape(layout.guard))) {
      ++escaped;
      if (rule.escape_ends) break;
      continue;
    }
    std::uint32_t differs = 0;
    bool compared = false;
    for (const Check one : rule.checks) {
      const auto tag = tag_of(rule.app_tags, i);
      if (one == Check::kApp && !tag) continue;
      compared = true;
      const bool same = one == Check::kGuard ? big_endian(tuple.first(guard_bytes)) ==
                                                   guard_by_definition(layout, i, data, metadata)
                        : one == Check::kRef ? ref == ((layout.seed + i) & ref_escape(layout.guard))
                                             : ((app ^ *tag) & rule.app_tag_mask) == 0;
      if (!same) differs |= 1U << static_cast<std::uint32_t>(one);
    }
    if (compared) ++checked;
    if (differs == 0) continue;
    if (bad < rule.findings_max) {
      CHECK(bad < result.findings.size() && result.findings[bad].interval == i &&
            result.findings[bad].differs == differs);
    }
    ++bad;
  }
  CHECK(result.checked == checked && result.escaped == escaped && result.bad == bad);
  CHECK(result.findings.size() == std::min(bad, rule.findings_max));
}

void tuples_of_any_geometry(Random& random) {
  use_any_kernel(random);
  const Geometry made = random_geometry(random);
  const TupleLayout& layout = made.layout;
  const bool right = misfit(layout, made.data_bytes, made.metadata_bytes) == nullptr;
  CHECK(right == fits(made));
  if (!right) return;
  const FencedBytes data_fenced(made.data_bytes, random.once_in(2));
  const FencedBytes metadata_fenced(made.metadata_bytes, random.once_in(2));
  const auto data = data_fenced.bytes();
  const auto metadata = made.one_buffer ? data : metadata_fenced.bytes();
  random.fill(data);
  random.fill(metadata);
  const auto ranges = random_ranges(random);
  const AppTags tags = random_tags(random, ranges);
  const GenerateRule rule{.count_ref = random.once_in(2), .app_tags = tags};

  Bytes expected(metadata.begin(), metadata.end());
  for (std::size_t i = 0; i < layout.intervals; ++i) {
    // Of what was generated so far: intervals may reach into earlier metadata.
    const auto so_far = made.one_buffer ? std::span<const std::uint8_t>(expected) : data;
    put_tuple(layout, rule, i, so_far, expected);
  }
  generate(layout, rule, data, metadata);
  CHECK(std::ranges::equal(metadata, expected));

  spoil_tuples(random, layout, metadata);
  const auto compare_verify = [&](bool with_data, std::span<const std::uint8_t> read) {
    const auto checks = random_checks(random, with_data);
    const VerifyRule verify_rule = random_rule(random, checks, tags);
    check_verified(layout, verify_rule, verify(layout, verify_rule, read, metadata), read, metadata);
  };
  compare_verify(true, data);
  if (made.one_buffer) return;
  const FencedBytes forbidden(0, false);  // Without the guard no data is read.
  compare_verify(false, {forbidden.bytes().data(), made.data_bytes});
}

// Plain data, and blocks with their metadata.
Geometry random_blocks(Random& random) {
  constexpr std::size_t kBlockBytesMax = 1 << 20;
  Geometry made = random_geometry(random);
  TupleLayout& layout = made.layout;
  layout.metadata_start = layout.interval;
  if (!made.one_buffer) layout.metadata_stride += layout.interval;
  made.one_buffer = false;
  made.metadata_bytes = std::min(layout.intervals * layout.metadata_stride, kBlockBytesMax);
  if (random.once_in(4)) spoil_geometry(random, made);
  return made;
}

// The rule of misfit_of_blocks, as above.
bool fits_blocks(const Geometry& made) {
  using Wide = unsigned __int128;
  const TupleLayout& layout = made.layout;
  const Wide end_of_tuple = Wide{layout.interval} + layout.pi_offset + tuple_bytes(layout.guard);
  return fits(made) && layout.metadata_start == layout.interval && end_of_tuple <= layout.metadata_stride &&
         Wide{layout.intervals} * layout.metadata_stride <= made.metadata_bytes;
}

void blocks_of_any_geometry(Random& random) {
  use_any_kernel(random);
  const Geometry made = random_blocks(random);
  const TupleLayout& layout = made.layout;
  const bool right = misfit_of_blocks(layout, made.data_bytes, made.metadata_bytes) == nullptr;
  CHECK(right == fits_blocks(made));
  if (!right) return;
  const FencedBytes data_fenced(made.data_bytes, random.once_in(2));
  const FencedBytes blocks_fenced(made.metadata_bytes, random.once_in(2));
  const auto data = data_fenced.bytes();
  const auto blocks = blocks_fenced.bytes();
  random.fill(data);
  random.fill(blocks);
  const auto ranges = random_ranges(random);
  const AppTags tags = random_tags(random, ranges);
  const GenerateRule rule{.count_ref = random.once_in(2), .app_tags = tags};

  Bytes inserted(blocks.begin(), blocks.end());
  for (std::size_t i = 0; i < layout.intervals; ++i) {
    const auto block = std::span(inserted).subspan(i * layout.metadata_stride, layout.metadata_stride);
    std::ranges::fill(block, 0);
    std::ranges::copy(data.subspan(i * layout.data_stride, layout.interval), block.begin());
    put_tuple(layout, rule, i, data, inserted);
  }
  insert(layout, rule, data, blocks);
  CHECK(std::ranges::equal(blocks, inserted));

  spoil_tuples(random, layout, blocks);
  random.fill(data);
  Bytes stripped(data.begin(), data.end());
  for (std::size_t i = 0; i < layout.intervals; ++i) {
    std::ranges::copy(blocks.subspan(i * layout.metadata_stride, layout.interval),
                      std::span(stripped).subspan(i * layout.data_stride).begin());
  }
  const auto checks = random_checks(random, true);
  const VerifyRule verify_rule = random_rule(random, checks, tags);
  check_verified(layout, verify_rule, strip(layout, verify_rule, blocks, data), data, blocks);
  CHECK(std::ranges::equal(data, stripped));
}

// Numbers at the edges of what a ring of `size` bytes holds.
std::uint64_t near_edge(Random& random, std::size_t size) {
  const std::uint64_t edges[] = {0, FakeRing::kRingAt, FakeRing::kRingBytes, FakeRing::kDataAt, size};
  return random.once_in(3) ? random.hostile() : random.pick(edges) + random.below(33) - 16;
}

// Changes fields of the mailbox and of the entries at `entries`, or anything.
void spoil(Random& random, std::span<std::uint8_t> memory, const std::vector<std::uint32_t>& entries) {
  struct Field {
    std::size_t at;
    std::size_t bytes;
  };
  constexpr Field kMailbox[] = {{0, 2}, {2, 2}, {4, 4}, {8, 4}, {12, 4}, {64, 4}};
  constexpr Field kEntry[] = {{0, 4}, {4, 2}, {8, 4}, {12, 4}, {24, 8}, {48, 8}, {56, 8}, {64, 8}, {72, 8}};
  for (std::size_t changes = random.below(3); changes > 0; --changes) {
    Field field{random.below(memory.size()), 1};
    std::uint64_t value = near_edge(random, memory.size());
    if (random.once_in(8)) {
      field = random.pick(kMailbox);
    } else if (!entries.empty() && !random.once_in(8)) {
      field = random.pick(kEntry);
      // A length, which is a multiple of eight, and an operation.
      if (field.at == 0 && random.once_in(2)) value = random.below(20) * 8 | random.below(3);
      if (field.at > 0 && field.at < 24) value = random.below(16);  // An id, and counts.
      field.at += random.pick(entries);
    }
    if (field.at + field.bytes <= memory.size()) std::memcpy(&memory[field.at], &value, field.bytes);
  }
}

// Where they begin.
std::vector<std::uint32_t> put_entries(Random& random, FakeRing& fake) {
  std::vector<std::uint32_t> entries;
  const std::size_t count = random.below(4);
  for (std::uint16_t id = 0; id < count; ++id) {
    fake.pad_if_short();
    if (random.once_in(6)) {
      entries.push_back(fake.add(2 + static_cast<std::uint32_t>(random.below(6)), 40));
      continue;
    }
    std::vector<FakeRing::Piece> pieces(random.below(3));
    for (auto& piece : pieces) {
      piece.at = FakeRing::kDataAt + random.below(FakeRing::kBytes - FakeRing::kDataAt);
      piece.bytes = random.below(FakeRing::kBytes - piece.at + 1);
    }
    Bytes cdb = random.bytes(32);
    if (random.once_in(3)) cdb[0] = 0x7f;
    entries.push_back(fake.add_command(id, cdb, pieces));
  }
  return entries;
}

void rings_with_anything_in_them(Random& random) {
  FakeRing fake;
  fake.begin_at(static_cast<std::uint32_t>(random.below(FakeRing::kRingBytes / 8) * 8));
  const auto entries = put_entries(random, fake);
  spoil(random, fake.memory(), entries);
  // The kernel maps whole pages; here the end may be anywhere that is a multiple of eight.
  const std::size_t size = random.once_in(8) ? random.below(FakeRing::kBytes / 8) * 8 : FakeRing::kBytes;
  const FencedBytes fenced(size, true);
  const auto memory = fenced.bytes();
  std::ranges::copy(fake.memory().first(size), memory.begin());
  TcmuRing ring;
  if (ring.attach(memory).error != 0) return;

  constexpr std::size_t kTail = 64;
  const auto tail_now = [&] { return Bytes(memory.begin() + kTail, memory.begin() + kTail + 4); };
  Bytes tail = tail_now();
  std::map<std::uint16_t, std::size_t> under_way;
  for (int steps = 0; steps < 12; ++steps) {
    if (random.once_in(2)) spoil(random, memory, entries);
    const bool is_reset = tail != tail_now();
    const std::size_t entries_max = random.below(9);
    const TcmuBatch batch = ring.take(entries_max);
    CHECK((batch.error == ESTALE) == is_reset);
    CHECK(batch.commands.size() <= entries_max);
    for (const TcmuCommand& command : batch.commands) {
      CHECK(command.cdb.size() >= 6 && command.cdb.size() <= std::min<std::size_t>(263, memory.size()));
      CHECK(command.data_bytes <= memory.size());
      CHECK(under_way.emplace(command.id, command.data_bytes).second);
    }
    const auto first = under_way.begin();
    const bool unknown = first == under_way.end() || random.once_in(4);
    const auto named = unknown ? static_cast<std::uint16_t>(random.word()) : first->first;
    const auto found = under_way.find(named);
    const TcmuRing::Data data = ring.data_of(named);
    CHECK((data.error == 0) == (found != under_way.end()));
    CHECK(data.error != 0 || data.bytes == found->second);
    const Bytes sense = random.bytes(random.below(300));
    const Bytes brought = random.bytes(random.below(2000));
    Bytes before(memory.begin(), memory.end());
    const Outcome completed = ring.complete({.id = named,
                                             .status = static_cast<std::uint8_t>(random.word()),
                                             .sense = sense,
                                             .brings_data = random.once_in(2),
                                             .data_in = brought});
    CHECK(completed.error == (found == under_way.end() ? ENOENT : is_reset ? ESTALE : 0));
    // The reply, the tail, and the pieces of the data area are all that it writes.
    std::size_t in_pieces = 0;
    for (const auto piece : data.pieces) {
      std::ranges::copy(piece, before.begin() + (piece.data() - memory.data()));
      in_pieces += piece.size();
    }
    CHECK(in_pieces == data.bytes);
    constexpr std::size_t kReplyBytes = 16 + kTcmuSenseBytes;
    std::size_t changed = 0;
    for (std::size_t i = 0; i < before.size(); ++i) changed += before[i] != memory[i] ? 1 : 0;
    CHECK(changed <= (completed.error == 0 ? kReplyBytes + tail.size() : 0));
    if (completed.error == 0) under_way.erase(found);
    if (!is_reset) tail = tail_now();
  }
}

// A kernel that answers with anything.
Random* kernel = nullptr;

void fill_hostile(void* at, std::size_t size) { kernel->fill({static_cast<std::uint8_t*>(at), size}); }

int answer_sg_io(sg_io_hdr_t& header) {
  // Past the end of either buffer a kernel does not write.
  fill_hostile(header.sbp, header.mx_sb_len);
  if (header.dxfer_len > 0) fill_hostile(header.dxferp, kernel->below(header.dxfer_len + 1));
  fill_hostile(&header.status, offsetof(sg_io_hdr_t, info) + sizeof header.info - offsetof(sg_io_hdr_t, status));
  return 0;
}

int answer_ioctl(unsigned long request, void* argument) {
  if (kernel->once_in(8)) {
    errno = static_cast<int>(1 + kernel->below(130));
    return -1;
  }
  switch (request) {
    case SG_IO:
      return answer_sg_io(*static_cast<sg_io_hdr_t*>(argument));
    case NVME_IOCTL_ADMIN_CMD: {
      const auto& command = *static_cast<nvme_passthru_cmd*>(argument);
      fill_hostile(reinterpret_cast<void*>(command.addr), command.data_len);
      break;
    }
    case NVME_IOCTL_IO_CMD:
      break;
    case NVME_IOCTL_ID:
      return static_cast<int>(kernel->below(std::size_t{1} << 31));
    default:
      fill_hostile(argument, sizeof(LbmdCap));
  }
  return kernel->once_in(2) ? 0 : static_cast<int>(kernel->below(1 << 16));
}

// What a device has, and what it does to the memory that it is given.
struct Delivery {
  Bytes data{};  // With the tuples, where those come interleaved.
  Bytes tuples{};
  Bytes before{};
  Bytes after{};
  bool overruns = false;
  SgAnswer sg{};
  std::int32_t pi = 0;  // Bytes, or a negative errno.
};
Delivery delivery;

// All of it, or some of it.
void deliver(std::span<const std::uint8_t> content, std::span<std::uint8_t> memory) {
  const bool all = memory.empty() || !kernel->once_in(3);
  const std::size_t from = all || kernel->once_in(2) ? 0 : kernel->below(memory.size());
  const std::size_t bytes = all ? memory.size() : kernel->below(memory.size() - from + 1);
  std::ranges::copy(content.subspan(from, bytes), memory.subspan(from).begin());
}

SgAnswer answer_read(int, const SgCommand& command) noexcept {
  const auto memory = command.data;
  delivery.before.assign(memory.begin(), memory.end());
  deliver(delivery.data, memory);
  delivery.after.assign(memory.begin(), memory.end());
  delivery.overruns = kernel->once_in(8);
  if (delivery.overruns) memory.data()[memory.size() + kernel->below(64)] ^= 1;
  SgAnswer& sg = delivery.sg = {};
  if (kernel->once_in(8)) sg.error = static_cast<int>(kernel->below(3));
  if (kernel->once_in(8)) sg.status = static_cast<std::uint8_t>(kernel->below(3));
  if (kernel->once_in(8)) sg.host_status = static_cast<std::uint16_t>(kernel->below(3));
  if (kernel->once_in(8)) sg.driver_status = static_cast<std::uint16_t>(kernel->below(3));
  if (kernel->once_in(8)) sg.resid = static_cast<std::int32_t>(kernel->hostile());
  return sg;
}

// The kernel's side of a ring of io_uring, which has done a command when it has taken it.
struct Uring {
  Mapping queues;
  Mapping sqes;
};
Uring uring;

int set_up_uring(io_uring_params& params) {
  const int fd = ::memfd_create("uring", MFD_CLOEXEC);
  if (fd < 0 || ::ftruncate(fd, IORING_OFF_SQES + 4096) != 0) std::abort();
  uring = {.queues = Mapping(fd, 4096, IORING_OFF_SQ_RING), .sqes = Mapping(fd, 4096, IORING_OFF_SQES)};
  constexpr std::uint32_t kFeatureRwAttribute = 1U << 16;
  params.features = kernel->once_in(8) ? static_cast<std::uint32_t>(kernel->word()) : kFeatureRwAttribute;
  delivery.pi = (params.features & kFeatureRwAttribute) != 0 ? 0 : -ENOTSUP;
  params.sq_entries = 1;
  params.cq_entries = 2;
  params.sq_off.head = 0;
  params.sq_off.tail = 4;
  params.sq_off.ring_mask = 8;
  params.sq_off.array = 12;
  params.cq_off.head = 16;
  params.cq_off.tail = 20;
  params.cq_off.ring_mask = 24;
  params.cq_off.cqes = 64;
  *uring.queues.at<std::uint32_t>(params.cq_off.ring_mask) = params.cq_entries - 1;
  return fd;
}

int enter_uring() {
  if (kernel->once_in(8)) {
    errno = kernel->once_in(2) ? EINTR : EAGAIN;
    delivery.pi = -errno;
    return -1;
  }
  const auto& sqe = *uring.sqes.at<io_uring_sqe>(0);
  const auto number = [](auto value, const std::uint8_t* at) {
    std::memcpy(&value, at, sizeof value);
    return value;
  };
  // attr_ptr, and of struct io_uring_attr_pi what says where the tuples are.
  const auto* attribute = reinterpret_cast<const std::uint8_t*>(
      number(std::uintptr_t{}, reinterpret_cast<const std::uint8_t*>(&sqe) + 48));
  const std::span data(reinterpret_cast<std::uint8_t*>(sqe.addr), sqe.len);
  const std::span tuples(reinterpret_cast<std::uint8_t*>(number(std::uintptr_t{}, attribute + 8)),
                         number(std::uint32_t{}, attribute + 4));
  // A command that was interrupted is sent again.
  if (delivery.before.empty()) delivery.before.assign(tuples.begin(), tuples.end());
  deliver(delivery.data, data);
  deliver(delivery.tuples, tuples);
  delivery.pi = static_cast<std::int32_t>(data.size());
  if (kernel->once_in(8)) delivery.pi = static_cast<std::int32_t>(kernel->below(data.size() + 1));
  if (kernel->once_in(8)) delivery.pi = -static_cast<std::int32_t>(kernel->below(130));
  std::uint32_t& tail = *uring.queues.at<std::uint32_t>(20);
  uring.queues.at<io_uring_cqe>(64)[tail & 1].res = delivery.pi;
  ++tail;
  return 1;
}

// Blocks that are right but for what is spoilt, of a geometry that fits.
std::optional<Geometry> random_delivery(Random& random, bool interleaved) {
  const Geometry made = random_geometry(random);
  const TupleLayout& layout = made.layout;
  if (made.one_buffer != interleaved || misfit(layout, made.data_bytes, made.metadata_bytes) != nullptr)
    return std::nullopt;
  delivery = {.data = random.bytes(made.data_bytes), .tuples = random.bytes(made.metadata_bytes)};
  Bytes& tuples = interleaved ? delivery.data : delivery.tuples;
  generate(layout, {.count_ref = true, .app_tags = {}}, delivery.data, tuples);
  spoil_tuples(random, layout, tuples);
  return made;
}

ReadRule random_read_rule(Random& random, const TupleLayout& layout) {
  return {.layout = layout,
          .checks = random_checks(random, true),
          .escape_needs_ref = random.once_in(2),
          .findings_max = random.below(4)};
}

// There is a verdict if the answer was good and each tuple is another than what was there before, and it is
// that of what came.
void check_read(const ReadRule& rule, bool good, const std::optional<VerifyResult>& verified,
                std::span<const std::uint8_t> data, std::span<const std::uint8_t> tuples) {
  const TupleLayout& layout = rule.layout;
  for (std::size_t i = 0; good && i < layout.intervals; ++i) {
    const std::size_t at = layout.metadata_start + i * layout.metadata_stride + layout.pi_offset;
    good = !std::ranges::equal(std::span(delivery.before).subspan(at, 8), tuples.subspan(at, 8));
  }
  CHECK(verified.has_value() == good);
  if (!verified) return;
  const VerifyRule verify_rule{.checks = rule.checks,
                               .escape_needs_ref = rule.escape_needs_ref,
                               .escape_ends = false,
                               .app_tags = {},
                               .app_tag_mask = 0,
                               .findings_max = rule.findings_max};
  check_verified(layout, verify_rule, *verified, data, tuples);
}

void interleaved_reads_of_any_device(Random& random) {
  use_any_kernel(random);
  kernel = &random;
  ReadMemory memory;
  for (int commands = 0; commands < 4; ++commands) {
    const auto made = random_delivery(random, true);
    if (!made) continue;
    const ReadRule rule = random_read_rule(random, made->layout);
    const SgCommand command{
        .cdb = Bytes(16), .direction = Direction::kFromDevice, .data = {}, .timeout_ms = 1000};
    const auto answer = sg_read_verify(-1, answer_read, command, made->data_bytes, rule, memory);
    const SgAnswer& sg = delivery.sg;
    CHECK(answer.error == sg.error && answer.sg.overrun == delivery.overruns);
    const bool good = sg.error == 0 && sg.status == 0 && sg.host_status == 0 && sg.driver_status == 0 &&
                      sg.resid == 0 && !delivery.overruns;
    check_read(rule, good, answer.verified, delivery.after, delivery.after);
    CHECK(memory.of(made->data_bytes).is_intact());
  }
}

void reads_with_tuples_of_any_device(Random& random) {
  use_any_kernel(random);
  kernel = &random;
  PiRing ring;
  ReadMemory data;
  ReadMemory tuples;
  for (int commands = 0; commands < 4; ++commands) {
    const auto made = random_delivery(random, false);
    if (!made) continue;
    const ReadRule rule = random_read_rule(random, made->layout);
    const PiRead read{.offset = random.hostile(),
                      .data_bytes = made->data_bytes,
                      .tuple_bytes = made->metadata_bytes,
                      .flags = 0,
                      .seed = made->layout.seed};
    const auto answer = pi_read_verify(-1, ring, read, rule, data, tuples);
    const auto came = static_cast<std::size_t>(std::max(0, delivery.pi));
    CHECK(answer.error == std::max(0, -delivery.pi) && answer.bytes == came);
    check_read(rule, answer.error == 0 && came == made->data_bytes, answer.verified,
               data.of(made->data_bytes).bytes(), tuples.of(made->metadata_bytes).bytes());
  }
}

void reads_that_nobody_looks_at(Random& random) {
  ReadMemory memory;
  const Bytes content = random.bytes(random.below(3000));
  const Fd file(::memfd_create("file", MFD_CLOEXEC));
  CHECK(::write(file.get(), content.data(), content.size()) == static_cast<ssize_t>(content.size()));
  for (int runs = 0; runs < 4; ++runs) {
    const std::uint64_t offset = random.once_in(4) ? random.hostile() : random.below(4000);
    const std::size_t bytes = 1 + random.below(3000);
    const std::size_t reads = 1 + random.below(4);
    const Transfer read = read_through(file.get(), offset, bytes, reads, memory);
    const std::size_t from = std::min<std::uint64_t>(offset, content.size());
    const auto expected = std::span(content).subspan(from).first(std::min(reads * bytes, content.size() - from));
    CHECK(read.bytes == expected.size());
    // The memory holds what the last read brought, which may have been nothing.
    const std::size_t last = read.bytes == reads * bytes ? bytes : read.bytes % bytes;
    CHECK(std::ranges::equal(memory.of(bytes).bytes().first(last), expected.last(last)));
  }
}

void answers_of_any_kernel(Random& random) {
  kernel = &random;
  const FencedBytes fenced(random.below(2000), random.once_in(2));
  const auto direction = fenced.bytes().empty() ? Direction::kNone : Direction::kFromDevice;
  const SgAnswer answer = sg_io(-1, {.cdb = random.bytes(6 + random.below(27)),
                                     .direction = direction,
                                     .data = fenced.bytes(),
                                     .timeout_ms = static_cast<std::uint32_t>(random.word())});
  CHECK(answer.sense_bytes <= answer.sense.size());
  CHECK(answer.error == 0 || answer.sense_bytes == 0);
  CHECK(lbmd_capability(-1).error >= 0);

  const std::uint32_t blocks = static_cast<std::uint32_t>(random.once_in(2) ? random.below(9) : random.hostile());
  const FencedBytes metadata(random.below(100), random.once_in(2));
  const NvmeTransfer transfer{.opcode = NvmeOpcode::kRead,
                              .slba = random.hostile(),
                              .blocks = blocks,
                              .data = fenced.bytes(),
                              .metadata = metadata.bytes(),
                              .prchk = static_cast<std::uint8_t>(random.below(8)),
                              .ref_tag = random.hostile(),
                              .app_tag = 0,
                              .app_mask = 0,
                              .timeout_ms = 1000};
  CHECK(nvme_io(-1, transfer).error >= 0);
  CHECK(nvme_identify(-1, NvmeIdentify::kNamespace, 1000).error >= 0);
}

void formats_of_any_namespace(Random& random) {
  constexpr std::uint8_t kExponents[] = {0, 8, 9, 12, 31, 32, 63, 64, 255};
  constexpr std::uint16_t kMetadata[] = {0, 8, 16, 64, 65535};
  std::array<std::uint8_t, kNvmeIdentifyBytes> identified{};
  random.fill(std::span(identified).first(512));
  if (random.once_in(2)) identified[26] &= 0x6f;
  const std::uint8_t flbas = identified[26];
  const std::size_t format = 128 + 4 * std::size_t{(flbas & 0x0fU) | (flbas & 0x60U) >> 1};
  const std::uint8_t exponent = random.pick(kExponents);
  const std::uint16_t metadata_size = random.pick(kMetadata);
  identified[format] = static_cast<std::uint8_t>(metadata_size);
  identified[format + 1] = static_cast<std::uint8_t>(metadata_size >> 8);
  identified[format + 2] = exponent;

  using Wide = unsigned __int128;
  const auto blocks = static_cast<std::uint32_t>(random.once_in(2) ? random.below(9) : random.hostile());
  const Wide data_bytes = exponent < 64 ? Wide{blocks} << exponent : 0;
  const Wide metadata_bytes = Wide{blocks} * metadata_size;
  const FencedBytes forbidden(0, false);  // Nothing of the buffers is read.
  const auto buffer = [&](Wide size) -> std::span<std::uint8_t> {
    const auto right = static_cast<std::size_t>(std::min<Wide>(size, std::numeric_limits<std::ptrdiff_t>::max()));
    return {forbidden.bytes().data(), random.once_in(4) ? random.hostile() >> 1 : right};
  };
  const NvmeTransfer transfer{.opcode = NvmeOpcode::kRead,
                              .slba = 0,
                              .blocks = blocks,
                              .data = buffer(data_bytes),
                              .metadata = buffer(metadata_bytes),
                              .prchk = 0,
                              .ref_tag = 0,
                              .app_tag = 0,
                              .app_mask = 0,
                              .timeout_ms = 1000};
  const bool fit = blocks > 0 && blocks <= kNvmeBlocksMax && (flbas & 0x10) == 0 && exponent >= 9 &&
                   exponent <= 31 && data_bytes == transfer.data.size() &&
                   metadata_bytes == transfer.metadata.size();
  CHECK(nvme_fits(identified, transfer) == fit);
}

// A folder of a name of its own, gone with all that is in it.
class Tree {
 public:
  Tree() {
    std::string name = (fs::temp_directory_path() / "blkint-core-fuzz-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    root_ = name;
  }
  ~Tree() {
    std::error_code ignored;
    fs::remove_all(root_, ignored);
  }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  const std::string& root() const { return root_; }

 private:
  std::string root_;
};

std::string random_name(Random& random) {
  constexpr const char* kNames[] = {"a", "sda", "*", "...", "integrity", "format@", "-", " ", "\n", "\xff\xfe", "%s%n"};
  if (random.once_in(2)) return random.pick(kNames);
  std::string name;
  for (std::size_t length = 1 + random.below(random.once_in(8) ? 255 : 6); length > 0; --length) {
    const char byte = static_cast<char>(1 + random.below(255));
    name += byte == '/' ? '_' : byte;
  }
  return name == "." || name == ".." ? "dots" : name;
}

void make_file(const std::string& path, const Bytes& content) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(content.data()), static_cast<std::streamsize>(content.size()));
}

// An entry that may be there already, or not be possible: then it is not made. No link leads out of `root`, where others are at work.
void make_entry(Random& random, const std::string& root, const std::string& path) {
  const char* const targets[] = {"/dev/null", "/dev/zero", root.c_str(), ".", "nowhere", "", "a", "sda/integrity"};
  constexpr std::size_t kSizes[] = {0, 1, 4095, kFileBytesMax - 1, kFileBytesMax, kFileBytesMax + 1, 3 * kFileBytesMax};
  switch (random.below(6)) {
    case 0:
      (void)::symlink(random.once_in(4) ? path.c_str() : random.pick(targets), path.c_str());
      break;
    case 1:
      (void)::mkfifo(path.c_str(), 0600);
      break;
    case 2:
      (void)::mkdir(path.c_str(), 0700);
      break;
    case 3:
      (void)::mkdir(path.c_str(), 0000);  // Not to be looked into, but by root.
      break;
    default: {
      struct stat status {};
      if (::lstat(path.c_str(), &status) == 0) break;
      make_file(path, random.bytes(random.once_in(4) ? random.pick(kSizes) : random.below(80)));
    }
  }
}

void snapshots_of_any_tree(Random& random) {
  const Tree tree;
  std::vector<std::string> paths{""};
  for (std::size_t count = random.below(25); count > 0; --count) {
    paths.push_back(random.pick(paths) + '/' + random_name(random));
    make_entry(random, tree.root(), tree.root() + paths.back());
  }
  std::vector<std::string> patterns;
  for (std::size_t count = random.below(8); count > 0; --count) {
    std::string pattern;
    for (std::size_t depth = 1 + random.below(3); depth > 0; --depth)
      pattern += (pattern.empty() ? "" : "/") + (random.once_in(2) ? "*" : random_name(random));
    if (const std::string& path = random.pick(paths); random.once_in(3) && !path.empty()) pattern = path.substr(1);
    constexpr const char* kMarks[] = {"", "", "@", "/"};
    pattern += random.pick(kMarks);
    if (is_pattern(pattern)) patterns.push_back(pattern);
  }
  const Snapshot snapshot = take_snapshot(tree.root(), patterns);
  for (const auto& [path, content] : snapshot.entries) {
    CHECK(!path.empty() && path.front() != '/');
    CHECK(content.size() <= kFileBytesMax);
    CHECK(!snapshot.errors.contains(path));
  }
  for (const auto& [path, error] : snapshot.errors) CHECK(error > 0 && error != ENOENT && error != ENOTDIR);
  const Snapshot again = take_snapshot(tree.root(), patterns);
  CHECK(again.entries == snapshot.entries && again.errors == snapshot.errors);
}

bool is_number(const std::string& name) {
  std::int32_t value = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), value);
  return error == std::errc() && end == name.data() + name.size();
}

void processes_of_any_kind(Random& random) {
  constexpr const char* kNames[] = {"1", "2", "77", "007", "-1", "2147483647", "2147483648", "99999999999999999999", "1x", "self", "0x1"};
  constexpr const char* kTargets[] = {"/dev/null", "/dev/zero", "/etc/hostname", "nowhere", "5"};
  const Tree tree;
  using Found = std::multiset<std::pair<std::int32_t, std::uint32_t>>;
  Found expected;
  std::set<std::int32_t> hidden;
  for (std::size_t count = random.below(6); count > 0; --count) {
    const std::string name = random.pick(kNames);
    const std::string process = tree.root() + '/' + name;
    if (::mkdir(process.c_str(), 0700) != 0) continue;
    // It is the kernel's own: a text, or gone.
    if (random.once_in(2)) make_file(process + "/comm", random.bytes(random.below(40)));
    const bool by_thread = random.once_in(4);
    std::string files = process + "/fd";
    if (by_thread) {  // The first thread has ended.
      fs::create_directory(files);
      fs::create_directories(process + "/task/12345/fd");
      files = process + "/task/12345/fd";
    } else if (random.once_in(4)) {
      make_entry(random, tree.root(), files);
      const bool looped = fs::is_symlink(fs::symlink_status(files));
      if (looped || (fs::exists(files) && !fs::is_directory(files))) {
        fs::remove(files);
        fs::create_symlink("fd", files);
        if (is_number(name)) hidden.insert(std::stoi(name));
        continue;
      }
    }
    std::error_code there;
    fs::create_directory(files, there);
    fs::permissions(files, fs::perms::owner_all, there);
    for (std::size_t opened = random.below(5); opened > 0; --opened) {
      const std::string number = random.pick(kNames);
      const std::string target = random.pick(kTargets);
      if (::symlink(target.c_str(), (files + '/' + number).c_str()) != 0 || !is_number(name) || !is_number(number)) continue;
      if (target.starts_with("/dev/")) expected.emplace(std::stoi(name), target == "/dev/null" ? 3 : 5);
    }
  }
  const OpenNodes nodes = open_nodes(tree.root());
  Found found;
  for (const OpenNode& node : nodes.nodes) {
    CHECK(!node.block && node.major == 1);
    CHECK(node.command.find('\n') == std::string::npos);
    found.emplace(node.pid, node.minor);
  }
  CHECK(nodes.error == 0 && found == expected);
  CHECK((std::set(nodes.hidden.begin(), nodes.hidden.end()) == hidden));
}

void patterns_of_any_text(Random& random) {
  std::string pattern;
  constexpr char kBytes[] = {'/', '.', '*', '@', 'a', '\0'};
  for (std::size_t length = random.below(9); length > 0; --length) pattern += random.pick(kBytes);
  std::string components = pattern;
  if (components.ends_with('@') || components.ends_with('/')) components.pop_back();
  bool stays = components.find('\0') == std::string::npos;
  for (std::size_t from = 0; from <= components.size();) {
    const std::size_t to = std::min(components.find('/', from), components.size());
    const std::string one = components.substr(from, to - from);
    stays = stays && !one.empty() && one != "." && one != "..";
    from = to + 1;
  }
  // NUL behind the mark counts too.
  CHECK(is_pattern(pattern) == (stays && pattern.find('\0') == std::string::npos));
}

struct Test {
  const char* name;
  void (*run)(Random&);
  std::uint64_t one_in;  // Of CASES.
};

constexpr std::array kTests{
    Test{"guards of any bytes", guards_of_any_bytes, 4},
    Test{"tuples of any geometry", tuples_of_any_geometry, 1},
    Test{"insert and strip: blocks of any geometry", blocks_of_any_geometry, 1},
    Test{"reads that are verified: interleaved, any device", interleaved_reads_of_any_device, 2},
    Test{"reads that are verified: by io_uring, any device", reads_with_tuples_of_any_device, 4},
    Test{"reads that nobody looks at", reads_that_nobody_looks_at, 4},
    Test{"TCMU: rings with anything in them", rings_with_anything_in_them, 1},
    Test{"ioctls: answers of any kernel", answers_of_any_kernel, 4},
    Test{"NVMe: formats of any namespace", formats_of_any_namespace, 1},
    Test{"snapshot: patterns of any text", patterns_of_any_text, 1},
    Test{"snapshot: any tree", snapshots_of_any_tree, 100},
    Test{"open nodes: processes of any kind", processes_of_any_kind, 100},
};

bool run(const Test& test, std::uint64_t index, std::uint64_t first, std::uint64_t end) {
  current.test = test.name;
  current.failed = false;
  for (current.number = first; current.number < end; ++current.number) {
    Random random(current.seed, index, current.number);
    test.run(random);
  }
  return !current.failed;
}

}  // namespace

// Of an exception that nobody takes, say_where tells too.
extern "C" __attribute__((visibility("default"))) const char* __asan_default_options() { return "handle_abort=1"; }

// Nothing here has a device to ask.
extern "C" int ioctl(int, unsigned long request, ...) noexcept {
  va_list arguments;
  va_start(arguments, request);
  void* const argument = request == NVME_IOCTL_ID ? nullptr : va_arg(arguments, void*);
  va_end(arguments);
  return answer_ioctl(request, argument);
}

// Of io_uring alone: nobody else here makes system calls by number.
extern "C" long syscall(long number, ...) noexcept {
  if (number == SYS_io_uring_enter) return enter_uring();
  if (number != SYS_io_uring_setup) std::abort();
  va_list arguments;
  va_start(arguments, number);
  (void)va_arg(arguments, unsigned);
  auto& params = *va_arg(arguments, io_uring_params*);
  va_end(arguments);
  return set_up_uring(params);
}

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const std::uint64_t cases = std::strtoull(argv[1], nullptr, 0);
  current.seed = argc > 2 ? std::strtoull(argv[2], nullptr, 0) : std::random_device{}();
  __sanitizer_set_death_callback(say_where);
  std::printf("TAP version 14\n1..%zu\n# seed %llu\n", kTests.size(), static_cast<unsigned long long>(current.seed));
  int failed = 0;
  for (std::size_t i = 0; i < kTests.size(); ++i) {
    const std::uint64_t first = argc > 3 ? std::strtoull(argv[3], nullptr, 0) : 0;
    const std::uint64_t end = argc > 3 ? first + 1 : cases / kTests[i].one_in;
    const bool good = run(kTests[i], i, first, end);
    if (!good) ++failed;
    std::printf("%sok %zu - %s: %llu cases\n", good ? "" : "not ", i + 1, kTests[i].name,
                static_cast<unsigned long long>(end - first));
    std::fflush(stdout);
  }
  return failed == 0 ? 0 : 1;
}
