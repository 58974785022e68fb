// Reads blocks and verifies them on the thread that read them, while they are in its cache: the verdict alone
// leaves.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "core/block_io.h"
#include "core/io_uring.h"
#include "core/page_buffer.h"
#include "core/sg_io.h"
#include "core/tuples.h"

namespace blkint {

// What one thread reads into, command after command.
class ReadMemory {
 public:
  // Just so many bytes, so that what comes too much is seen: what they hold is what the last command left.
  [[nodiscard]] PageBuffer& of(std::size_t bytes);
  void drop() noexcept { buffer_.reset(); }

 private:
  std::optional<PageBuffer> buffer_;
};

// How what was read is verified. The layout fits the buffers (`misfit`).
struct ReadRule {
  TupleLayout layout;
  std::vector<Check> checks;
  bool escape_needs_ref;
  std::size_t findings_max;

  // Of the same number of intervals behind so many runs of them.
  [[nodiscard]] ReadRule behind(std::size_t reads) const;
};

// `verified` is empty unless all of it came: GOOD without a residue, and every tuple written to. It is that
// of `reads` reads; `clean` is the last that was sent.
struct SgVerifyAnswer {
  int error = 0;
  SgAnswer sg{};
  std::optional<VerifyResult> verified{};
  std::size_t reads = 0;
  bool clean = false;
};
struct PiVerifyAnswer {
  int error = 0;
  std::size_t bytes = 0;
  std::optional<VerifyResult> verified{};
  std::size_t reads = 0;
  bool clean = false;
};

// Of a run of reads: none is begun when it is over. Somebody may wait for the end, to stop or to have the
// disk alone.
inline constexpr std::chrono::milliseconds kRunTime{1000};

class RunTime {
 public:
  [[nodiscard]] bool is_over() const noexcept { return std::chrono::steady_clock::now() >= end_; }

 private:
  std::chrono::steady_clock::time_point end_ = std::chrono::steady_clock::now() + kRunTime;
};

// Reads on one thread, one after the other, of which each is begun when those before it are clean: whole, and
// no interval bad. The answer is that of the last one that was sent; its verdict is that of the clean ones
// together, or that of the first where that is not clean. `read(i)` answers for one.
template <typename Read>
auto verify_run(std::size_t count, Read read) {
  const auto is_clean = [](const auto& answer) { return answer.verified && answer.verified->bad == 0; };
  const RunTime time;
  auto run = read(std::size_t{0});
  run.reads = run.verified ? 1 : 0;
  run.clean = is_clean(run);
  for (std::size_t i = 1; i < count && run.clean && !time.is_over(); ++i) {
    auto next = read(i);
    next.clean = is_clean(next);
    if (next.clean) {
      run.verified->checked += next.verified->checked;
      run.verified->escaped += next.verified->escaped;
    }
    next.verified = std::move(run.verified);
    next.reads = run.reads + (next.clean ? 1 : 0);
    run = std::move(next);
  }
  return run;
}

using SgSend = SgAnswer (*)(int fd, const SgCommand& command) noexcept;

// `command` is a READ that brings `bytes` bytes, data and tuples interleaved.
SgVerifyAnswer sg_read_verify(int fd, SgSend send, const SgCommand& command, std::size_t bytes,
                              const ReadRule& rule, ReadMemory& memory);

// The attribute's tuples are those of `tuple_bytes` here.
struct PiRead {
  std::uint64_t offset;
  std::size_t data_bytes;
  std::size_t tuple_bytes;
  std::uint16_t flags;
  std::uint64_t seed;  // In intervals.

  [[nodiscard]] PiRead behind(std::size_t reads, std::size_t intervals) const noexcept;
};
PiVerifyAnswer pi_read_verify(int fd, PiRing& ring, const PiRead& read, const ReadRule& rule,
                              ReadMemory& data, ReadMemory& tuples);

// What nobody here looks at: others check it on its way. A run of reads, until one does not come whole.
Transfer read_through(int fd, std::uint64_t offset, std::size_t bytes, std::size_t reads, ReadMemory& memory);

}  // namespace blkint
