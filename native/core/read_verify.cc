#include "core/read_verify.h"

#include <algorithm>
#include <array>

namespace blkint {
namespace {

// Neither what devices and bounce buffers leave by themselves nor an escape; as long as the smallest tuple.
constexpr std::array<std::uint8_t, 8> kPoison{0x51, 0x76, 0x9b, 0x5f, 0x84, 0xa9, 0x6d, 0x92};

// Poison where the tuples will be: written before each command, it tells a tuple of this command from one
// that the last command left. The data needs none, since under a tuple that came it is compared.
template <typename See>
void each_tuple(const TupleLayout& layout, std::span<std::uint8_t> metadata, See see) {
  for (std::size_t i = 0; i < layout.intervals; ++i) {
    see(metadata.subspan(layout.metadata_start + i * layout.metadata_stride + layout.pi_offset,
                         kPoison.size()));
  }
}

void poison(const TupleLayout& layout, std::span<std::uint8_t> metadata) {
  each_tuple(layout, metadata, [](auto tuple) { std::ranges::copy(kPoison, tuple.begin()); });
}

bool all_came(const TupleLayout& layout, std::span<std::uint8_t> metadata) {
  bool came = true;
  each_tuple(layout, metadata, [&](auto tuple) { came = came && !std::ranges::equal(tuple, kPoison); });
  return came;
}

std::optional<VerifyResult> judge(const ReadRule& rule, std::span<std::uint8_t> data,
                                  std::span<std::uint8_t> metadata) {
  if (!all_came(rule.layout, metadata)) return std::nullopt;
  const VerifyRule how{.checks = rule.checks,
                       .escape_needs_ref = rule.escape_needs_ref,
                       .escape_ends = false,
                       .app_tags = {},
                       .app_tag_mask = 0,
                       .findings_max = rule.findings_max};
  return verify(rule.layout, how, data, metadata);
}

}  // namespace

PageBuffer& ReadMemory::of(std::size_t bytes) {
  if (!buffer_ || buffer_->bytes().size() != bytes) {
    buffer_.reset();  // Never both at once.
    buffer_.emplace(bytes, 0);
  }
  return *buffer_;
}

ReadRule ReadRule::behind(std::size_t reads) const {
  ReadRule rule = *this;
  rule.layout.seed = (layout.seed + reads * layout.intervals) & ref_escape(layout.guard);
  return rule;
}

PiRead PiRead::behind(std::size_t reads, std::size_t intervals) const noexcept {
  PiRead read = *this;
  read.offset += reads * data_bytes;
  read.seed += reads * intervals;
  return read;
}

SgVerifyAnswer sg_read_verify(int fd, SgSend send, const SgCommand& command, std::size_t bytes,
                              const ReadRule& rule, ReadMemory& memory) {
  PageBuffer& buffer = memory.of(bytes);
  poison(rule.layout, buffer.bytes());
  SgCommand sent = command;
  sent.data = buffer.bytes();
  SgVerifyAnswer answer{.sg = send(fd, sent)};
  SgAnswer& sg = answer.sg;
  answer.error = sg.error;
  sg.overrun = !buffer.is_intact();
  // RECOVERED ERROR and whatever else comes with sense is for who reads sense.
  const bool whole = sg.error == 0 && sg.status == 0 && sg.host_status == 0 && sg.driver_status == 0 &&
                     sg.resid == 0 && !sg.overrun;
  if (whole) answer.verified = judge(rule, buffer.bytes(), buffer.bytes());
  if (sg.overrun) memory.drop();
  return answer;
}

PiVerifyAnswer pi_read_verify(int fd, PiRing& ring, const PiRead& read, const ReadRule& rule,
                              ReadMemory& data, ReadMemory& tuples) {
  const auto into = data.of(read.data_bytes).bytes();
  const auto metadata = tuples.of(read.tuple_bytes).bytes();
  poison(rule.layout, metadata);
  const PiAttribute pi{.flags = read.flags, .app_tag = 0, .seed = read.seed, .tuples = metadata};
  const Transfer transfer = ring.read(fd, into, read.offset, pi);
  PiVerifyAnswer answer{.error = transfer.error, .bytes = transfer.bytes};
  if (transfer.error == 0 && transfer.bytes == into.size()) answer.verified = judge(rule, into, metadata);
  return answer;
}

Transfer read_through(int fd, std::uint64_t offset, std::size_t bytes, std::size_t reads,
                      ReadMemory& memory) {
  const auto into = memory.of(bytes).bytes();
  const RunTime time;
  Transfer run;
  for (std::size_t i = 0; i < reads && (i == 0 || !time.is_over()); ++i) {
    const Transfer one = read_at(fd, into, offset + run.bytes);
    run = {.error = one.error, .bytes = run.bytes + one.bytes};
    if (one.bytes < bytes) break;
  }
  return run;
}

}  // namespace blkint
