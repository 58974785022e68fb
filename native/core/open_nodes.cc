#include "core/open_nodes.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <charconv>
#include <fstream>
#include <memory>
#include <optional>
#include <string_view>

namespace blkint {
namespace {

struct Close {
  void operator()(DIR* folder) const noexcept { ::closedir(folder); }
};
using Folder = std::unique_ptr<DIR, Close>;

std::optional<std::int32_t> number(std::string_view name) {
  std::int32_t value = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), value);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return value;
}

// Calls `look` with the name of every entry that is a number.
template <typename Look>
void each_number(DIR* folder, Look look) {
  while (const dirent* entry = ::readdir(folder)) {
    const std::string_view name = entry->d_name;
    if (const auto value = number(name)) look(*value, name);
  }
}

std::string command_of(const std::string& process) {
  std::string command;
  std::ifstream file(process + "/comm");
  std::getline(file, command);
  return command;
}

bool is_gone(int error) { return error == ENOENT || error == ESRCH; }

void look_at(std::int32_t pid, const std::string& process, OpenNodes& found);

// A process whose first thread has ended shows its files in the folders of the others alone.
void look_at_threads(std::int32_t pid, const std::string& process, OpenNodes& found) {
  const Folder threads(::opendir((process + "/task").c_str()));
  if (!threads) return;
  each_number(threads.get(), [&](std::int32_t thread, std::string_view name) {
    if (thread != pid) look_at(pid, process + "/task/" + std::string(name), found);
  });
}

void look_at(std::int32_t pid, const std::string& process, OpenNodes& found) {
  const Folder files(::opendir((process + "/fd").c_str()));
  if (!files) {
    if (!is_gone(errno)) found.hidden.push_back(pid);
    return;
  }
  bool empty = true;
  each_number(files.get(), [&](std::int32_t, std::string_view name) {
    empty = false;
    struct statx status {};
    // A file on a server that is gone must not hold this up: the kernel is not to ask there.
    const int flags = AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT;
    if (::statx(::dirfd(files.get()), std::string(name).c_str(), flags, STATX_TYPE, &status) != 0) {
      if (!is_gone(errno)) found.hidden.push_back(pid);
      return;
    }
    const bool block = S_ISBLK(status.stx_mode);
    if (!block && !S_ISCHR(status.stx_mode)) return;
    found.nodes.push_back({.pid = pid,
                           .command = command_of(process),
                           .block = block,
                           .major = status.stx_rdev_major,
                           .minor = status.stx_rdev_minor});
  });
  if (empty) look_at_threads(pid, process, found);
}

}  // namespace

OpenNodes open_nodes(const std::string& proc) {
  OpenNodes found;
  const Folder processes(::opendir(proc.c_str()));
  if (!processes) {
    found.error = errno;
    return found;
  }
  each_number(processes.get(), [&](std::int32_t pid, std::string_view name) {
    look_at(pid, proc + '/' + std::string(name), found);
  });
  return found;
}

}  // namespace blkint
