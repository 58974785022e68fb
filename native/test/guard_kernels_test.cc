// The tests of the guard kernels, as TAP: every kernel that runs here against the definition and against the
// plain one. Of core alone, so that it can be run under an emulator of other CPUs.
//
//   guard_kernels_test [CASES [SEED [ALIGNMENTS]]]
//
// CASES is how many random intervals each kernel gets; ALIGNMENTS, 64 if not given, how many addresses every
// length is tried at: fewer where an emulator takes long.
#include "core/guard_kernels.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "core/crc16_t10dif.h"
#include "core/crc64_nvme.h"
#include "core/ip_checksum.h"
#include "core/tuples.h"
#include "test/support.h"

namespace {

using namespace blkint;

constexpr std::size_t kLengthMax = 8192;
constexpr std::size_t kAlignmentsMax = 64;
constexpr std::array<const char*, kGuards> kGuardNames{"CRC-16", "IP checksum", "CRC-64"};

std::uint64_t cases = 2000;
std::uint64_t seed = 1;
std::size_t alignments = kAlignmentsMax;
int failures_of_test = 0;

void fail(const GuardKernel& kernel, std::size_t guard, const char* what, std::size_t bytes,
          std::size_t more) {
  if (++failures_of_test > 10) return;
  std::printf("# %s, %s: %s, %zu bytes, %zu\n", kernel.name, kGuardNames[guard], what, bytes, more);
}

Bytes random_bytes(std::mt19937_64& random, std::size_t size) {
  Bytes bytes(size);
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
  return bytes;
}

std::uint64_t plain(std::size_t guard, std::uint64_t before, std::span<const std::uint8_t> data) {
  switch (static_cast<Guard>(guard)) {
    case Guard::kCrc16T10Dif:
      return crc16_t10dif(static_cast<std::uint16_t>(before), data);
    case Guard::kCrc64Nvme:
      return crc64_nvme(before, data);
    case Guard::kIpChecksum:
      break;
  }
  return ip_checksum_behind(static_cast<std::uint16_t>(before), data);
}

// Whether the kernel makes the guard, loading as from a cache and as from memory.
bool makes(const GuardKernel& kernel, std::size_t guard, std::uint64_t expected, std::uint64_t before,
           std::span<const std::uint8_t> data) {
  return std::ranges::all_of(std::array{false, true}, [&](bool from_memory) {
    std::uint64_t made = 0;
    kernel.compute[guard](
        before,
        {.at = data.data(), .stride = 0, .bytes = data.size(), .count = 1, .from_memory = from_memory},
        &made);
    return made == expected;
  });
}

// The guards of the first 0, 1, 2 ... bytes, by definition.
std::vector<std::uint64_t> guards_of_begins(std::size_t guard, std::span<const std::uint8_t> bytes) {
  std::vector<std::uint64_t> guards{guard_of_nothing(static_cast<Guard>(guard))};
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    sum += i % 2 == 0 ? bytes[i] * 256U : bytes[i];
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    guards.push_back(guard == 0   ? crc_by_bits(static_cast<std::uint16_t>(guards[i]), bytes.subspan(i, 1))
                     : guard == 1 ? ~sum & 0xffff
                                  : crc64_by_bits(guards[i], bytes.subspan(i, 1)));
  }
  return guards;
}

void every_length_at_every_alignment(const GuardKernel& kernel) {
  std::mt19937_64 random(seed);
  const Bytes bytes = random_bytes(random, kLengthMax);
  Bytes room(kLengthMax + 2 * kAlignmentsMax);
  std::uint8_t* const aligned =
      room.data() + (-reinterpret_cast<std::uintptr_t>(room.data()) & (kAlignmentsMax - 1));
  for (std::size_t guard = 0; guard < kGuards; ++guard) {
    const auto expected = guards_of_begins(guard, bytes);
    for (std::size_t alignment = 0; alignment < alignments; ++alignment) {
      std::ranges::copy(bytes, aligned + alignment);
      for (std::size_t length = 0; length <= kLengthMax; ++length) {
        if (!makes(kernel, guard, expected[length], guard_of_nothing(static_cast<Guard>(guard)),
                   {aligned + alignment, length}))
          fail(kernel, guard, "alignment", length, alignment);
      }
    }
  }
}

// Memory between two pages that are not there: what reads a byte outside ends the program.
class PagesApart {
 public:
  explicit PagesApart(std::size_t bytes) : inside_((bytes + page_ - 1) / page_ * page_) {
    if (mapped_ = ::mmap(nullptr, inside_ + 2 * page_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        mapped_ == MAP_FAILED || ::mprotect(begin(), inside_, PROT_READ | PROT_WRITE) != 0)
      std::abort();
  }
  ~PagesApart() { ::munmap(mapped_, inside_ + 2 * page_); }
  PagesApart(const PagesApart&) = delete;
  PagesApart& operator=(const PagesApart&) = delete;

  [[nodiscard]] std::span<std::uint8_t> inside() const noexcept { return {begin(), inside_}; }

 private:
  [[nodiscard]] std::uint8_t* begin() const noexcept { return static_cast<std::uint8_t*>(mapped_) + page_; }

  std::size_t page_ = static_cast<std::size_t>(::getpagesize());
  std::size_t inside_;
  void* mapped_ = nullptr;
};

void nothing_outside_is_read(const GuardKernel& kernel) {
  const PagesApart pages(kLengthMax);
  const auto inside = pages.inside();
  std::mt19937_64 random(seed + 1);
  std::ranges::copy(random_bytes(random, inside.size()), inside.begin());
  for (std::size_t guard = 0; guard < kGuards; ++guard) {
    for (std::size_t length = 0; length <= kLengthMax; ++length) {
      for (const std::span<const std::uint8_t> data : {inside.first(length), inside.last(length)}) {
        const std::uint64_t before = guard_of_nothing(static_cast<Guard>(guard));
        if (!makes(kernel, guard, plain(guard, before, data), before, data))
          fail(kernel, guard, "beside a page that is not there", length,
               data.data() == inside.data() ? 0 : 1);
      }
    }
  }
}

// Blocks of a disk from the first byte of memory on, and to the last, at every distance from the beginning
// and the end of a cache line.
void no_block_outside_is_read(const GuardKernel& kernel) {
  constexpr std::size_t kBlocks = 19;
  const PagesApart pages(kBlocks * 4160);
  std::mt19937_64 random(seed + 3);
  std::ranges::copy(random_bytes(random, pages.inside().size()), pages.inside().begin());
  for (const std::size_t bytes : {512, 1024, 4096}) {
    for (std::size_t between = 0; between <= 64; between += 4) {
      for (std::size_t count = 1; count <= kBlocks; ++count) {
        const std::size_t stride = bytes + between;
        const std::size_t all = count * stride - between;
        for (const std::span<std::uint8_t> blocks : {pages.inside().first(all), pages.inside().last(all)}) {
          for (const bool from_memory : {false, true}) {
            std::array<std::uint64_t, kBlocks> made;
            kernel.compute[0](0,
                              {.at = blocks.data(),
                               .stride = stride,
                               .bytes = bytes,
                               .count = count,
                               .from_memory = from_memory},
                              made.data());
            for (std::size_t i = 0; i < count; ++i) {
              if (made[i] != plain(0, 0, blocks.subspan(i * stride, bytes)))
                fail(kernel, 0, "blocks beside a page that is not there", bytes, between);
            }
          }
        }
      }
    }
  }
}

// Many intervals in one call, going on from anything.
void random_intervals(const GuardKernel& kernel) {
  constexpr std::array<std::size_t, 8> kUsual{8, 64, 256, 512, 520, 1024, 4096, 4104};
  constexpr std::size_t kIntervalsMax = 33;
  std::mt19937_64 random(seed + 2);
  const Bytes bytes = random_bytes(random, 1 << 20);
  for (std::uint64_t done = 0; done < cases;) {
    const std::size_t size = random() % 3 == 0 ? kUsual[random() % kUsual.size()] : random() % 700;
    const Intervals intervals{.at = bytes.data() + random() % 70000,
                              .stride = size + (random() % 2 == 0 ? 0 : random() % 200),
                              .bytes = size,
                              .count = random() % (kIntervalsMax + 1),
                              .from_memory = random() % 2 == 0};
    const std::size_t guard = random() % kGuards;
    const std::uint64_t before = random() >> (guard == 2 ? 0 : 48);
    std::array<std::uint64_t, kIntervalsMax> made;
    kernel.compute[guard](before, intervals, made.data());
    for (std::size_t i = 0; i < intervals.count; ++i) {
      if (made[i] != plain(guard, before, {intervals.at + i * intervals.stride, size}))
        fail(kernel, guard, "interval", size, i);
    }
    done += intervals.count;
  }
}

// By the kernel on the way, or beforehand: all of the intervals, and nothing else is written.
void intervals_are_copied(const GuardKernel& kernel) {
  constexpr std::array<std::size_t, 6> kUsual{512, 520, 2048, 2056, 4096, 4104};
  constexpr std::size_t kIntervalsMax = 17;
  std::mt19937_64 random(seed + 4);
  const Bytes bytes = random_bytes(random, 1 << 17);
  const Bytes untouched(1 << 17, 0xee);
  const std::string in_use = guard_kernel().name;
  use_guard_kernel(kernel.name);
  for (std::size_t guard = 0; guard < kGuards; ++guard) {
    for (std::uint64_t done = 0; done < cases;) {
      const std::size_t size = random() % 2 == 0 ? kUsual[random() % kUsual.size()] : random() % 2600;
      const Intervals intervals{.at = bytes.data() + random() % 64,
                                .stride = size + random() % 64,
                                .bytes = size,
                                .count = random() % (kIntervalsMax + 1)};
      const std::size_t first = random() % 64;
      const std::size_t stride = size + (random() % 2 == 0 ? 0 : random() % 64);
      Bytes expected = untouched;
      Bytes copied = untouched;
      for (std::size_t i = 0; i < intervals.count; ++i)
        std::copy_n(intervals.at + i * intervals.stride, size, expected.data() + first + i * stride);
      const std::uint64_t before = random() >> (guard == 2 ? 0 : 48);
      std::array<std::uint64_t, kIntervalsMax> made;
      copy_and_compute_guards(static_cast<Guard>(guard), before, intervals,
                              {.at = copied.data() + first, .stride = stride}, made.data());
      if (copied != expected) fail(kernel, guard, "copies", size, intervals.count);
      for (std::size_t i = 0; i < intervals.count; ++i) {
        if (made[i] != plain(guard, before, {intervals.at + i * intervals.stride, size}))
          fail(kernel, guard, "copied interval", size, i);
      }
      done += 1 + intervals.count;
    }
  }
  use_guard_kernel(in_use);
}

// Sums that fill every bit, and longer than a kernel adds up at once.
void highest_sums(const GuardKernel& kernel) {
  for (const std::uint8_t byte : Bytes{0x00, 0x7f, 0x80, 0xff}) {
    const Bytes bytes((std::size_t{1} << 20) + 7, byte);
    for (std::size_t guard = 0; guard < kGuards; ++guard) {
      for (const std::size_t length : {std::size_t{65536}, std::size_t{65600}, bytes.size()}) {
        const auto data = std::span(bytes).first(length);
        const std::uint64_t before = guard_of_nothing(static_cast<Guard>(guard));
        if (!makes(kernel, guard, plain(guard, before, data), before, data))
          fail(kernel, guard, "all bytes alike", length, byte);
      }
    }
  }
}

struct Test {
  const char* name;
  void (*run)(const GuardKernel& kernel);
};

constexpr std::array kTests{
    Test{"every length at every alignment", every_length_at_every_alignment},
    Test{"nothing outside is read", nothing_outside_is_read},
    Test{"no block outside is read", no_block_outside_is_read},
    Test{"random intervals", random_intervals},
    Test{"intervals are copied", intervals_are_copied},
    Test{"highest sums", highest_sums},
};

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) cases = std::strtoull(argv[1], nullptr, 0);
  if (argc > 2) seed = std::strtoull(argv[2], nullptr, 0);
  if (argc > 3) alignments = std::min<std::size_t>(std::strtoull(argv[3], nullptr, 0), kAlignmentsMax);
  std::printf("TAP version 14\n1..%zu\n# seed %llu, in use: %s\n", guard_kernels().size() * kTests.size(),
              static_cast<unsigned long long>(seed), guard_kernel().name);
  int failed = 0;
  int number = 0;
  for (const GuardKernel* kernel : guard_kernels()) {
    for (const Test& test : kTests) {
      ++number;
      if (!kernel->runs_here()) {
        std::printf("ok %d - %s: %s # SKIP not on this CPU\n", number, kernel->name, test.name);
        continue;
      }
      failures_of_test = 0;
      test.run(*kernel);
      if (failures_of_test != 0) ++failed;
      std::printf("%sok %d - %s: %s\n", failures_of_test == 0 ? "" : "not ", number, kernel->name, test.name);
      std::fflush(stdout);
    }
  }
  return failed == 0 ? 0 : 1;
}
