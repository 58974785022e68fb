// The ring through which the kernel's TCMU hands SCSI commands to a process (linux/target_core_user.h, version 2). It works on
// memory that is shared with the kernel and trusts nothing in it: what does not fit ends in an errno.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/block_io.h"
#include "core/fd.h"

namespace blkint {

inline constexpr std::size_t kTcmuSenseBytes = 96;

struct TcmuCommand {
  std::uint16_t id;  // Names it until it is completed.
  std::vector<std::uint8_t> cdb;
  std::size_t data_bytes;  // As many as the initiator sends or takes: the entry does not say which.
};

struct TcmuBatch {
  int error = 0;
  std::vector<TcmuCommand> commands;
  // Commands that a task management function aborts. It waits for them to be completed.
  std::vector<std::uint16_t> aborted;
};

struct TcmuReply {
  std::uint16_t id;
  std::uint8_t status;
  std::span<const std::uint8_t> sense;  // Cut at kTcmuSenseBytes.
  // Whether the command brings data: then the initiator is told how much of it came.
  bool brings_data;
  std::span<const std::uint8_t> data_in;  // Cut at the command's length.
};

class TcmuRing {
 public:
  // The memory stays the caller's and outlives the ring. EPROTO when it holds no ring of version 2, EOPNOTSUPP when commands would have
  // to be completed in order (before Linux 4.0).
  Outcome attach(std::span<std::uint8_t> memory);

  // What the kernel has put since the last time, at most `entries_max` entries. EPROTO when the ring is malformed, ESTALE when somebody
  // has reset it; what was read before that is there all the same.
  TcmuBatch take(std::size_t entries_max);

  // The bytes of a command's data area, in order: what the initiator sends, or garbage. ENOENT when no such command is under way.
  struct Data {
    int error = 0;
    std::vector<std::span<const std::uint8_t>> pieces;
    std::size_t bytes = 0;
  };
  [[nodiscard]] Data data_of(std::uint16_t id) const;

  // In any order. The kernel looks at what was completed when it is kicked.
  Outcome complete(const TcmuReply& reply);

 private:
  struct Header {
    std::uint32_t length;
    std::uint32_t operation;
    std::uint16_t id;
  };

  [[nodiscard]] bool is_reset() const;
  bool read_header(std::uint32_t at, std::uint32_t end, Header& header) const;
  bool take_command(std::span<std::uint8_t> entry, std::uint16_t id, TcmuBatch& batch);
  static bool take_abort(std::span<const std::uint8_t> entry, TcmuBatch& batch);
  void advance_tail(std::uint32_t length);
  void skip_what_needs_no_reply();

  // An entry between tail and cursor. They are not read again: the kernel's memory may change under us.
  struct Slot {
    std::uint32_t length;
    bool is_command;
  };

  std::span<std::uint8_t> memory_;
  std::span<std::uint8_t> ring_;
  std::size_t data_begin_ = 0;
  std::uint32_t tail_ = 0;    // Up to here the kernel may have the ring back.
  std::uint32_t cursor_ = 0;  // Up to here it is read.
  std::deque<Slot> slots_;
  // The data areas of the commands under way: their entries may be overwritten by the reply to another.
  std::unordered_map<std::uint16_t, std::vector<std::span<std::uint8_t>>> pending_;
};

// The UIO node of one TCMU device, with its ring.
class TcmuNode {
 public:
  TcmuNode() = default;
  ~TcmuNode();
  TcmuNode(const TcmuNode&) = delete;
  TcmuNode& operator=(const TcmuNode&) = delete;

  // `bytes` is what maps/map0/size of the UIO device says. EBUSY when a node is held already, or another process serves this one.
  Outcome open(const std::string& path, std::size_t bytes);
  // Tells the kernel to look at the ring.
  Outcome kick() const;
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  TcmuRing& ring() noexcept { return ring_; }

 private:
  Fd fd_;
  std::span<std::uint8_t> memory_;
  TcmuRing ring_;
};

}  // namespace blkint
