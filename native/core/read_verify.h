// Reads blocks and verifies them on the thread that read them, while they are in its cache: the verdict alone
// leaves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
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
};

// `verified` is empty unless all of it came: GOOD without a residue, and every tuple written to.
struct SgVerifyAnswer {
  int error = 0;
  SgAnswer sg{};
  std::optional<VerifyResult> verified{};
};
struct PiVerifyAnswer {
  int error = 0;
  std::size_t bytes = 0;
  std::optional<VerifyResult> verified{};
};

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
  std::uint64_t seed;
};
PiVerifyAnswer pi_read_verify(int fd, PiRing& ring, const PiRead& read, const ReadRule& rule,
                              ReadMemory& data, ReadMemory& tuples);

// What nobody here looks at: others check it on its way.
Transfer read_through(int fd, std::uint64_t offset, std::size_t bytes, ReadMemory& memory);

}  // namespace blkint
