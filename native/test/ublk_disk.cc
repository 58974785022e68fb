// A block disk in user space whose integrity profile is the caller's choice: ublk with UBLK_F_INTEGRITY
// (Linux 7.0). Data and metadata lie in two plain files, where a test sees and edits what is on the medium.
// Nothing is made or checked here: every tuple is the kernel's.
//
//   ublk_disk data=FILE metadata=FILE [block=BYTES] [interval=BYTES] [metadata_size=BYTES] [pi_offset=BYTES]
//             [guard=0|1|2|4] [reference_tags=0|1] [tag_size=BYTES]
//
// The size of the data file is the disk's. Interval N has its metadata at N * metadata_size of the metadata
// file. A write without metadata (write_generate off where the tuple is all the metadata) leaves that file
// alone.
//
// Prints the block node once it is there, and serves it until SIGTERM or until standard input has ended; the
// device is deleted then. Exit status: 0, or 1 with a line on standard error that names the step and the
// error.
// The numbers and layouts are those of the kernel's linux/ublk_cmd.h and linux/fs.h (7.3).
#include <fcntl.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/block_io.h"
#include "core/fd.h"
#include "core/io_uring.h"

namespace {

using namespace blkint;

// An entry of a ring with IORING_SETUP_SQE128 (Linux 5.19), whose second half belongs to IORING_OP_URING_CMD.
struct Sqe128 {
  std::uint8_t opcode;
  std::uint8_t flags;
  std::uint16_t ioprio;
  std::int32_t fd;
  std::uint32_t command;
  std::uint32_t unused;
  std::uint64_t address;
  std::uint32_t length;
  std::uint32_t poll_events;
  std::uint64_t user_data;
  std::uint64_t more[1];
  std::array<std::uint8_t, 80> payload;
};
static_assert(sizeof(Sqe128) == 128);
static_assert(offsetof(Sqe128, command) == 8);
static_assert(offsetof(Sqe128, poll_events) == 28);
static_assert(offsetof(Sqe128, user_data) == 32);
static_assert(offsetof(Sqe128, payload) == 48);

// The headers of older distributions lack both.
constexpr std::uint32_t kSetupSqe128 = 1U << 10;
constexpr std::uint8_t kOpUringCmd = 46;

// struct ublksrv_ctrl_cmd
struct ControlCommand {
  std::uint32_t device;
  std::uint16_t queue;
  std::uint16_t length;
  std::uint64_t address;
  std::uint64_t value;
  std::uint64_t reserved;
};
static_assert(sizeof(ControlCommand) == 32);

// struct ublksrv_ctrl_dev_info
struct DeviceInfo {
  std::uint16_t queues;
  std::uint16_t depth;
  std::uint16_t state;
  std::uint16_t descriptor_size;
  std::uint32_t transfer_bytes_max;
  std::uint32_t device;
  std::int32_t process;
  std::uint32_t reserved1;
  std::uint64_t features;
  std::uint64_t own_flags;
  std::uint32_t owner[2];
  std::uint64_t reserved2[2];
};
static_assert(sizeof(DeviceInfo) == 64);
static_assert(offsetof(DeviceInfo, features) == 24);

// struct ublk_param_integrity
struct IntegrityParameters {
  std::uint32_t capabilities;
  std::uint16_t segments_max;  // 0: no limit.
  std::uint8_t interval_exponent;
  std::uint8_t metadata_size;
  std::uint8_t pi_offset;
  std::uint8_t guard;
  std::uint8_t tag_size;
  std::uint8_t reserved[5];
};

// struct ublk_params: the groups that `groups` names count.
struct Parameters {
  std::uint32_t length;
  std::uint32_t groups;
  std::uint32_t attributes;
  std::uint8_t logical_block_shift;
  std::uint8_t physical_block_shift;
  std::uint8_t optimal_io_shift;
  std::uint8_t minimal_io_shift;
  std::uint32_t sectors_max;
  std::uint32_t chunk_sectors;
  std::uint64_t sectors;
  std::uint64_t virtual_boundary;
  std::uint32_t other_groups[20];  // Discard, device numbers, zones, DMA alignment, segments.
  std::uint32_t more_of_them[4];
  IntegrityParameters integrity;
};
static_assert(offsetof(Parameters, sectors) == 24);
static_assert(offsetof(Parameters, integrity) == 136);
static_assert(sizeof(Parameters) == 152);

// struct ublksrv_io_desc
struct IoDescriptor {
  std::uint32_t operation;  // Bits 0 to 7; flags above.
  std::uint32_t sectors;
  std::uint64_t first_sector;
  std::uint64_t address;
};
static_assert(sizeof(IoDescriptor) == 24);

// struct ublksrv_io_cmd
struct IoCommand {
  std::uint16_t queue;
  std::uint16_t tag;
  std::int32_t result;
  std::uint64_t address;
};
static_assert(sizeof(IoCommand) == 16);

// UBLK_U_CMD_*
constexpr std::uint32_t kAddDevice = _IOWR('u', 0x04, ControlCommand);
constexpr std::uint32_t kDeleteDevice = _IOWR('u', 0x05, ControlCommand);
constexpr std::uint32_t kStartDevice = _IOWR('u', 0x06, ControlCommand);
constexpr std::uint32_t kStopDevice = _IOWR('u', 0x07, ControlCommand);
constexpr std::uint32_t kSetParameters = _IOWR('u', 0x08, ControlCommand);
// UBLK_U_IO_*
constexpr std::uint32_t kFetch = _IOWR('u', 0x20, IoCommand);
constexpr std::uint32_t kCommitAndFetch = _IOWR('u', 0x21, IoCommand);

// UBLK_F_CMD_IOCTL_ENCODE, UBLK_F_USER_COPY, UBLK_F_INTEGRITY
constexpr std::uint64_t kFeatureIoctlEncode = 1ULL << 6;
constexpr std::uint64_t kFeatureUserCopy = 1ULL << 7;
constexpr std::uint64_t kFeatureIntegrity = 1ULL << 16;
constexpr std::uint64_t kFeatures = kFeatureIoctlEncode | kFeatureUserCopy | kFeatureIntegrity;

// UBLK_PARAM_TYPE_BASIC, UBLK_PARAM_TYPE_INTEGRITY
constexpr std::uint32_t kGroupBasic = 1U << 0;
constexpr std::uint32_t kGroupIntegrity = 1U << 6;
// UBLK_ATTR_VOLATILE_CACHE: so that flushes come.
constexpr std::uint32_t kAttributeVolatileCache = 1U << 2;
// LBMD_PI_CAP_INTEGRITY, LBMD_PI_CAP_REFTAG
constexpr std::uint32_t kCapabilityIntegrity = 1U << 0;
constexpr std::uint32_t kCapabilityReferenceTags = 1U << 1;

// UBLK_IO_OP_*
constexpr std::uint32_t kRead = 0;
constexpr std::uint32_t kWrite = 1;
constexpr std::uint32_t kFlush = 2;
constexpr std::uint32_t kOperationMask = 0xff;
// UBLK_IO_F_INTEGRITY
constexpr std::uint32_t kIoHasMetadata = 1U << 18;

// Where the memory of the command with a tag lies in the character device, for pread and pwrite: its data,
// and with kMetadataOffset its metadata.
constexpr std::uint64_t kDataOffset = 0x80000000;
constexpr unsigned kTagShift = 25;
constexpr std::uint64_t kMetadataOffset = 1ULL << 62;

constexpr std::uint32_t kNoDevice = ~0U;
constexpr std::uint16_t kNoQueue = 0xffff;
constexpr std::uint16_t kDepth = 32;
constexpr std::uint32_t kTransferBytesMax = 1U << 20;
constexpr unsigned kSectorBytes = 512;

// Each has at most one entry in the ring: the commands by their tags, and these.
enum : std::uint64_t { kControlDone = kDepth, kEnding };
constexpr unsigned kRingEntries = 64;

template <typename T>
std::uint64_t address_of(const T* pointer) noexcept {
  return reinterpret_cast<std::uintptr_t>(pointer);
}

class Ring {
 public:
  int set_up() noexcept {
    io_uring_params params{};
    params.flags = kSetupSqe128;
    fd_ = Fd(static_cast<int>(::syscall(SYS_io_uring_setup, kRingEntries, &params)));
    if (!fd_.is_open()) return errno;
    const std::size_t sq_bytes = params.sq_off.array + params.sq_entries * sizeof(std::uint32_t);
    const std::size_t cq_bytes = params.cq_off.cqes + params.cq_entries * sizeof(io_uring_cqe);
    queues_ = Mapping(fd_.get(), std::max(sq_bytes, cq_bytes), IORING_OFF_SQ_RING);
    if (!queues_.is_mapped()) return errno;
    sqes_ = Mapping(fd_.get(), params.sq_entries * sizeof(Sqe128), IORING_OFF_SQES);
    if (!sqes_.is_mapped()) return errno;
    params_ = params;
    return 0;
  }

  void push(const Sqe128& sqe) noexcept {
    std::uint32_t& tail = *queues_.at<std::uint32_t>(params_.sq_off.tail);
    const std::uint32_t slot = tail & *queues_.at<std::uint32_t>(params_.sq_off.ring_mask);
    sqes_.at<Sqe128>(0)[slot] = sqe;
    queues_.at<std::uint32_t>(params_.sq_off.array)[slot] = slot;
    std::atomic_ref(tail).store(tail + 1, std::memory_order_release);
    ++pushed_;
  }

  // Submits what was pushed and hands over all that has completed, waiting for the first. A positive errno,
  // or 0.
  template <typename Done>
  int wait(Done done) {
    const long taken =
        ::syscall(SYS_io_uring_enter, fd_.get(), pushed_, 1, IORING_ENTER_GETEVENTS, nullptr, 0);
    if (taken < 0) return errno == EINTR ? 0 : errno;
    pushed_ -= static_cast<unsigned>(taken);
    std::uint32_t& head = *queues_.at<std::uint32_t>(params_.cq_off.head);
    std::uint32_t& tail = *queues_.at<std::uint32_t>(params_.cq_off.tail);
    const std::uint32_t mask = *queues_.at<std::uint32_t>(params_.cq_off.ring_mask);
    while (head != std::atomic_ref(tail).load(std::memory_order_acquire)) {
      const io_uring_cqe& slot = queues_.at<io_uring_cqe>(params_.cq_off.cqes)[head & mask];
      const std::uint64_t user_data = slot.user_data;
      const std::int32_t result = slot.res;
      std::atomic_ref(head).store(head + 1, std::memory_order_release);
      done(user_data, result);
    }
    return 0;
  }

 private:
  Fd fd_;
  io_uring_params params_{};
  Mapping queues_;
  Mapping sqes_;
  unsigned pushed_ = 0;
};

struct Options {
  std::string data;
  std::string metadata;
  std::uint32_t block = 512;
  std::uint32_t interval = 512;
  std::uint32_t metadata_size = 8;
  std::uint32_t pi_offset = 0;
  std::uint32_t guard = 2;  // LBMD_PI_CSUM_*: 0 none, 1 IP, 2 CRC-16, 4 CRC-64.
  std::uint32_t reference_tags = 1;
  std::uint32_t tag_size = 0;
};

struct PathOption {
  std::string_view name;
  std::string Options::* member;
};
struct NumberOption {
  std::string_view name;
  std::uint32_t Options::* member;
  std::uint32_t max;
};
constexpr std::array kPathOptions = {
    PathOption{"data", &Options::data},
    PathOption{"metadata", &Options::metadata},
};
// What fits the fields of the interface; whether it makes sense is the kernel's to say.
constexpr std::array kNumberOptions = {
    NumberOption{"block", &Options::block, kTransferBytesMax},
    NumberOption{"interval", &Options::interval, kTransferBytesMax},
    NumberOption{"metadata_size", &Options::metadata_size, 255},
    NumberOption{"pi_offset", &Options::pi_offset, 255},
    NumberOption{"guard", &Options::guard, 255},
    NumberOption{"reference_tags", &Options::reference_tags, 1},
    NumberOption{"tag_size", &Options::tag_size, 255},
};

bool parse(Options& options, std::string_view argument) {
  const std::size_t equals = argument.find('=');
  if (equals == std::string_view::npos) return false;
  const std::string_view name = argument.substr(0, equals);
  const std::string_view value = argument.substr(equals + 1);
  for (const PathOption& option : kPathOptions) {
    if (option.name != name) continue;
    options.*option.member = value;
    return true;
  }
  for (const NumberOption& option : kNumberOptions) {
    if (option.name != name) continue;
    std::uint32_t& number = options.*option.member;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    return error == std::errc{} && end == value.data() + value.size() && number <= option.max;
  }
  return false;
}

class Disk {
 public:
  explicit Disk(const Options& options) : options_(options), buffer_(kTransferBytesMax) {}

  // The exit status.
  int run() {
    const bool opened = open();
    const bool added = opened && add();
    const bool served = added && set_parameters() && start() && serve();
    const bool removed = !added || remove();
    return served && removed ? 0 : 1;
  }

 private:
  bool open() {
    if (!reported("data file", open_node(data_, options_.data, O_RDWR).error)) return false;
    if (!reported("metadata file", open_node(metadata_, options_.metadata, O_RDWR).error)) return false;
    if (!is_file(data_) || !is_file(metadata_)) return false;
    if (!reported("/dev/ublk-control", open_node(control_, "/dev/ublk-control", O_RDWR).error)) return false;
    if (!reported("io_uring", ring_.set_up())) return false;
    sigset_t signals;
    ::sigemptyset(&signals);
    ::sigaddset(&signals, SIGTERM);
    ::sigprocmask(SIG_BLOCK, &signals, nullptr);
    signals_ = Fd(::signalfd(-1, &signals, SFD_CLOEXEC));
    for (const int fd : {signals_.get(), STDIN_FILENO}) {
      Sqe128 sqe{};
      sqe.opcode = IORING_OP_POLL_ADD;
      sqe.fd = fd;
      sqe.poll_events = POLLIN;
      sqe.user_data = kEnding;
      ring_.push(sqe);
    }
    return true;
  }

  bool add() {
    DeviceInfo info{};
    info.queues = 1;
    info.depth = kDepth;
    info.transfer_bytes_max = kTransferBytesMax;
    info.device = kNoDevice;
    info.features = kFeatures;
    if (!control("ADD_DEV", kAddDevice, &info, sizeof info)) return false;
    device_ = info.device;
    // A kernel that does not know a feature clears it.
    if ((info.features & kFeatures) == kFeatures) return true;
    remove();
    return reported("UBLK_F_INTEGRITY", ENOTSUP);
  }

  bool set_parameters() {
    const off_t bytes = ::lseek(data_.get(), 0, SEEK_END);
    Parameters parameters{};
    parameters.length = sizeof parameters;
    parameters.groups = kGroupBasic | kGroupIntegrity;
    parameters.attributes = kAttributeVolatileCache;
    parameters.logical_block_shift = shift_of(options_.block);
    parameters.physical_block_shift = parameters.logical_block_shift;
    parameters.optimal_io_shift = parameters.logical_block_shift;
    parameters.minimal_io_shift = parameters.logical_block_shift;
    parameters.sectors_max = kTransferBytesMax / kSectorBytes;
    parameters.sectors = static_cast<std::uint64_t>(bytes) / kSectorBytes;
    parameters.integrity = {
        .capabilities = (options_.guard != 0 ? kCapabilityIntegrity : 0) |
                        (options_.reference_tags != 0 ? kCapabilityReferenceTags : 0),
        .segments_max = 0,
        .interval_exponent = shift_of(options_.interval),
        .metadata_size = static_cast<std::uint8_t>(options_.metadata_size),
        .pi_offset = static_cast<std::uint8_t>(options_.pi_offset),
        .guard = static_cast<std::uint8_t>(options_.guard),
        .tag_size = static_cast<std::uint8_t>(options_.tag_size),
        .reserved = {},
    };
    return control("SET_PARAMS", kSetParameters, &parameters, sizeof parameters);
  }

  bool start() {
    const std::string character = "/dev/ublkc" + std::to_string(device_);
    if (!reported(character.c_str(), open_node(character_, character, O_RDWR).error)) return false;
    void* descriptors =
        ::mmap(nullptr, kDescriptorsBytes, PROT_READ, MAP_SHARED | MAP_POPULATE, character_.get(), 0);
    if (descriptors == MAP_FAILED) return reported("mmap of the descriptors", errno);
    descriptors_ = static_cast<const IoDescriptor*>(descriptors);
    for (std::uint16_t tag = 0; tag < kDepth; ++tag) push_io(kFetch, tag, 0);
    if (!control("START_DEV", kStartDevice, nullptr, 0, static_cast<std::uint64_t>(::getpid()))) return false;
    std::printf("/dev/ublkb%u\n", device_);
    std::fflush(stdout);
    return true;
  }

  bool serve() {
    while (!ending_ && pump()) {
    }
    return ending_;
  }

  bool remove() {
    if (!control("STOP_DEV", kStopDevice)) return false;
    // Each fetch comes back with ENODEV and lets go of the character device, whose close DEL_DEV waits for.
    while (in_flight_ > 0) {
      if (!pump()) return false;
    }
    if (descriptors_ != nullptr) ::munmap(const_cast<IoDescriptor*>(descriptors_), kDescriptorsBytes);
    descriptors_ = nullptr;
    character_ = Fd();
    return control("DEL_DEV", kDeleteDevice);
  }

  // Sends a control command and serves the disk until it is done: START_DEV and STOP_DEV make I/O themselves.
  bool control(const char* name, std::uint32_t command, void* buffer = nullptr, std::uint16_t length = 0,
               std::uint64_t value = 0) {
    const ControlCommand payload{.device = device_,
                                 .queue = kNoQueue,
                                 .length = length,
                                 .address = address_of(buffer),
                                 .value = value,
                                 .reserved = 0};
    push_command(control_.get(), command, payload, kControlDone);
    control_is_done_ = false;
    while (!control_is_done_) {
      if (!pump()) return false;
    }
    return reported(name, -control_result_);
  }

  template <typename Payload>
  void push_command(int fd, std::uint32_t command, const Payload& payload, std::uint64_t user_data) {
    Sqe128 sqe{};
    sqe.opcode = kOpUringCmd;
    sqe.fd = fd;
    sqe.command = command;
    sqe.user_data = user_data;
    std::memcpy(sqe.payload.data(), &payload, sizeof payload);
    ring_.push(sqe);
  }

  void push_io(std::uint32_t command, std::uint16_t tag, std::int32_t result) {
    push_command(character_.get(), command,
                 IoCommand{.queue = 0, .tag = tag, .result = result, .address = 0}, tag);
    ++in_flight_;
  }

  bool pump() {
    return reported("io_uring_enter", ring_.wait([this](std::uint64_t user_data, std::int32_t result) {
      if (user_data == kControlDone) {
        control_is_done_ = true;
        control_result_ = result;
      } else if (user_data == kEnding) {
        ending_ = true;
      } else {
        --in_flight_;
        const auto tag = static_cast<std::uint16_t>(user_data);
        if (result == 0) push_io(kCommitAndFetch, tag, execute(tag));
      }
    }));
  }

  // The bytes of data that were moved, or a negative errno.
  std::int32_t execute(std::uint16_t tag) {
    const IoDescriptor io = descriptors_[tag];
    const std::uint32_t operation = io.operation & kOperationMask;
    if (operation == kFlush) {
      const int error = std::max(flush(data_.get()).error, flush(metadata_.get()).error);
      return -error;
    }
    if (operation != kRead && operation != kWrite) return -EOPNOTSUPP;
    const std::uint64_t bytes = std::uint64_t{io.sectors} * kSectorBytes;
    const std::uint64_t start = io.first_sector * kSectorBytes;
    const std::uint64_t memory = kDataOffset + (std::uint64_t{tag} << kTagShift);
    int error = move(operation, data_.get(), start, memory, bytes);
    if (error == 0 && (io.operation & kIoHasMetadata) != 0) {
      const std::uint64_t first = start / options_.interval * options_.metadata_size;
      const std::uint64_t length = bytes / options_.interval * options_.metadata_size;
      error = move(operation, metadata_.get(), first, memory | kMetadataOffset, length);
    }
    return error != 0 ? -error : static_cast<std::int32_t>(bytes);
  }

  // Between a file and the memory of a command.
  int move(std::uint32_t operation, int file, std::uint64_t at, std::uint64_t memory, std::uint64_t bytes) {
    if (bytes > buffer_.size()) return EINVAL;
    const std::span<std::uint8_t> part(buffer_.data(), bytes);
    const bool reads = operation == kRead;
    const Transfer in = reads ? read_at(file, part, at) : read_at(character_.get(), part, memory);
    if (in.error != 0 || in.bytes < bytes) return in.error != 0 ? in.error : EIO;
    const Transfer out = reads ? write_at(character_.get(), part, memory) : write_at(file, part, at);
    if (out.error != 0 || out.bytes < bytes) return out.error != 0 ? out.error : EIO;
    return 0;
  }

  // Disks are made of plain files alone: no other disk can be named by mistake.
  static bool is_file(const Fd& fd) {
    struct stat status{};
    if (::fstat(fd.get(), &status) == 0 && S_ISREG(status.st_mode)) return true;
    std::fputs("ublk_disk: data and metadata must be plain files\n", stderr);
    return false;
  }

  static std::uint8_t shift_of(std::uint32_t bytes) {
    return static_cast<std::uint8_t>(std::countr_zero(bytes));
  }

  // Whether all went well; says so otherwise.
  static bool reported(const char* step, int error) {
    if (error != 0) std::fprintf(stderr, "ublk_disk: %s: %s\n", step, std::strerror(error));
    return error == 0;
  }

  static constexpr std::size_t kDescriptorsBytes = 4096;
  static_assert(kDepth * sizeof(IoDescriptor) <= kDescriptorsBytes);

  Options options_;
  std::vector<std::uint8_t> buffer_;
  Fd data_;
  Fd metadata_;
  Fd control_;
  Fd character_;
  Fd signals_;
  Ring ring_;
  const IoDescriptor* descriptors_ = nullptr;
  std::uint32_t device_ = kNoDevice;
  unsigned in_flight_ = 0;
  std::int32_t control_result_ = 0;
  bool control_is_done_ = false;
  bool ending_ = false;
};

}  // namespace

int main(int count, char** arguments) {
  Options options;
  for (const char* argument : std::span(arguments, static_cast<std::size_t>(count)).subspan(1)) {
    if (parse(options, argument)) continue;
    std::fprintf(stderr, "ublk_disk: %s: not understood\n", argument);
    return 1;
  }
  return Disk(options).run();
}
