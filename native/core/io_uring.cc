#include "core/io_uring.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <utility>

namespace blkint {

// struct io_uring_sqe of a read or write with attributes, as in Linux 6.14; the headers of older
// distributions end otherwise.
struct Sqe {
  std::uint8_t opcode;
  std::uint8_t flags;
  std::uint16_t ioprio;
  std::int32_t fd;
  std::uint64_t offset;
  std::uint64_t address;
  std::uint32_t length;
  std::uint32_t rw_flags;
  std::uint64_t user_data;
  std::uint16_t buf_index;
  std::uint16_t personality;
  std::uint32_t unused;
  std::uint64_t attributes;
  std::uint64_t attribute_types;
};
static_assert(sizeof(Sqe) == sizeof(io_uring_sqe));
static_assert(offsetof(Sqe, user_data) == offsetof(io_uring_sqe, user_data));
static_assert(offsetof(Sqe, attributes) == 48);
static_assert(offsetof(Sqe, attribute_types) == 56);

namespace {

// IORING_FEAT_RW_ATTR. A kernel without it silently runs the command without the attribute.
constexpr std::uint32_t kFeatureRwAttribute = 1U << 16;
// IORING_RW_ATTR_FLAG_PI
constexpr std::uint64_t kAttributePi = 1;

// Milliseconds between two looks for a completion that the kernel will not let us wait for.
constexpr int kRecheckMs = 10;

// struct io_uring_attr_pi
struct AttributePi {
  std::uint16_t flags;
  std::uint16_t app_tag;
  std::uint32_t length;
  std::uint64_t address;
  std::uint64_t seed;
  std::uint64_t reserved;
};
static_assert(sizeof(AttributePi) == 32);
static_assert(offsetof(AttributePi, address) == 8);
static_assert(offsetof(AttributePi, seed) == 16);

int io_uring_setup(unsigned entries, io_uring_params& params) noexcept {
  return static_cast<int>(::syscall(SYS_io_uring_setup, entries, &params));
}

int io_uring_enter(int ring, unsigned submit) noexcept {
  return static_cast<int>(::syscall(SYS_io_uring_enter, ring, submit, 1, IORING_ENTER_GETEVENTS, nullptr, 0));
}

std::uint64_t address_of(const void* pointer) noexcept { return reinterpret_cast<std::uintptr_t>(pointer); }

// The ring's counters are shared with the kernel.
std::uint32_t load(std::uint32_t& counter) noexcept {
  return std::atomic_ref(counter).load(std::memory_order_acquire);
}
void store(std::uint32_t& counter, std::uint32_t value) noexcept {
  std::atomic_ref(counter).store(value, std::memory_order_release);
}

}  // namespace

IoUringFeatures io_uring_features() noexcept {
  io_uring_params params{};
  const Fd ring(io_uring_setup(1, params));
  if (!ring.is_open()) return {.error = errno};
  return {.features = params.features};
}

Mapping::Mapping(int fd, std::size_t bytes, std::uint64_t offset) noexcept : bytes_(bytes) {
  void* start = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
                       static_cast<off_t>(offset));
  if (start != MAP_FAILED) start_ = static_cast<std::uint8_t*>(start);
}

Mapping::~Mapping() {
  if (start_ != nullptr) ::munmap(start_, bytes_);
}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(start_, other.start_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Transfer PiRing::read(int fd, std::span<std::uint8_t> buffer, std::uint64_t offset,
                      const PiAttribute& pi) noexcept {
  return transfer(IORING_OP_READ, fd, buffer, offset, pi);
}

Transfer PiRing::write(int fd, std::span<std::uint8_t> buffer, std::uint64_t offset,
                       const PiAttribute& pi) noexcept {
  return transfer(IORING_OP_WRITE, fd, buffer, offset, pi);
}

Transfer PiRing::transfer(std::uint8_t opcode, int fd, std::span<std::uint8_t> buffer, std::uint64_t offset,
                          const PiAttribute& pi) noexcept {
  if (const Outcome ready = set_up(); ready.error != 0) return {.error = ready.error};
  const AttributePi attribute{.flags = pi.flags,
                              .app_tag = pi.app_tag,
                              .length = static_cast<std::uint32_t>(pi.tuples.size()),
                              .address = address_of(pi.tuples.data()),
                              .seed = pi.seed,
                              .reserved = 0};
  Sqe sqe{};
  sqe.opcode = opcode;
  sqe.fd = fd;
  sqe.offset = offset;
  sqe.address = address_of(buffer.data());
  sqe.length = static_cast<std::uint32_t>(buffer.size());
  sqe.attributes = address_of(&attribute);
  sqe.attribute_types = kAttributePi;
  for (;;) {
    const std::int32_t answer = run(sqe);
    if (answer >= 0) return {.bytes = static_cast<std::size_t>(answer)};
    if (answer != -EINTR) return {.error = -answer};
  }
}

Outcome PiRing::set_up() noexcept {
  if (sqes_.is_mapped()) return {};
  io_uring_params params{};
  Fd ring(io_uring_setup(1, params));
  if (!ring.is_open()) return {.error = errno};
  if ((params.features & kFeatureRwAttribute) == 0) return {.error = ENOTSUP};
  const std::size_t sq_bytes = params.sq_off.array + params.sq_entries * sizeof(std::uint32_t);
  const std::size_t cq_bytes = params.cq_off.cqes + params.cq_entries * sizeof(io_uring_cqe);
  Mapping queues(ring.get(), std::max(sq_bytes, cq_bytes), IORING_OFF_SQ_RING);
  if (!queues.is_mapped()) return {.error = errno};
  Mapping sqes(ring.get(), params.sq_entries * sizeof(Sqe), IORING_OFF_SQES);
  if (!sqes.is_mapped()) return {.error = errno};
  ring_ = std::move(ring);
  params_ = params;
  queues_ = std::move(queues);
  sqes_ = std::move(sqes);
  return {};
}

// The command's result: bytes, or a negative errno.
std::int32_t PiRing::run(const Sqe& sqe) noexcept {
  const auto& sq = params_.sq_off;
  const auto& cq = params_.cq_off;
  std::uint32_t& sq_tail = *queues_.at<std::uint32_t>(sq.tail);
  const std::uint32_t slot = sq_tail & *queues_.at<std::uint32_t>(sq.ring_mask);
  sqes_.at<Sqe>(0)[slot] = sqe;
  queues_.at<std::uint32_t>(sq.array)[slot] = slot;
  store(sq_tail, sq_tail + 1);
  while (io_uring_enter(ring_.get(), 1) < 0) {
    if (errno == EINTR) continue;
    const int error = errno;
    store(sq_tail, sq_tail - 1);  // Not taken: it must not go along with the next one.
    return -error;
  }
  std::uint32_t& cq_head = *queues_.at<std::uint32_t>(cq.head);
  std::uint32_t& cq_tail = *queues_.at<std::uint32_t>(cq.tail);
  // Nothing but the completion may end this wait: until then the kernel holds the buffers.
  while (load(cq_tail) == cq_head) {
    if (io_uring_enter(ring_.get(), 0) >= 0 || errno == EINTR) continue;
    ::poll(nullptr, 0, kRecheckMs);  // A seccomp filter, say: the completion comes without our asking.
  }
  const std::uint32_t done = cq_head & *queues_.at<std::uint32_t>(cq.ring_mask);
  const std::int32_t result = queues_.at<io_uring_cqe>(cq.cqes)[done].res;
  store(cq_head, cq_head + 1);
  return result;
}

}  // namespace blkint
