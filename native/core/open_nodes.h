// Which processes have which device nodes open, by /proc/PID/fd.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace blkint {

struct OpenNode {
  std::int32_t pid;
  std::string command;  // /proc/PID/comm.
  bool block;           // Else a character device.
  std::uint32_t major;
  std::uint32_t minor;
};

struct OpenNodes {
  int error = 0;  // Positive errno: `proc` itself cannot be read.
  std::vector<OpenNode> nodes;
  std::vector<std::int32_t> hidden;  // Processes whose files may not be looked at.
};

// `proc` is /proc, or a folder like it. Processes that end meanwhile are left out.
OpenNodes open_nodes(const std::string& proc);

}  // namespace blkint
