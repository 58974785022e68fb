#include "core/tcmu_ring.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

namespace blkint {
namespace {

// linux/target_core_user.h itself is no C++. Offsets in bytes.
namespace mailbox {
constexpr std::size_t kVersion = 0;
constexpr std::size_t kFlags = 2;
constexpr std::size_t kRingOffset = 4;
constexpr std::size_t kRingSize = 8;
constexpr std::size_t kHead = 12;
constexpr std::size_t kTail = 64;
constexpr std::size_t kBytes = 128;
constexpr std::uint16_t kVersionKnown = 2;
constexpr std::uint16_t kOutOfOrder = 1 << 0;
constexpr std::uint16_t kReadLength = 1 << 1;
}  // namespace mailbox

namespace entry {
constexpr std::size_t kLengthAndOperation = 0;
constexpr std::size_t kId = 4;
constexpr std::size_t kUserFlags = 7;
constexpr std::size_t kHeaderBytes = 8;
constexpr std::uint32_t kOperationMask = 7;
constexpr std::uint32_t kCommand = 1;
constexpr std::uint32_t kTaskManagement = 2;
constexpr std::uint32_t kPad = 0;
constexpr std::uint8_t kUnknownOperation = 1;
constexpr std::uint8_t kReadLengthValid = 2;
}  // namespace entry

namespace command {
constexpr std::size_t kVectors = 8;
constexpr std::size_t kCdbOffset = 24;
constexpr std::size_t kFirstVector = 48;
constexpr std::size_t kVectorBytes = 16;
// In a reply, over the same bytes.
constexpr std::size_t kStatus = 8;
constexpr std::size_t kReadLength = 12;
constexpr std::size_t kSense = 16;
constexpr std::size_t kBytes = kSense + kTcmuSenseBytes;
}  // namespace command

namespace task_management {
constexpr std::size_t kCommands = 12;
constexpr std::size_t kFirstId = 32;
}  // namespace task_management

template <typename T>
T load(std::span<const std::uint8_t> bytes, std::size_t at) {
  T value;
  std::memcpy(&value, &bytes[at], sizeof value);
  return value;
}

template <typename T>
void store(std::span<std::uint8_t> bytes, std::size_t at, T value) {
  std::memcpy(&bytes[at], &value, sizeof value);
}

std::atomic_ref<std::uint32_t> shared_word(std::span<std::uint8_t> memory, std::size_t at) {
  return std::atomic_ref<std::uint32_t>(*reinterpret_cast<std::uint32_t*>(&memory[at]));
}

// SPC-4 4.2.5.1: the group of the opcode tells the length. What Linux takes reserved and vendor specific groups for is the rest.
std::size_t cdb_bytes(std::uint8_t opcode, std::uint8_t additional) {
  constexpr std::uint8_t kVariableLength = 0x7f;
  constexpr std::uint8_t kBytesOfGroup[] = {6, 10, 10, 12, 16, 12, 10, 10};
  return opcode == kVariableLength ? std::size_t{8} + additional : kBytesOfGroup[opcode >> 5];
}

}  // namespace

Outcome TcmuRing::attach(std::span<std::uint8_t> memory) {
  if (memory.size() < mailbox::kBytes) return {EPROTO};
  const auto offset = load<std::uint32_t>(memory, mailbox::kRingOffset);
  const auto size = load<std::uint32_t>(memory, mailbox::kRingSize);
  if (load<std::uint16_t>(memory, mailbox::kVersion) != mailbox::kVersionKnown) return {EPROTO};
  if ((load<std::uint16_t>(memory, mailbox::kFlags) & mailbox::kOutOfOrder) == 0) return {EOPNOTSUPP};
  if (offset < mailbox::kBytes || offset % 8 != 0 || size == 0 || size % 8 != 0) return {EPROTO};
  if (offset > memory.size() || size > memory.size() - offset) return {EPROTO};
  const auto tail = shared_word(memory, mailbox::kTail).load();
  if (tail >= size || tail % 8 != 0) return {EPROTO};
  memory_ = memory;
  ring_ = memory.subspan(offset, size);
  data_begin_ = std::size_t{offset} + size;
  tail_ = cursor_ = tail;
  return {};
}

bool TcmuRing::is_reset() const { return shared_word(memory_, mailbox::kTail).load() != tail_; }

bool TcmuRing::read_header(std::uint32_t at, std::uint32_t end, Header& header) const {
  const auto word = load<std::uint32_t>(ring_, at + entry::kLengthAndOperation);
  header = {.length = word & ~entry::kOperationMask,
            .operation = word & entry::kOperationMask,
            .id = load<std::uint16_t>(ring_, at + entry::kId)};
  // No entry wraps around, and none reaches past the head.
  const std::size_t limit = at < end ? end : ring_.size();
  return header.length >= entry::kHeaderBytes && header.length <= limit - at;
}

TcmuBatch TcmuRing::take(std::size_t entries_max) {
  TcmuBatch batch;
  if (is_reset()) {
    batch.error = ESTALE;
    return batch;
  }
  const auto head = shared_word(memory_, mailbox::kHead).load(std::memory_order_acquire);
  const bool has_head = head < ring_.size() && head % 8 == 0;
  if (!has_head) batch.error = EPROTO;
  for (std::size_t taken = 0; batch.error == 0 && cursor_ != head && taken < entries_max; ++taken) {
    Header header{};
    if (!read_header(cursor_, head, header)) {
      batch.error = EPROTO;
      break;
    }
    const auto bytes = ring_.subspan(cursor_, header.length);
    bool well_formed = true;
    if (header.operation == entry::kCommand) {
      well_formed = take_command(bytes, header.id, batch);
    } else if (header.operation == entry::kTaskManagement) {
      well_formed = take_abort(bytes, batch);
    } else if (header.operation != entry::kPad) {
      bytes[entry::kUserFlags] |= entry::kUnknownOperation;
    }
    if (!well_formed) {
      batch.error = EPROTO;
      break;
    }
    slots_.push_back({.length = header.length, .is_command = header.operation == entry::kCommand});
    cursor_ = static_cast<std::uint32_t>((cursor_ + header.length) % ring_.size());
  }
  skip_what_needs_no_reply();
  return batch;
}

bool TcmuRing::take_command(std::span<std::uint8_t> bytes, std::uint16_t id, TcmuBatch& batch) {
  if (bytes.size() < command::kBytes || pending_.contains(id)) return false;
  const auto vectors = load<std::uint32_t>(bytes, command::kVectors);
  if (vectors > (bytes.size() - command::kFirstVector) / command::kVectorBytes) return false;

  const auto cdb_at = load<std::uint64_t>(bytes, command::kCdbOffset);
  if (cdb_at >= memory_.size() || memory_.size() - cdb_at < entry::kHeaderBytes) return false;
  const auto from_cdb = memory_.subspan(cdb_at);
  const std::size_t length = cdb_bytes(from_cdb[0], from_cdb[7]);
  if (length > from_cdb.size()) return false;

  const std::size_t data_bytes_max = memory_.size() - data_begin_;
  std::vector<std::span<std::uint8_t>> pieces;
  pieces.reserve(vectors);
  std::size_t total = 0;
  for (std::size_t i = 0; i < vectors; ++i) {
    const std::size_t vector_at = command::kFirstVector + i * command::kVectorBytes;
    const auto begin = load<std::uint64_t>(bytes, vector_at);
    const auto size = load<std::uint64_t>(bytes, vector_at + 8);
    if (begin < data_begin_ || begin > memory_.size() || size > memory_.size() - begin) return false;
    // Pieces that overlap would make more bytes than there are.
    if (size > data_bytes_max - total) return false;
    total += size;
    pieces.push_back(memory_.subspan(begin, size));
  }
  const auto cdb = from_cdb.first(length);
  batch.commands.push_back({.id = id, .cdb = {cdb.begin(), cdb.end()}, .data_bytes = total});
  pending_.emplace(id, std::move(pieces));
  return true;
}

bool TcmuRing::take_abort(std::span<const std::uint8_t> bytes, TcmuBatch& batch) {
  if (bytes.size() < task_management::kFirstId) return false;
  const auto count = load<std::uint32_t>(bytes, task_management::kCommands);
  if (count > (bytes.size() - task_management::kFirstId) / sizeof(std::uint16_t)) return false;
  for (std::size_t i = 0; i < count; ++i) {
    batch.aborted.push_back(
        load<std::uint16_t>(bytes, task_management::kFirstId + i * sizeof(std::uint16_t)));
  }
  return true;
}

TcmuRing::Data TcmuRing::data_of(std::uint16_t id) const {
  const auto found = pending_.find(id);
  if (found == pending_.end()) return {.error = ENOENT, .pieces = {}, .bytes = 0};
  Data data;
  for (const auto piece : found->second) {
    data.pieces.emplace_back(piece);
    data.bytes += piece.size();
  }
  return data;
}

void TcmuRing::advance_tail(std::uint32_t length) {
  tail_ = static_cast<std::uint32_t>((tail_ + length) % ring_.size());
  shared_word(memory_, mailbox::kTail).store(tail_, std::memory_order_release);
}

void TcmuRing::skip_what_needs_no_reply() {
  while (!slots_.empty() && !slots_.front().is_command) {
    advance_tail(slots_.front().length);
    slots_.pop_front();
  }
}

Outcome TcmuRing::complete(const TcmuReply& reply) {
  const auto found = pending_.find(reply.id);
  if (found == pending_.end()) return {ENOENT};
  if (is_reset()) return {ESTALE};
  auto rest = reply.data_in;
  for (const auto piece : found->second) {
    const auto part = rest.first(std::min(rest.size(), piece.size()));
    std::ranges::copy(part, piece.begin());
    rest = rest.subspan(part.size());
  }
  const std::size_t brought = reply.data_in.size() - rest.size();
  pending_.erase(found);

  // As many commands are pending as there are slots of commands, and the first slot is one. Any of them takes any reply: the kernel goes
  // by the id.
  const auto bytes = ring_.subspan(tail_, slots_.front().length);
  const auto flags = load<std::uint16_t>(memory_, mailbox::kFlags);
  const bool tells_length = reply.brings_data && (flags & mailbox::kReadLength) != 0;
  store<std::uint16_t>(bytes, entry::kId, reply.id);
  bytes[entry::kUserFlags] = tells_length ? entry::kReadLengthValid : std::uint8_t{0};
  bytes[command::kStatus] = reply.status;
  store<std::uint32_t>(bytes, command::kReadLength, static_cast<std::uint32_t>(brought));
  const auto sense = bytes.subspan(command::kSense, kTcmuSenseBytes);
  std::ranges::fill(sense, std::uint8_t{0});
  std::ranges::copy(reply.sense.first(std::min(reply.sense.size(), sense.size())), sense.begin());
  advance_tail(slots_.front().length);
  slots_.pop_front();
  skip_what_needs_no_reply();
  return {};
}

TcmuNode::~TcmuNode() {
  if (!memory_.empty()) ::munmap(memory_.data(), memory_.size());
}

Outcome TcmuNode::open(const std::string& path, std::size_t bytes) {
  // O_NONBLOCK: an event that poll saw may be gone when it is read.
  if (const Outcome opened = open_node(fd_, path, O_RDWR | O_NONBLOCK); opened.error != 0) return opened;
  void* start = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
  if (start == MAP_FAILED) return {errno};
  memory_ = {static_cast<std::uint8_t*>(start), bytes};
  return ring_.attach(memory_);
}

Outcome TcmuNode::kick() const {
  const std::int32_t word = 0;
  return {::write(fd_.get(), &word, sizeof word) == sizeof word ? 0 : errno};
}

}  // namespace blkint
