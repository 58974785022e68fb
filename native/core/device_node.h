// One device node, opened for several threads.
#pragma once

#include <cstddef>
#include <mutex>
#include <string>
#include <vector>

#include "core/block_io.h"
#include "core/fd.h"

namespace blkint {

// An sg descriptor takes so many commands at once, and answers EDOM to one more (SG_MAX_QUEUE, Linux
// drivers/scsi/sg.c). No other node has such a limit.
inline constexpr std::size_t kSgQueueMax = 16;

class DeviceNode {
 public:
  explicit DeviceNode(std::size_t threads) noexcept : threads_(threads) {}

  // A character node is opened once for every kSgQueueMax threads. EBUSY when it is open already.
  Outcome open(const std::string& path, int flags);
  // By which a thread works on the node; -1 before it is open.
  [[nodiscard]] int descriptor_of(std::size_t thread);

 private:
  std::mutex mutex_;
  std::size_t threads_;
  std::vector<Fd> descriptors_;
};

}  // namespace blkint
