#include "core/device_node.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

namespace blkint {
namespace {

// The very node that `fd` is, whatever its path leads to by now, by a descriptor with a queue of its own.
Outcome open_again(Fd& again, int fd, int flags) noexcept {
  return open_node(again, "/proc/self/fd/" + std::to_string(fd), flags);
}

}  // namespace

Outcome DeviceNode::open(const std::string& path, int flags) {
  if (descriptor_of(0) != -1) return {.error = EBUSY};
  // Without the lock: open(2) may wait for the device.
  std::vector<Fd> opened(1);
  if (const Outcome first = open_node(opened[0], path, flags); first.error != 0) return first;
  const NodeStatus status = node_status(opened[0].get());
  if (status.error == 0 && S_ISCHR(status.mode)) {
    while (opened.size() * kSgQueueMax < threads_) {
      const int fd = opened[0].get();
      if (const Outcome next = open_again(opened.emplace_back(), fd, flags); next.error != 0) return next;
    }
  }
  const std::lock_guard lock(mutex_);
  if (!descriptors_.empty()) return {.error = EBUSY};
  descriptors_ = std::move(opened);
  return {};
}

int DeviceNode::descriptor_of(std::size_t thread) {
  const std::lock_guard lock(mutex_);
  return descriptors_.empty() ? -1 : descriptors_[thread / kSgQueueMax % descriptors_.size()].get();
}

}  // namespace blkint
