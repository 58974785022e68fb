// The tests of core without Node, as TAP. Built by node-gyp with -Dnative_tests=1.
#include <dirent.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <functional>
#include <future>
#include <limits>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "core/block_io.h"
#include "core/crc16_t10dif.h"
#include "core/crc64_nvme.h"
#include "core/device_node.h"
#include "core/executor.h"
#include "core/fd.h"
#include "core/insert_strip.h"
#include "core/io_uring.h"
#include "core/ip_checksum.h"
#include "core/lbmd.h"
#include "core/nvme.h"
#include "core/page_buffer.h"
#include "core/pinned_memory.h"
#include "core/read_verify.h"
#include "core/sg_io.h"
#include "core/sysfs.h"
#include "core/tcmu_ring.h"
#include "core/tuple_parts.h"
#include "core/tuples.h"
#include "test/support.h"

namespace {

using namespace blkint;

int failures_of_test = 0;

void check(bool holds, const char* expression, int line) {
  if (holds) return;
  ++failures_of_test;
  std::printf("# line %d: %s\n", line, expression);
}
#define CHECK(expression) check((expression), #expression, __LINE__)

Bytes filled(std::size_t size, std::uint8_t byte) { return Bytes(size, byte); }

Bytes counting(std::size_t size) {
  Bytes bytes(size);
  std::iota(bytes.begin(), bytes.end(), std::uint8_t{0});
  return bytes;
}

Bytes text(const std::string& characters) { return {characters.begin(), characters.end()}; }

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = "/tmp/blkint-core-test-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  ~TemporaryFolder() {
    for (auto path = made_.rbegin(); path != made_.rend(); ++path) ::remove(path->c_str());
    ::rmdir(path_.c_str());
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string file(const std::string& name, const std::string& content) {
    std::ofstream(made(name)) << content;
    return made_.back();
  }
  void folder(const std::string& name) { CHECK(::mkdir(made(name).c_str(), 0700) == 0); }
  void link(const std::string& name, const std::string& target) {
    CHECK(::symlink(target.c_str(), made(name).c_str()) == 0);
  }

 private:
  const std::string& made(const std::string& name) { return made_.emplace_back(path_ + '/' + name); }

  std::string path_;
  std::vector<std::string> made_;
};

void crc16_known_values() {
  CHECK(crc16_t10dif(0, text("123456789")) == 0xd0db);
  CHECK(crc16_t10dif(0, filled(32, 0xff)) == 0xa293);
  CHECK(crc16_t10dif(0, filled(512, 0xff)) == 0xe6a1);
  CHECK(crc16_t10dif(0, counting(512)) == 0x4f10);
  CHECK(crc16_t10dif(0, counting(4096)) == 0x8f6d);
  CHECK(crc16_t10dif(0, {}) == 0);
}

void crc16_equals_its_definition() {
  for (std::size_t size = 0; size < 100; ++size) {
    const Bytes bytes = counting(size);
    for (const std::uint16_t seed : std::array<std::uint16_t, 4>{0x0000, 0x0001, 0x8bb7, 0xffff})
      CHECK(crc16_t10dif(seed, bytes) == crc_by_bits(seed, bytes));
  }
}

void crc16_goes_on_where_it_stopped() {
  const Bytes bytes = counting(67);
  const std::span whole(bytes);
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    CHECK(crc16_t10dif(crc16_t10dif(0, whole.first(cut)), whole.subspan(cut)) == crc_by_bits(0, bytes));
  }
}

// Those of the NVM command set specification.
void crc64_known_values() {
  CHECK(crc64_nvme(0, filled(4096, 0x00)) == 0x6482d367eb22b64e);
  CHECK(crc64_nvme(0, filled(4096, 0xff)) == 0xc0ddba7302eca3ac);
  CHECK(crc64_nvme(0, counting(4096)) == 0x3e729f5f6750449c);
  CHECK(crc64_nvme(0, text("123456789")) == 0xae8b14860a799888);
  CHECK(crc64_nvme(0, {}) == 0);
}

void crc64_goes_on_where_it_stopped() {
  const Bytes bytes = counting(67);
  const std::span whole(bytes);
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    CHECK(crc64_nvme(crc64_nvme(0, whole.first(cut)), whole.subspan(cut)) == crc64_by_bits(0, bytes));
  }
}

void ip_known_values() {
  CHECK(ip_checksum(filled(512, 0x00)) == 0xffff);
  CHECK(ip_checksum(filled(512, 0xff)) == 0x0000);
  CHECK(ip_checksum(counting(512)) == 0x7f80);
  CHECK(ip_checksum(counting(4096)) == 0xfc03);
  CHECK(ip_checksum(Bytes{0x12}) == 0xedff);  // ~1200h: padded with zero.
  CHECK(ip_checksum({}) == 0xffff);
}

void ip_parts_are_one_message() {
  const Bytes bytes = counting(67);
  const std::span whole(bytes);
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) sum += i % 2 == 0 ? bytes[i] * 256U : bytes[i];
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    CHECK(ip_checksum(whole.first(cut), whole.subspan(cut)) == (~sum & 0xffff));
  }
}

TupleLayout interleaved(std::size_t intervals) {
  return {.interval = 512,
          .intervals = intervals,
          .data_stride = 520,
          .metadata_start = 512,
          .metadata_stride = 520,
          .pi_offset = 0,
          .guard = Guard::kCrc16T10Dif,
          .seed = 16};
}

constexpr std::array<Check, 3> kKernelOrder{Check::kRef, Check::kGuard, Check::kApp};

constexpr VerifyRule kKernelRule{.checks = std::span(kKernelOrder).first(2),
                                 .escape_needs_ref = false,
                                 .escape_ends = false,
                                 .app_tags = {},
                                 .app_tag_mask = UINT16_MAX,
                                 .findings_max = 100};

void generate_makes_the_tuples_of_a_real_disk() {
  Bytes blocks = filled(2 * 520, 0x33);
  generate(interleaved(2), {.count_ref = true, .app_tags = {.ranges = {}, .others = 0x1234}}, blocks, blocks);
  const Bytes first{0xb2, 0x18, 0x12, 0x34, 0x00, 0x00, 0x00, 0x10};
  const Bytes second{0xb2, 0x18, 0x12, 0x34, 0x00, 0x00, 0x00, 0x11};
  CHECK(Bytes(blocks.begin() + 512, blocks.begin() + 520) == first);
  CHECK(Bytes(blocks.begin() + 1032, blocks.end()) == second);
  const VerifyResult clean = verify(interleaved(2), kKernelRule, blocks, blocks);
  CHECK(clean.bad == 0 && clean.escaped == 0 && clean.findings.empty());
}

void verify_reports_the_first_check_that_differs_and_goes_on() {
  Bytes blocks = filled(4 * 520, 0x33);
  generate(interleaved(4), {.count_ref = true, .app_tags = {}}, blocks, blocks);
  blocks[0] = 0x34;              // Interval 0: guard.
  blocks[520] = 0x34;            // Interval 1: guard, and
  blocks[2 * 520 - 1] = 0x99;    // its reference tag.
  blocks[2 * 520 + 514] = 0xff;  // Interval 2: escaped, and
  blocks[2 * 520 + 515] = 0xff;
  blocks[2 * 520] = 0x34;  // its data changed.
  VerifyRule rule = kKernelRule;
  rule.checks = kKernelOrder;
  rule.app_tags.others = 7;
  const VerifyResult all = verify(interleaved(4), rule, blocks, blocks);
  CHECK(all.escaped == 1);
  CHECK(all.bad == 3);
  CHECK(all.findings.size() == 3);
  CHECK(all.findings[0].interval == 0 && all.findings[0].check == Check::kGuard &&
        all.findings[0].stored == 0xb218);
  CHECK(all.findings[1].interval == 1 && all.findings[1].check == Check::kRef);
  CHECK(all.findings[1].stored == 0x99 && all.findings[1].computed == 0x11);
  CHECK(all.findings[2].interval == 3 && all.findings[2].check == Check::kApp);
  CHECK(all.findings[2].stored == 0 && all.findings[2].computed == 7);
  rule.findings_max = 1;
  const VerifyResult capped = verify(interleaved(4), rule, blocks, blocks);
  CHECK(capped.findings.size() == 1 && capped.bad == 3);
  rule.escape_ends = true;
  const VerifyResult ended = verify(interleaved(4), rule, blocks, blocks);
  CHECK(ended.bad == 2 && ended.escaped == 1 && ended.checked == 2);
}

void reference_tags_wrap_without_touching_application_tags() {
  Bytes blocks = filled(2 * 520, 0x33);
  TupleLayout layout = interleaved(2);
  layout.seed = UINT32_MAX;
  generate(layout, {.count_ref = true, .app_tags = {.ranges = {}, .others = 7}}, blocks, blocks);
  CHECK(blocks[516] == 0xff && blocks[1036] == 0 && blocks[1035] == 7);
  VerifyRule rule = kKernelRule;
  rule.checks = kKernelOrder;
  rule.app_tags.others = 7;
  CHECK(verify(layout, rule, blocks, blocks).bad == 0);
  blocks[1035] = 8;
  CHECK(verify(layout, rule, blocks, blocks).bad_by_check[1] == 1);
}

void application_tags_by_range() {
  Bytes blocks = filled(4 * 520, 0x33);
  const std::array<AppTagRange, 2> ranges{
      {{.first = 1, .count = 1, .value = 5}, {.first = 3, .count = 9, .value = 6}}};
  const AppTags tags{.ranges = ranges, .others = std::nullopt};
  generate(interleaved(4), {.count_ref = true, .app_tags = tags}, blocks, blocks);
  CHECK(blocks[515] == 0 && blocks[520 + 515] == 5 && blocks[1040 + 515] == 0 && blocks[1560 + 515] == 6);
  blocks[515] = 9;  // Of an interval without a tag.
  VerifyRule rule = kKernelRule;
  constexpr std::array<Check, 1> kAppAlone{Check::kApp};
  rule.checks = kAppAlone;
  rule.app_tags = tags;
  const VerifyResult result = verify(interleaved(4), rule, blocks, blocks);
  CHECK(result.checked == 2 && result.bad == 0);
}

void without_the_guard_no_data_is_read() {
  const auto page = static_cast<std::size_t>(getpagesize());
  void* const forbidden = mmap(nullptr, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(forbidden != MAP_FAILED);
  const std::span<const std::uint8_t> data(static_cast<const std::uint8_t*>(forbidden), page);
  TupleLayout layout = interleaved(2);
  layout.data_stride = 512;
  layout.metadata_start = 0;
  layout.metadata_stride = 8;
  const Bytes tuples{1, 2, 0, 0, 0, 0, 0, 16, 3, 4, 0, 0, 0, 0, 0, 17};
  VerifyRule rule = kKernelRule;
  rule.checks = std::span(kKernelOrder).first(1);
  CHECK(verify(layout, rule, data, tuples).checked == 2);
  CHECK(munmap(forbidden, page) == 0);
}

void layouts_that_reach_outside_are_named() {
  const auto named = [](const TupleLayout& layout, std::size_t data, std::size_t metadata) {
    const char* name = misfit(layout, data, metadata);
    return std::string(name == nullptr ? "" : name);
  };
  constexpr std::size_t kHuge = std::numeric_limits<std::size_t>::max();
  TupleLayout layout = interleaved(2);
  CHECK(named(layout, 1040, 1040).empty());
  CHECK(named(layout, 1031, 1040) == "data");
  CHECK(named(layout, 1032, 1039) == "metadata");
  for (const std::size_t intervals : {std::size_t{3}, std::size_t{1} << 32, kHuge}) {
    layout = interleaved(intervals);
    CHECK(!named(layout, 1040, 1040).empty());
  }
  layout = interleaved(2);
  layout.data_stride = layout.metadata_stride = kHuge;
  CHECK(named(layout, 1040, 1040) == "data");
  layout = interleaved(1);
  layout.metadata_start = kHuge - 4;
  CHECK(named(layout, 1040, 1040) == "metadata");
  layout = interleaved(1);
  layout.pi_offset = kHuge - 4;
  CHECK(named(layout, 1040, 1040) == "piOffset");
  layout.pi_offset = 513;
  CHECK(named(layout, 1040, 1040) == "piOffset");
  layout.metadata_stride = 7;
  CHECK(named(layout, 1040, 1040) == "metadataStride");
  layout.data_stride = 511;
  CHECK(named(layout, 1040, 1040) == "dataStride");
  layout.interval = 0;
  CHECK(named(layout, 1040, 1040) == "interval");
  CHECK(named(interleaved(0), 0, 0).empty());
}

// A gate that a job can wait at.
class Gate {
 public:
  void open() { promise_.set_value(); }
  void wait() { future_.wait(); }

 private:
  std::promise<void> promise_;
  std::future<void> future_ = promise_.get_future();
};

struct Witness {
  static inline bool alive = false;
  Witness() { alive = true; }
  ~Witness() { alive = false; }
  Witness(const Witness&) = delete;
  Witness& operator=(const Witness&) = delete;
  std::vector<int> seen;
};

Witness one_witness(std::size_t) { return {}; }

void parts_say_what_the_whole_says() {
  constexpr std::size_t kIntervals = 40;
  const std::array<AppTagRange, 3> ranges{{{.first = 1, .count = 2, .value = 5},
                                           {.first = 6, .count = 9, .value = 6},
                                           {.first = 20, .count = UINT32_MAX, .value = 7}}};
  const AppTags tags{.ranges = ranges, .others = 4};
  Bytes whole = filled(kIntervals * 520, 0x33);
  generate(interleaved(kIntervals), {.count_ref = true, .app_tags = tags}, whole, whole);
  Bytes broken = whole;
  for (const std::size_t i : {0, 3, 7, 39}) broken[i * 520] = 0x34;
  for (const std::size_t i : {4, 20, 30}) broken[i * 520 + 519] ^= 1;
  for (const std::size_t i : {5, 21}) broken[i * 520 + 515] ^= 1;
  for (const std::size_t i : {8, 35}) broken[i * 520 + 514] = broken[i * 520 + 515] = 0xff;
  VerifyRule rule = kKernelRule;
  rule.checks = kKernelOrder;
  rule.app_tags = tags;
  for (const std::size_t size : {1, 3, 7, 39, 40, 100}) {
    Bytes made = filled(kIntervals * 520, 0x33);
    in_parts(interleaved(kIntervals), size, [&](const Part& part) {
      generate_part(interleaved(kIntervals), {.count_ref = true, .app_tags = tags}, part, made, made);
      return true;
    });
    CHECK(made == whole);
    for (const std::size_t findings_max : {0, 1, 3, 100}) {
      for (const bool escape_ends : {false, true}) {
        rule.findings_max = findings_max;
        rule.escape_ends = escape_ends;
        const VerifyResult expected = verify(interleaved(kIntervals), rule, broken, broken);
        VerifyInParts parts(interleaved(kIntervals), rule);
        in_parts(interleaved(kIntervals), size,
                 [&](const Part& part) { return parts.verify(part, broken, broken); });
        const VerifyResult& result = parts.result();
        CHECK(result.checked == expected.checked && result.escaped == expected.escaped);
        CHECK(result.bad == expected.bad && result.bad_by_check == expected.bad_by_check);
        CHECK(std::ranges::equal(result.findings, expected.findings, [](const Finding& a, const Finding& b) {
          return a.interval == b.interval && a.check == b.check && a.stored == b.stored &&
                 a.computed == b.computed && a.differs == b.differs;
        }));
      }
    }
  }
}

void insert_and_strip_copy_and_judge() {
  constexpr std::size_t kIntervals = 40;
  TupleLayout blocks_layout = interleaved(kIntervals);
  blocks_layout.data_stride = 512;
  const Bytes data = counting(kIntervals * 512);
  Bytes expected(kIntervals * 520);
  for (std::size_t i = 0; i < kIntervals; ++i) {
    std::ranges::copy(std::span(data).subspan(i * 512, 512),
                      expected.begin() + static_cast<std::ptrdiff_t>(i * 520));
  }
  generate(interleaved(kIntervals), {.count_ref = true, .app_tags = {}}, expected, expected);
  Bytes blocks = filled(kIntervals * 520, 0x5a);
  CHECK(misfit_of_blocks(blocks_layout, data.size(), blocks.size()) == nullptr);
  insert(blocks_layout, {.count_ref = true, .app_tags = {}}, data, blocks);
  CHECK(blocks == expected);
  blocks[17 * 520] ^= 1;
  blocks[39 * 520 + 519] ^= 1;
  Bytes out(kIntervals * 512);
  const VerifyResult result = strip(blocks_layout, kKernelRule, blocks, out);
  CHECK(result.checked == kIntervals && result.bad == 2);
  CHECK(result.findings.size() == 2 && result.findings[0].interval == 17 &&
        result.findings[1].interval == 39);
  Bytes expected_out = data;
  expected_out[17 * 512] ^= 1;
  CHECK(out == expected_out);
}

void blocks_that_reach_outside_are_named() {
  TupleLayout layout = interleaved(2);
  layout.data_stride = 512;
  const auto named = [](const TupleLayout& one, std::size_t data_bytes, std::size_t block_bytes,
                        const std::string& name) {
    const char* const misfit = misfit_of_blocks(one, data_bytes, block_bytes);
    return misfit != nullptr && misfit == name;
  };
  CHECK(misfit_of_blocks(layout, 1024, 1040) == nullptr);
  CHECK(named(layout, 1023, 1040, "data"));
  CHECK(named(layout, 1024, 1039, "metadata"));
  TupleLayout wider = layout;
  wider.metadata_stride = 528;
  CHECK(misfit_of_blocks(wider, 1024, 1056) == nullptr);
  CHECK(named(wider, 1024, 1048,
              "metadata"));  // The last tuple lies inside, the rest of its metadata does not.
  wider.pi_offset = 9;
  CHECK(named(wider, 1024, 2000, "metadataStride"));
  TupleLayout endless = wider;
  endless.intervals = 0;
  endless.interval = endless.data_stride = endless.metadata_start = SIZE_MAX;
  CHECK(named(endless, 0, 0, "metadataStride"));
  layout.metadata_start = 0;
  CHECK(named(layout, 1024, 1040, "metadataStart"));
}

void pinned_memory_is_held() {
  const auto memory = make_pinned_memory(10'000);
  CHECK(memory.size() == 10'000 && reinterpret_cast<std::uintptr_t>(memory.data()) % 4096 == 0);
  CHECK(std::ranges::all_of(memory, [](std::uint8_t byte) { return byte == 0; }));
  CHECK(!hold_pinned_memory(std::span(memory.data() - 4096, 1)));
  CHECK(!hold_pinned_memory(Bytes(10)));
  auto held = hold_pinned_memory(memory.subspan(9'999));
  CHECK(held != nullptr);
  drop_pinned_memory(memory.data());
  memory[9'999] = 1;  // A crash, were it not held.
  CHECK(!hold_pinned_memory(memory));
  held.reset();
  CHECK(make_pinned_memory(std::size_t{1} << 60).data() == nullptr);
  const auto nothing = make_pinned_memory(0);
  CHECK(nothing.data() != nullptr);
  drop_pinned_memory(nothing.data());
}

void executor_runs_in_order_and_is_bounded() {
  Gate gate;
  Gate started;
  std::vector<int> order;
  {
    Executor<Witness> executor(1, 2, one_witness);
    CHECK(executor.submit([&](Witness&, bool) {
      started.open();
      gate.wait();
    }));
    started.wait();  // Under way, and no longer in the queue.
    for (int i = 0; i < 2; ++i) {
      CHECK(executor.submit([i, &order](Witness& witness, bool cancelled) {
        CHECK(!cancelled);
        witness.seen.push_back(i);
        order = witness.seen;
      }));
    }
    CHECK(!executor.submit([](Witness&, bool) { CHECK(false); }));
    gate.open();
    Gate end;
    while (!executor.submit([&](Witness&, bool) { end.open(); })) ::usleep(1000);
    end.wait();
  }
  CHECK((order == std::vector{0, 1}));
}

void executor_stop_cancels_what_waits_and_ends_in_order() {
  Gate gate;
  Gate started;
  Gate ended;
  int finished = 0;
  int cancelled_jobs = 0;
  Executor<Witness> executor(1, 64, one_witness);
  CHECK(executor.submit([&](Witness&, bool) {
    started.open();
    gate.wait();
    ++finished;
  }));
  started.wait();
  for (int i = 0; i < 3; ++i) {
    CHECK(executor.submit([&](Witness&, bool cancelled) { cancelled_jobs += cancelled ? 1 : 0; }));
  }
  CHECK(Witness::alive);
  executor.stop([&] {
    CHECK(!Witness::alive);
    ended.open();
  });
  executor.stop([] { CHECK(false); });
  CHECK(!executor.submit([](Witness&, bool) { CHECK(false); }));
  gate.open();
  ended.wait();
  CHECK(finished == 1 && cancelled_jobs == 3);
}

void executor_runs_as_many_jobs_at_once_as_it_has_threads() {
  constexpr std::size_t kThreads = 4;
  std::atomic<int> states = 0;
  Gate all_started;
  Gate gate;
  Gate ended;
  std::atomic<std::size_t> under_way = 0;
  std::array<std::atomic<int>, kThreads> jobs_of{};
  int cancelled_jobs = 0;
  struct Counted {
    Counted(std::atomic<int>& counter, std::size_t number) : states(counter), thread(number) { ++states; }
    ~Counted() { --states; }
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;
    std::atomic<int>& states;
    std::size_t thread;
  };
  Executor<Counted> executor(kThreads, 64, [&](std::size_t thread) { return Counted(states, thread); });
  for (std::size_t i = 0; i < kThreads; ++i) {
    CHECK(executor.submit([&](Counted& state, bool cancelled) {
      CHECK(!cancelled);
      ++jobs_of[state.thread];
      if (++under_way == kThreads) all_started.open();
      gate.wait();
    }));
  }
  all_started.wait();
  CHECK(executor.submit([&](Counted&, bool cancelled) { cancelled_jobs += cancelled ? 1 : 0; }));
  executor.stop([&] {
    CHECK(states == 0);
    ended.open();
  });
  gate.open();
  ended.wait();
  CHECK(std::ranges::all_of(jobs_of, [](const auto& jobs) { return jobs == 1; }));
  CHECK(cancelled_jobs == 1);
}

void nodes_are_opened_once_for_every_sixteen_threads() {
  DeviceNode node(40);
  CHECK(node.descriptor_of(0) == -1);
  CHECK(node.open("/dev/none", O_RDONLY).error == ENOENT);
  CHECK(node.open("/dev/zero", O_RDONLY).error == 0);
  CHECK(node.open("/dev/zero", O_RDONLY).error == EBUSY);
  CHECK(node.descriptor_of(15) == node.descriptor_of(0) && node.descriptor_of(16) != node.descriptor_of(0));
  CHECK(node.descriptor_of(31) == node.descriptor_of(16) && node.descriptor_of(39) != node.descriptor_of(16));
  for (const std::size_t thread : {std::size_t{0}, std::size_t{16}, std::size_t{32}}) {
    CHECK(node_status(node.descriptor_of(thread)).minor == 5);
  }
  TemporaryFolder folder;
  DeviceNode file(40);
  CHECK(file.open(folder.file("disk", "data"), O_RDONLY).error == 0);
  CHECK(file.descriptor_of(39) == file.descriptor_of(0));
}

void executor_threads_take_no_signals() {
  sigset_t blocked;
  sigemptyset(&blocked);
  sigset_t before;
  sigprocmask(SIG_SETMASK, nullptr, &before);
  Gate ran;
  Executor<Witness> executor(1, 1, one_witness);
  CHECK(executor.submit([&](Witness&, bool) {
    sigprocmask(SIG_SETMASK, nullptr, &blocked);
    ran.open();
  }));
  ran.wait();
  CHECK(sigismember(&blocked, SIGINT) == 1 && sigismember(&blocked, SIGALRM) == 1 &&
        sigismember(&blocked, SIGCHLD) == 1);
  sigset_t after;
  sigprocmask(SIG_SETMASK, nullptr, &after);
  CHECK(sigismember(&after, SIGINT) == sigismember(&before, SIGINT));
}

void descriptors_have_one_owner() {
  int number = -1;
  {
    Fd first(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    number = first.get();
    Fd second = std::move(first);
    CHECK(!first.is_open() && second.get() == number);
    first = std::move(second);
    CHECK(first.get() == number);
  }
  CHECK(::fcntl(number, F_GETFD) == -1 && errno == EBADF);
}

void files_are_read_and_written_whole() {
  TemporaryFolder folder;
  const std::string path = folder.file("disk", std::string(1000, 'a'));
  Fd fd;
  CHECK(open_node(fd, folder.path() + "/none", O_RDONLY).error == ENOENT);
  CHECK(open_node(fd, path, O_RDWR).error == 0);
  CHECK(open_node(fd, path, O_RDWR).error == EBUSY);
  CHECK((::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
  const Bytes written = counting(300);
  CHECK(write_at(fd.get(), written, 900).bytes == 300);
  CHECK(flush(fd.get()).error == 0);
  Bytes read(1000);
  const Transfer to_end = read_at(fd.get(), read, 900);
  CHECK(to_end.error == 0 && to_end.bytes == 300);
  CHECK(Bytes(read.begin(), read.begin() + 300) == written);
  CHECK(read_at(fd.get(), read, 5000).bytes == 0);
  CHECK(S_ISREG(node_status(fd.get()).mode));
  Fd other;
  CHECK(open_node(other, path, O_RDONLY).error == 0);
  CHECK(lock_exclusive(fd.get()).error == 0);
  CHECK(lock_exclusive(other.get()).error == EWOULDBLOCK);
  CHECK(write_at(other.get(), written, 0).error == EBADF);
}

// Of 8 blocks.
NvmeTransfer nvme_read(std::span<std::uint8_t> data, std::span<std::uint8_t> metadata) {
  return {.opcode = NvmeOpcode::kRead,
          .slba = 0,
          .blocks = 8,
          .data = data,
          .metadata = metadata,
          .prchk = 0,
          .ref_tag = 0,
          .app_tag = 0,
          .app_mask = 0,
          .timeout_ms = 1000};
}

// Identify Namespace data: FLBAS at byte 26, from 128 on formats of MS (16 bits), LBADS and RP.
std::array<std::uint8_t, kNvmeIdentifyBytes> namespace_data(std::uint8_t flbas, std::size_t index,
                                                            std::uint16_t ms, std::uint8_t lbads) {
  std::array<std::uint8_t, kNvmeIdentifyBytes> data{};
  data[26] = flbas;
  data[128 + 4 * index] = static_cast<std::uint8_t>(ms);
  data[129 + 4 * index] = static_cast<std::uint8_t>(ms >> 8);
  data[130 + 4 * index] = lbads;
  return data;
}

void nvme_buffers_must_fit_the_format() {
  Bytes data(8 * 4096 + 1);
  Bytes metadata(8 * 256 + 1);
  const auto fits = [&](const std::array<std::uint8_t, kNvmeIdentifyBytes>& format, std::size_t data_size,
                        std::size_t metadata_size) {
    return nvme_fits(format,
                     nvme_read(std::span(data).first(data_size), std::span(metadata).first(metadata_size)));
  };
  const auto plain = namespace_data(0, 0, 0, 9);
  CHECK(fits(plain, 8 * 512, 0));
  CHECK(!fits(plain, 8 * 512, 8));
  CHECK(!fits(plain, 8 * 512 - 1, 0));
  CHECK(!fits(plain, 8 * 512 + 1, 0));
  CHECK(!fits(plain, 0, 0));
  NvmeTransfer none = nvme_read({}, {});
  none.blocks = 0;
  CHECK(!nvme_fits(plain, none));
  const auto with_tuples = namespace_data(2, 2, 8, 12);
  CHECK(fits(with_tuples, 8 * 4096, 8 * 8));
  CHECK(!fits(with_tuples, 8 * 512, 8 * 8));
  CHECK(!fits(with_tuples, 8 * 4096, 8 * 8 - 1));
  CHECK(!fits(with_tuples, 8 * 4096, 8 * 8 + 1));
  CHECK(!fits(with_tuples, 8 * 4096, 0));
  CHECK(fits(namespace_data(0, 0, 256, 9), 8 * 512, 8 * 256));
  // Format 33: its upper bits are bits 6:5.
  CHECK(fits(namespace_data(0x41, 33, 8, 9), 8 * 512, 8 * 8));
  CHECK(!fits(namespace_data(0x41, 1, 8, 9), 8 * 512, 8 * 8));
  // Metadata behind each block, and block sizes that cannot be.
  CHECK(!fits(namespace_data(0x10, 0, 8, 9), 8 * 512, 8 * 8));
  CHECK(!fits(namespace_data(0, 0, 0, 8), 8 * 256, 0));
  CHECK(!fits(namespace_data(0, 0, 0, 73), 8 * 512, 0));
}

void what_is_no_disk_answers_with_an_errno() {
  TemporaryFolder folder;
  Fd fd;
  CHECK(open_node(fd, folder.file("disk", std::string(4096, 'a')), O_RDWR).error == 0);
  CHECK(sg_io(fd.get(), {.cdb = Bytes(6), .direction = Direction::kNone, .data = {}, .timeout_ms = 1000})
            .error == ENOTTY);
  CHECK(lbmd_capability(fd.get()).error != 0);
  CHECK(nvme_io(fd.get(), nvme_read({}, {})).error == ENOTTY);
  NvmeTransfer write = nvme_read({}, {});
  write.opcode = NvmeOpcode::kWrite;
  CHECK(nvme_io(fd.get(), write).error == ENOTTY);
  Fd read_only;
  CHECK(open_node(read_only, folder.file("read-only", std::string(4096, 'a')), O_RDONLY).error == 0);
  CHECK(nvme_io(read_only.get(), write).error == EBADF);
  CHECK(nvme_identify(fd.get(), NvmeIdentify::kNamespace, 1000).error == ENOTTY);
  CHECK(nvme_io(-1, nvme_read({}, {})).error == EBADF);
  CHECK(nvme_identify(-1, NvmeIdentify::kCommandSetNamespace, 1000).error == EBADF);
  CHECK(sg_io(-1, {.cdb = Bytes(6), .direction = Direction::kNone, .data = {}, .timeout_ms = 1000}).error ==
        EBADF);
  CHECK(lbmd_capability(-1).error == EBADF);
  CHECK(node_status(-1).error == EBADF);
  CHECK(flush(-1).error == EBADF);
}

void pi_is_refused_where_it_would_be_dropped() {
  TemporaryFolder folder;
  Fd fd;
  CHECK(open_node(fd, folder.file("disk", std::string(4096, 'a')), O_RDWR).error == 0);
  Bytes buffer(512, 0x51);
  Bytes tuples(8, 0x51);
  const PiAttribute pi{.flags = 7, .app_tag = 0, .seed = 0, .tuples = tuples};
  const IoUringFeatures kernel = io_uring_features();
  const bool has_attribute = (kernel.features & (1U << 16)) != 0;
  const int without = kernel.error != 0 ? kernel.error : ENOTSUP;
  PiRing ring;
  for (int i = 0; i < 5; ++i) {  // More often than the ring has entries, each with an answer of its own.
    CHECK(ring.read(fd.get(), buffer, 0, pi).error == (has_attribute ? EINVAL : without));
    CHECK(ring.read(-1, buffer, 0, pi).error == (has_attribute ? EBADF : without));
    CHECK(ring.write(fd.get(), buffer, 0, pi).error == (has_attribute ? EINVAL : without));
  }
  CHECK(buffer == Bytes(512, 0x51) && tuples == Bytes(8, 0x51));
}

// From now on, on this thread: io_uring_enter that submits says that it did and does not; one that only waits
// fails.
void break_io_uring_enter() {
  constexpr auto kSubmit = static_cast<std::uint32_t>(offsetof(seccomp_data, args) + sizeof(std::uint64_t));
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_enter, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kSubmit),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 2, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
  };
  const sock_fprog program{.len = std::size(filter), .filter = filter};
  CHECK(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  CHECK(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

// The descriptor of the one ring that this process has, or -1.
int ring_descriptor() {
  int found = -1;
  DIR* folder = ::opendir("/proc/self/fd");
  while (const dirent* entry = ::readdir(folder)) {
    std::array<char, 64> target{};
    if (::readlinkat(::dirfd(folder), entry->d_name, target.data(), target.size() - 1) > 0 &&
        std::string(target.data()) == "anon_inode:[io_uring]") {
      found = std::atoi(entry->d_name);
    }
  }
  ::closedir(folder);
  return found;
}

void a_completion_is_waited_for_without_spinning() {
  if ((io_uring_features().features & (1U << 16)) == 0) return;  // No command is ever sent there.
  TemporaryFolder folder;
  Fd fd;
  CHECK(open_node(fd, folder.file("disk", std::string(4096, 'a')), O_RDWR).error == 0);
  Bytes buffer(512);
  Bytes tuples(8);
  Transfer answer;
  timespec used{};
  std::thread waiting([&] {
    break_io_uring_enter();
    PiRing ring;
    answer = ring.read(fd.get(), buffer, 0, {.flags = 7, .app_tag = 0, .seed = 0, .tuples = tuples});
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  });
  while (ring_descriptor() == -1) ::usleep(1000);
  ::usleep(300'000);
  // This thread may still submit what that one wrote into the ring.
  CHECK(::syscall(SYS_io_uring_enter, ring_descriptor(), 1, 0, 0, nullptr, 0) == 1);
  waiting.join();
  CHECK(answer.error == EINVAL);  // Of a file without metadata: the command's own answer.
  CHECK(used.tv_sec == 0 && used.tv_nsec < 100'000'000);
}

void page_buffers_know_what_is_written_behind_them() {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{520}, std::size_t{4032},
                                 std::size_t{4033}, std::size_t{4096}, std::size_t{8192}}) {
    const Bytes content = counting(size);
    for (const std::size_t beyond : {std::size_t{0}, std::size_t{63}}) {
      const PageBuffer buffer(content);
      CHECK(buffer.is_intact());
      std::ranges::fill(buffer.bytes(), std::uint8_t{0});
      CHECK(buffer.is_intact());
      buffer.bytes().data()[size + beyond] = 0;
      CHECK(!buffer.is_intact());
    }
  }
}

void page_buffers_are_aligned_copies() {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{4096}, std::size_t{4097}}) {
    Bytes content = counting(size);
    const PageBuffer buffer(content);
    const auto bytes = buffer.bytes();
    CHECK(reinterpret_cast<std::uintptr_t>(bytes.data()) % 4096 == 0);
    CHECK(Bytes(bytes.begin(), bytes.end()) == content);
    if (size > 0) {
      content[0] ^= 0xff;
      CHECK(bytes[0] == 0);
    }
  }
}

// Four intervals of 512 bytes, each followed by its tuple of type 3.
ReadRule four_interleaved(const std::vector<Check>& checks) {
  return {.layout = {.interval = 512,
                     .intervals = 4,
                     .data_stride = 520,
                     .metadata_start = 512,
                     .metadata_stride = 520,
                     .pi_offset = 0,
                     .guard = Guard::kCrc16T10Dif,
                     .seed = 7},
          .checks = checks,
          .escape_needs_ref = true,
          .findings_max = 3};
}

constexpr std::size_t kFour = 4 * 520;

// What the disk of these tests sends: so many bytes of right blocks of `fill`, and then `answer`.
struct Sent {
  std::uint8_t fill = 0;
  std::size_t bytes = kFour;
  std::size_t spoilt = kFour;
  SgAnswer answer{};
};
Sent sent;

SgAnswer send_blocks(int, const SgCommand& command) noexcept {
  Bytes blocks = filled(kFour, sent.fill);
  const ReadRule rule = four_interleaved({});
  generate(rule.layout, {.count_ref = true, .app_tags = {}}, blocks, blocks);
  if (sent.spoilt < kFour) blocks[sent.spoilt] ^= 1;
  std::copy_n(blocks.begin(), sent.bytes, command.data.begin());
  return sent.answer;
}

std::optional<VerifyResult> verdict_on(const Sent& what, ReadMemory& memory) {
  sent = what;
  const SgCommand command{
      .cdb = Bytes(16), .direction = Direction::kFromDevice, .data = {}, .timeout_ms = 1000};
  const ReadRule rule = four_interleaved({Check::kRef, Check::kGuard});
  return sg_read_verify(-1, send_blocks, command, kFour, rule, memory).verified;
}

void reads_are_verified_where_they_came_in() {
  ReadMemory memory;
  const auto good = verdict_on({}, memory);
  CHECK(good && good->checked == 4 && good->bad == 0 && good->escaped == 0);
  const auto bad = verdict_on({.fill = 3, .spoilt = 2 * 520 + 9}, memory);
  CHECK(bad && bad->bad == 1 && bad->findings.at(0).interval == 2);
}

void what_did_not_come_whole_has_no_verdict() {
  ReadMemory memory;
  CHECK(verdict_on({}, memory).has_value());
  // The memory still holds four right blocks, of the last command.
  CHECK(!verdict_on({.bytes = 0}, memory));
  CHECK(!verdict_on({.bytes = 3 * 520}, memory));
  CHECK(!verdict_on({.bytes = 3 * 520 + 512}, memory));
  CHECK(!verdict_on({.answer = {.error = EIO}}, memory));
  CHECK(!verdict_on({.answer = {.status = 2}}, memory));
  CHECK(!verdict_on({.answer = {.host_status = 7}}, memory));
  CHECK(!verdict_on({.answer = {.driver_status = 8}}, memory));
  CHECK(!verdict_on({.answer = {.resid = 8}}, memory));
  CHECK(!verdict_on({.answer = {.resid = -8}}, memory));
  CHECK(verdict_on({}, memory).has_value());
}

void what_comes_too_much_is_seen() {
  ReadMemory memory;
  const auto beyond = [](int, const SgCommand& command) noexcept {
    command.data.data()[command.data.size()] = 0;
    return SgAnswer{};
  };
  const SgCommand command{
      .cdb = Bytes(16), .direction = Direction::kFromDevice, .data = {}, .timeout_ms = 1000};
  const auto answer = sg_read_verify(-1, beyond, command, kFour, four_interleaved({Check::kGuard}), memory);
  CHECK(answer.sg.overrun && !answer.verified);
  CHECK(memory.of(kFour).is_intact());
}

// Of one interval, so many bad.
SgVerifyAnswer verdict_of(std::size_t bad, std::size_t escaped = 0) {
  return {.verified = VerifyResult{.checked = 1, .escaped = escaped, .bad = bad, .findings = {}}};
}

void runs_end_with_what_is_not_clean() {
  std::vector<SgVerifyAnswer> answers{verdict_of(0), verdict_of(0, 2), verdict_of(1), verdict_of(0)};
  std::size_t sent_reads = 0;
  const auto run = [&](std::size_t count) {
    sent_reads = 0;
    return verify_run(count, [&](std::size_t i) {
      CHECK(i == sent_reads++);
      answers.at(i).sg.status = static_cast<std::uint8_t>(i);
      return answers.at(i);
    });
  };
  const auto holds = [](const SgVerifyAnswer& answer, std::size_t reads, std::size_t last) {
    return answer.reads == reads && answer.sg.status == last && answer.clean == (last < reads) &&
           answer.verified && answer.verified->checked == reads && answer.verified->bad == 0;
  };
  CHECK(holds(run(2), 2, 1) && run(2).verified->escaped == 2 && sent_reads == 2);
  CHECK(holds(run(4), 2, 2) && sent_reads == 3);
  answers[1].verified.reset();
  CHECK(holds(run(4), 1, 1) && sent_reads == 2);
  // The first that is not clean has a word of its own.
  answers[0] = verdict_of(1);
  CHECK(run(4).reads == 1 && !run(4).clean && run(4).verified->bad == 1 && sent_reads == 1);
  answers[0].verified.reset();
  CHECK(run(4).reads == 0 && !run(4).verified && sent_reads == 1);
}

void runs_end_with_their_time() {
  const auto slow = verify_run(3, [](std::size_t) {
    std::this_thread::sleep_for(kRunTime + std::chrono::milliseconds(50));
    return verdict_of(0);
  });
  CHECK(slow.reads == 1 && slow.clean && slow.verified && slow.verified->checked == 1);
}

void reads_of_a_run_go_on_from_one_another() {
  ReadRule rule = four_interleaved({});
  rule.layout.seed = 0xfffffffa;
  CHECK(rule.behind(0).layout.seed == 0xfffffffa && rule.behind(1).layout.seed == 0xfffffffe);
  CHECK(rule.behind(2).layout.seed == 2);
  const PiRead read{.offset = 512, .data_bytes = 2048, .tuple_bytes = 32, .flags = 3, .seed = 1};
  const PiRead third = read.behind(2, 4);
  CHECK(third.offset == 512 + 4096 && third.seed == 9 && third.data_bytes == 2048 && third.flags == 3);
}

void snapshots_follow_their_patterns() {
  TemporaryFolder tree;
  tree.folder("block");
  tree.folder("devices");
  for (const std::string disk : {"sdb", "sda"}) {
    tree.folder("devices/" + disk);
    tree.folder("devices/" + disk + "/integrity");
    tree.file("devices/" + disk + "/integrity/format", "T10-DIF-TYPE1-CRC\n");
    tree.link("block/" + disk, "../devices/" + disk);
  }
  tree.file("devices/sda/size", "  2048 \t\n\n");
  tree.file("devices/long", std::string(kFileBytesMax, 'x'));
  tree.file("devices/longer", std::string(kFileBytesMax + 1, 'x'));
  tree.link("devices/loop", "loop");
  const Snapshot snapshot =
      take_snapshot(tree.path(), {"block/*/integrity/format", "block/*/size", "block/sda@", "block/",
                                  "devices/*/*/none", "devices/long", "devices/longer", "devices/loop",
                                  "devices/sda", "none/*", "devices/sda@"});
  using Entries = std::map<std::string, std::string>;
  CHECK((snapshot.entries == Entries{{"block/", "sda\nsdb"},
                                     {"block/sda/integrity/format", "T10-DIF-TYPE1-CRC"},
                                     {"block/sda/size", "  2048"},
                                     {"block/sda@", "../devices/sda"},
                                     {"block/sdb/integrity/format", "T10-DIF-TYPE1-CRC"},
                                     {"devices/long", std::string(kFileBytesMax, 'x')}}));
  using Errors = std::map<std::string, int>;
  CHECK((snapshot.errors == Errors{{"devices/longer", EFBIG},
                                   {"devices/loop", ELOOP},
                                   {"devices/loop/", ELOOP},
                                   {"devices/sda", EISDIR},
                                   {"devices/sda@", EINVAL}}));
}

void snapshots_wait_for_nothing() {
  TemporaryFolder tree;
  tree.file("fifo", "");
  CHECK(::remove((tree.path() + "/fifo").c_str()) == 0);
  CHECK(::mkfifo((tree.path() + "/fifo").c_str(), 0600) == 0);
  CHECK(take_snapshot(tree.path(), {"fifo"}).errors.at("fifo") == EINVAL);
}

void patterns_stay_below_the_root() {
  for (const char* good : {"a", "a/b", "*", "*/a@", "a/", "...", "a/*/b"}) CHECK(is_pattern(good));
  for (const char* bad : {"", "/", "@", "/a", "a//b", "..", "a/../b", "../a", "./a", "a/.", "a//", "../"})
    CHECK(!is_pattern(bad));
  CHECK(!is_pattern(std::string("a\0b", 3)));
}

Bytes cdb_of(std::uint8_t opcode, std::size_t size) {
  Bytes cdb = filled(size, 0xcd);
  cdb[0] = opcode;
  return cdb;
}

TcmuReply good(std::uint16_t id) {
  return {.id = id, .status = 0, .sense = {}, .brings_data = false, .data_in = {}};
}

void tcmu_commands_go_around_the_ring() {
  FakeRing fake;
  TcmuRing ring;
  CHECK(ring.attach(fake.memory()).error == 0);
  CHECK(ring.take(9).commands.empty());
  // 32 bytes are left at the end of every fourth round: a PAD.
  for (std::uint16_t id = 1; id < 40; ++id) {
    fake.pad_if_short();
    const auto at = fake.add_command(id, cdb_of(0x12, 6), {{FakeRing::kDataAt, 36}});
    const TcmuBatch batch = ring.take(9);
    CHECK(batch.error == 0 && batch.commands.size() == 1);
    CHECK(batch.commands[0].id == id && batch.commands[0].data_bytes == 36);
    CHECK(batch.commands[0].cdb == cdb_of(0x12, 6));
    CHECK(ring.complete(good(id)).error == 0);
    CHECK(fake.tail() == fake.head());
    CHECK(fake.get<std::uint8_t>(at + 7) == 0);
  }
}

void tcmu_cdbs_have_the_length_of_their_group() {
  const std::pair<std::uint8_t, std::size_t> kLengths[] = {{0x08, 6},  {0x28, 10}, {0x5a, 10}, {0x88, 16},
                                                           {0xa8, 12}, {0xc0, 10}, {0x60, 12}};
  FakeRing fake;
  TcmuRing ring;
  CHECK(ring.attach(fake.memory()).error == 0);
  std::uint16_t id = 1;
  for (const auto& [opcode, length] : kLengths) {
    fake.pad_if_short();
    fake.add_command(id, cdb_of(opcode, length), {});
    const TcmuBatch batch = ring.take(9);
    CHECK(batch.commands.size() == 1 && batch.commands[0].cdb == cdb_of(opcode, length));
    CHECK(ring.complete(good(id++)).error == 0);
  }
  fake.pad_if_short();
  Bytes variable = cdb_of(0x7f, 32);
  variable[7] = 24;
  fake.add_command(id, variable, {});
  const TcmuBatch batch = ring.take(9);
  CHECK(batch.commands.size() == 1 && batch.commands[0].cdb == variable);
}

void tcmu_data_is_gathered_and_scattered() {
  FakeRing fake;
  TcmuRing ring;
  CHECK(ring.attach(fake.memory()).error == 0);
  for (std::uint32_t i = 0; i < 1024; ++i) fake.put(FakeRing::kDataAt + i, static_cast<std::uint8_t>(i));
  const auto at =
      fake.add_command(7, cdb_of(0x2a, 10), {{FakeRing::kDataAt + 100, 3}, {FakeRing::kDataAt + 8, 2}});
  CHECK(ring.take(9).commands.at(0).data_bytes == 5);
  const auto data = ring.data_of(7);
  CHECK(data.error == 0 && data.bytes == 5);
  Bytes gathered;
  for (const auto piece : data.pieces) gathered.insert(gathered.end(), piece.begin(), piece.end());
  CHECK((gathered == Bytes{100, 101, 102, 8, 9}));

  const Bytes brought = {0xaa, 0xbb, 0xcc, 0xdd};
  const Bytes sense = filled(200, 0x70);
  const TcmuReply refused{.id = 7, .status = 2, .sense = sense, .brings_data = true, .data_in = brought};
  CHECK(ring.complete(refused).error == 0);
  CHECK(fake.get<std::uint8_t>(FakeRing::kDataAt + 102) == 0xcc);
  CHECK(fake.get<std::uint8_t>(FakeRing::kDataAt + 103) == 103);
  CHECK(fake.get<std::uint8_t>(FakeRing::kDataAt + 8) == 0xdd);
  CHECK(fake.get<std::uint8_t>(FakeRing::kDataAt + 9) == 9);
  CHECK(fake.get<std::uint8_t>(at + 7) == 2);    // Its length is valid …
  CHECK(fake.get<std::uint32_t>(at + 12) == 4);  // … and this.
  CHECK(fake.get<std::uint8_t>(at + 8) == 2);
  CHECK(fake.get<std::uint8_t>(at + 16 + 95) == 0x70);
  CHECK(fake.get<std::uint8_t>(at + 16 + 96) != 0x70);
  CHECK(ring.data_of(7).error == ENOENT);
  CHECK(ring.complete(good(7)).error == ENOENT);

  // More data than the initiator takes is cut.
  const auto next = fake.add_command(8, cdb_of(0x28, 10), {{FakeRing::kDataAt, 2}});
  CHECK(ring.take(9).error == 0);
  CHECK(ring.complete({.id = 8, .status = 0, .sense = {}, .brings_data = true, .data_in = brought}).error ==
        0);
  CHECK(fake.get<std::uint32_t>(next + 12) == 2);
  CHECK(fake.get<std::uint8_t>(FakeRing::kDataAt + 2) == 2);
}

void tcmu_completes_out_of_order() {
  FakeRing fake;
  TcmuRing ring;
  CHECK(ring.attach(fake.memory()).error == 0);
  const auto first = fake.add_command(1, cdb_of(0x28, 10), {{FakeRing::kDataAt, 4}});
  const auto unknown = fake.add(5, 16);
  const auto second = fake.add_command(2, cdb_of(0x28, 10), {{FakeRing::kDataAt + 8, 4}});
  CHECK(ring.take(1).commands.size() == 1);
  CHECK(ring.take(9).commands.size() == 1);
  CHECK((fake.get<std::uint8_t>(unknown + 7) & 1) == 1);

  // The reply to 2 lies over the entry of 1, whose data area is still known.
  CHECK(ring.complete({.id = 2, .status = 8, .sense = {}, .brings_data = false, .data_in = {}}).error == 0);
  CHECK(fake.get<std::uint16_t>(first + 4) == 2 && fake.get<std::uint8_t>(first + 8) == 8);
  CHECK(fake.tail() == second - FakeRing::kRingAt);
  const Bytes brought = {1, 2, 3, 4};
  CHECK(ring.complete({.id = 1, .status = 0, .sense = {}, .brings_data = true, .data_in = brought}).error ==
        0);
  CHECK(fake.get<std::uint16_t>(second + 4) == 1);
  CHECK(fake.get<std::uint8_t>(FakeRing::kDataAt + 3) == 4);
  CHECK(fake.tail() == fake.head());
}

void tcmu_tells_of_aborts() {
  FakeRing fake;
  TcmuRing ring;
  CHECK(ring.attach(fake.memory()).error == 0);
  const auto at = fake.add(2, 40);
  fake.put<std::uint32_t>(at + 12, 2);
  fake.put<std::uint16_t>(at + 32, 11);
  fake.put<std::uint16_t>(at + 34, 12);
  CHECK((ring.take(9).aborted == std::vector<std::uint16_t>{11, 12}));
  CHECK(fake.tail() == fake.head());
  const auto bad = fake.add(2, 40);
  fake.put<std::uint32_t>(bad + 12, 5);
  CHECK(ring.take(9).error == EPROTO);
}

void tcmu_malformed_rings_are_refused() {
  using Spoil = std::function<void(FakeRing&)>;
  const Spoil kMailboxes[] = {
      [](FakeRing& fake) { fake.put<std::uint16_t>(0, 3); },
      [](FakeRing& fake) { fake.put<std::uint32_t>(4, 64); },
      [](FakeRing& fake) { fake.put<std::uint32_t>(4, FakeRing::kBytes + 8); },
      [](FakeRing& fake) { fake.put<std::uint32_t>(4, 0xfffffff8); },
      [](FakeRing& fake) { fake.put<std::uint32_t>(8, 0); },
      [](FakeRing& fake) { fake.put<std::uint32_t>(8, FakeRing::kBytes); },
      [](FakeRing& fake) { fake.put<std::uint32_t>(64, FakeRing::kRingBytes); },
      [](FakeRing& fake) { fake.put<std::uint32_t>(64, 4); },
  };
  for (const Spoil& spoil : kMailboxes) {
    FakeRing fake;
    spoil(fake);
    CHECK(TcmuRing().attach(fake.memory()).error == EPROTO);
  }
  FakeRing in_order;
  in_order.put<std::uint16_t>(2, 2);
  CHECK(TcmuRing().attach(in_order.memory()).error == EOPNOTSUPP);
  CHECK(TcmuRing().attach(in_order.memory().first(127)).error == EPROTO);

  constexpr std::uint32_t kEntry = FakeRing::kRingAt;
  const Spoil kEntries[] = {
      [](FakeRing& fake) { fake.put<std::uint32_t>(12, FakeRing::kRingBytes); },
      [](FakeRing& fake) { fake.put<std::uint32_t>(12, 4); },
      [](FakeRing& fake) { fake.put<std::uint32_t>(kEntry, 1); },
      [](FakeRing& fake) { fake.put<std::uint32_t>(kEntry, 0); },  // It would never end.
      [](FakeRing& fake) { fake.put<std::uint32_t>(kEntry, 0xfffffff9); },
      [](FakeRing& fake) { fake.put<std::uint32_t>(kEntry, 128 | 1); },  // Past the head.
      [](FakeRing& fake) { fake.put<std::uint32_t>(kEntry, 64 | 1); },   // No room for a reply.
      [](FakeRing& fake) { fake.put<std::uint32_t>(kEntry + 8, 5); },    // More vectors than fit.
      [](FakeRing& fake) { fake.put<std::uint32_t>(kEntry + 8, 0xffffffff); },
      [](FakeRing& fake) { fake.put<std::uint64_t>(kEntry + 24, FakeRing::kBytes); },
      [](FakeRing& fake) { fake.put<std::uint64_t>(kEntry + 24, ~std::uint64_t{0}); },
      [](FakeRing& fake) {  // The CDB is cut.
        fake.put<std::uint64_t>(kEntry + 24, FakeRing::kBytes - 8);
        fake.put<std::uint8_t>(FakeRing::kBytes - 8, 0x28);
      },
      [](FakeRing& fake) { fake.put<std::uint64_t>(kEntry + 48, FakeRing::kDataAt - 1); },  // In the ring.
      [](FakeRing& fake) { fake.put<std::uint64_t>(kEntry + 48, FakeRing::kBytes + 1); },
      [](FakeRing& fake) { fake.put<std::uint64_t>(kEntry + 48, ~std::uint64_t{0}); },
      [](FakeRing& fake) { fake.put<std::uint64_t>(kEntry + 56, 1025); },
      [](FakeRing& fake) { fake.put<std::uint64_t>(kEntry + 56, ~std::uint64_t{0}); },
  };
  for (const Spoil& spoil : kEntries) {
    FakeRing fake;
    TcmuRing ring;
    CHECK(ring.attach(fake.memory()).error == 0);
    fake.add_command(1, cdb_of(0x28, 10), {{FakeRing::kDataAt, 512}});
    spoil(fake);
    const TcmuBatch batch = ring.take(9);
    CHECK(batch.error == EPROTO && batch.commands.empty());
  }

  FakeRing overlapping;
  TcmuRing ring;
  CHECK(ring.attach(overlapping.memory()).error == 0);
  overlapping.add_command(1, cdb_of(0x28, 10), {{FakeRing::kDataAt, 1000}, {FakeRing::kDataAt, 1000}});
  CHECK(ring.take(9).error == EPROTO);

  FakeRing twice;
  TcmuRing other;
  CHECK(other.attach(twice.memory()).error == 0);
  twice.add_command(1, cdb_of(0x28, 10), {});
  twice.add_command(1, cdb_of(0x28, 10), {});
  const TcmuBatch batch = other.take(9);
  CHECK(batch.error == EPROTO && batch.commands.size() == 1);
}

void tcmu_notices_a_reset() {
  FakeRing fake;
  TcmuRing ring;
  CHECK(ring.attach(fake.memory()).error == 0);
  fake.add_command(1, cdb_of(0x28, 10), {});
  CHECK(ring.take(9).commands.size() == 1);
  fake.begin_at(8);
  CHECK(ring.complete(good(1)).error == ESTALE);
  CHECK(ring.take(9).error == ESTALE);
}

void tcmu_node_takes_no_other_file() {
  TemporaryFolder folder;
  TcmuNode node;
  CHECK(node.open(folder.file("empty", std::string(4096, '\0')), 4096).error == EPROTO);
  CHECK(node.open(folder.path() + "/missing", 4096).error == EBUSY);
  CHECK(TcmuNode().open(folder.path() + "/missing", 4096).error == ENOENT);
}

struct Test {
  const char* name;
  void (*run)();
};

constexpr std::array kTests{
    Test{"CRC-16: known values", crc16_known_values},
    Test{"CRC-16: equals its definition at every length", crc16_equals_its_definition},
    Test{"CRC-16: goes on where it stopped", crc16_goes_on_where_it_stopped},
    Test{"CRC-64: known values", crc64_known_values},
    Test{"CRC-64: goes on where it stopped, and equals its definition", crc64_goes_on_where_it_stopped},
    Test{"IP checksum: known values", ip_known_values},
    Test{"IP checksum: two parts are one message", ip_parts_are_one_message},
    Test{"tuples: generate makes those of a real disk", generate_makes_the_tuples_of_a_real_disk},
    Test{"tuples: verify reports the first check that differs and goes on",
         verify_reports_the_first_check_that_differs_and_goes_on},
    Test{"tuples: reference tags wrap without touching application tags",
         reference_tags_wrap_without_touching_application_tags},
    Test{"tuples: application tags by range", application_tags_by_range},
    Test{"tuples: without the guard no data is read", without_the_guard_no_data_is_read},
    Test{"tuples: layouts that reach outside are named", layouts_that_reach_outside_are_named},
    Test{"tuples: parts say what the whole says", parts_say_what_the_whole_says},
    Test{"insert and strip: copy and judge", insert_and_strip_copy_and_judge},
    Test{"insert and strip: blocks that reach outside are named", blocks_that_reach_outside_are_named},
    Test{"pinned memory: held until both let go", pinned_memory_is_held},
    Test{"executor: runs in order and is bounded", executor_runs_in_order_and_is_bounded},
    Test{"executor: stop cancels what waits and ends in order",
         executor_stop_cancels_what_waits_and_ends_in_order},
    Test{"executor: runs as many jobs at once as it has threads",
         executor_runs_as_many_jobs_at_once_as_it_has_threads},
    Test{"device node: opened once for every sixteen threads",
         nodes_are_opened_once_for_every_sixteen_threads},
    Test{"executor: threads take no signals", executor_threads_take_no_signals},
    Test{"fd: one owner", descriptors_have_one_owner},
    Test{"block I/O: files are read and written whole", files_are_read_and_written_whole},
    Test{"NVMe: buffers must fit the format", nvme_buffers_must_fit_the_format},
    Test{"ioctls: what is no disk answers with an errno", what_is_no_disk_answers_with_an_errno},
    Test{"io_uring: PI is refused where it would be dropped", pi_is_refused_where_it_would_be_dropped},
    Test{"io_uring: a completion is waited for without spinning",
         a_completion_is_waited_for_without_spinning},
    Test{"page buffer: an aligned copy", page_buffers_are_aligned_copies},
    Test{"page buffer: a canary behind it", page_buffers_know_what_is_written_behind_them},
    Test{"read and verify: where the bytes came in", reads_are_verified_where_they_came_in},
    Test{"read and verify: no verdict on what did not come whole", what_did_not_come_whole_has_no_verdict},
    Test{"read and verify: what comes too much is seen", what_comes_too_much_is_seen},
    Test{"read and verify: a run ends with what is not clean", runs_end_with_what_is_not_clean},
    Test{"read and verify: a run ends with its time", runs_end_with_their_time},
    Test{"read and verify: reads of a run go on from one another", reads_of_a_run_go_on_from_one_another},
    Test{"TCMU: commands go around the ring", tcmu_commands_go_around_the_ring},
    Test{"TCMU: CDBs have the length of their group", tcmu_cdbs_have_the_length_of_their_group},
    Test{"TCMU: data is gathered and scattered", tcmu_data_is_gathered_and_scattered},
    Test{"TCMU: completes out of order", tcmu_completes_out_of_order},
    Test{"TCMU: tells of aborts", tcmu_tells_of_aborts},
    Test{"TCMU: malformed rings are refused", tcmu_malformed_rings_are_refused},
    Test{"TCMU: notices a reset", tcmu_notices_a_reset},
    Test{"TCMU: a node takes no other file", tcmu_node_takes_no_other_file},
    Test{"snapshot: follows its patterns", snapshots_follow_their_patterns},
    Test{"snapshot: waits for nothing", snapshots_wait_for_nothing},
    Test{"snapshot: patterns stay below the root", patterns_stay_below_the_root},
};

}  // namespace

int main() {
  ::alarm(30);  // A test that hangs ends the program, which TAP counts as a failure.
  std::printf("TAP version 14\n1..%zu\n", kTests.size());
  int failed = 0;
  for (std::size_t i = 0; i < kTests.size(); ++i) {
    failures_of_test = 0;
    kTests[i].run();
    if (failures_of_test != 0) ++failed;
    std::printf("%sok %zu - %s\n", failures_of_test == 0 ? "" : "not ", i + 1, kTests[i].name);
  }
  return failed == 0 ? 0 : 1;
}
