#include "core/block_io.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace blkint {
namespace {

// The answer of a call that returns -1 for failure, called again when a signal interrupted it.
template <typename SystemCall>
auto uninterrupted(SystemCall call) noexcept {
  for (;;) {
    const auto answer = call();
    if (answer != -1 || errno != EINTR) return answer;
  }
}

template <typename SystemCall>
Outcome outcome_of(SystemCall call) noexcept {
  return {.error = uninterrupted(call) == -1 ? errno : 0};
}

// Goes on after a short transfer, until an error or the end of the device.
template <typename Part>
Transfer transfer_all(std::size_t bytes, std::uint64_t offset, Part part) noexcept {
  Transfer done;
  while (done.bytes < bytes) {
    const ssize_t moved = uninterrupted(
        [&] { return part(done.bytes, bytes - done.bytes, static_cast<off_t>(offset + done.bytes)); });
    if (moved == -1) done.error = errno;
    if (moved <= 0) break;
    done.bytes += static_cast<std::size_t>(moved);
  }
  return done;
}

}  // namespace

Outcome open_node(Fd& fd, const std::string& path, int flags) noexcept {
  if (fd.is_open()) return {.error = EBUSY};
  const int opened = uninterrupted([&] { return ::open(path.c_str(), flags | O_CLOEXEC); });
  if (opened == -1) return {.error = errno};
  fd = Fd(opened);
  return {};
}

NodeStatus node_status(int fd) noexcept {
  struct statx node {};  // Not fstat, which binds to GLIBC_2.33 when built on such a system.
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_MODE, &node) != 0) return {.error = errno};
  NodeStatus status{.mode = node.stx_mode, .major = node.stx_rdev_major, .minor = node.stx_rdev_minor};
  if (!S_ISBLK(status.mode)) return status;
  int logical_block_size = 0;
  if (::ioctl(fd, BLKSSZGET, &logical_block_size) != 0 ||
      ::ioctl(fd, BLKGETSIZE64, &status.size_bytes) != 0) {
    status.error = errno;
  }
  status.logical_block_size = static_cast<std::uint32_t>(logical_block_size);
  return status;
}

Transfer read_at(int fd, std::span<std::uint8_t> buffer, std::uint64_t offset) noexcept {
  return transfer_all(buffer.size(), offset, [&](std::size_t from, std::size_t count, off_t at) {
    return ::pread(fd, buffer.data() + from, count, at);
  });
}

Transfer write_at(int fd, std::span<const std::uint8_t> buffer, std::uint64_t offset) noexcept {
  return transfer_all(buffer.size(), offset, [&](std::size_t from, std::size_t count, off_t at) {
    return ::pwrite(fd, buffer.data() + from, count, at);
  });
}

Outcome lock_exclusive(int fd) noexcept {
  return outcome_of([fd] { return ::flock(fd, LOCK_EX | LOCK_NB); });
}

Outcome flush(int fd) noexcept {
  if (const Outcome synced = outcome_of([fd] { return ::fsync(fd); }); synced.error != 0) return synced;
  const NodeStatus node = node_status(fd);
  if (node.error != 0 || !S_ISBLK(node.mode)) return {.error = node.error};
  return outcome_of([fd] { return ::ioctl(fd, BLKFLSBUF, 0); });
}

}  // namespace blkint
