#include "core/sysfs.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string_view>

#include "core/fd.h"

namespace blkint {
namespace {

struct Text {
  int error = 0;
  std::string text;
};

struct Names {
  int error = 0;
  std::vector<std::string> names;  // Sorted.
};

struct Pattern {
  std::vector<std::string> components;
  std::string mark;  // "@", "/" or nothing.
};

Pattern parse(std::string_view text) {
  Pattern pattern;
  if (text.ends_with('@') || text.ends_with('/')) {
    pattern.mark = text.back();
    text.remove_suffix(1);
  }
  for (;;) {
    const std::size_t slash = text.find('/');
    pattern.components.emplace_back(text.substr(0, slash));
    if (slash == std::string_view::npos) return pattern;
    text.remove_prefix(slash + 1);
  }
}

Names list_folder(const std::string& path) {
  struct Close {
    void operator()(DIR* folder) const noexcept { ::closedir(folder); }
  };
  const std::unique_ptr<DIR, Close> folder(::opendir(path.c_str()));
  if (!folder) return {.error = errno, .names = {}};
  Names listed;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(folder.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") listed.names.emplace_back(name);
  }
  listed.error = errno;
  std::sort(listed.names.begin(), listed.names.end());
  return listed;
}

Text read_folder(const std::string& path) {
  const Names listed = list_folder(path);
  Text folder{.error = listed.error, .text = {}};
  for (const std::string& name : listed.names) {
    if (!folder.text.empty()) folder.text += '\n';
    folder.text += name;
  }
  return folder;
}

Text read_link(const std::string& path) {
  std::string target(PATH_MAX, '\0');
  const ssize_t bytes = ::readlink(path.c_str(), target.data(), target.size());
  if (bytes < 0) return {.error = errno, .text = {}};
  target.resize(static_cast<std::size_t>(bytes));
  return {.text = target};
}

Text read_file(const std::string& path) {
  // O_NONBLOCK: a FIFO or a device among the files must not hold the snapshot up.
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file.is_open()) return {.error = errno, .text = {}};
  struct statx status {};
  if (::statx(file.get(), "", AT_EMPTY_PATH, STATX_TYPE, &status) != 0) return {.error = errno, .text = {}};
  if (!S_ISREG(status.stx_mode)) return {.error = S_ISDIR(status.stx_mode) ? EISDIR : EINVAL, .text = {}};
  std::string text(kFileBytesMax + 1, '\0');
  std::size_t filled = 0;
  while (filled < text.size()) {
    const ssize_t bytes = ::read(file.get(), text.data() + filled, text.size() - filled);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0) return {.error = errno, .text = {}};
    if (bytes == 0) break;
    filled += static_cast<std::size_t>(bytes);
  }
  if (filled > kFileBytesMax) return {.error = EFBIG, .text = {}};
  text.resize(filled);
  text.resize(text.find_last_not_of(" \t\r\n\v\f") + 1);
  return {.text = text};
}

Text read_entry(const std::string& path, const std::string& mark) {
  if (mark == "@") return read_link(path);
  if (mark == "/") return read_folder(path);
  return read_file(path);
}

bool is_absent(int error) { return error == ENOENT || error == ENOTDIR; }

class SnapshotTaker {
 public:
  explicit SnapshotTaker(const std::string& root) : root_(root + '/') {}

  void take(const Pattern& pattern) {
    for (const std::string& path : expand(pattern.components)) {
      Text entry = read_entry(root_ + path, pattern.mark);
      if (entry.error != 0) {
        note(path + pattern.mark, entry.error);
      } else {
        snapshot_.entries.insert_or_assign(path + pattern.mark, std::move(entry.text));
      }
    }
  }

  Snapshot result() && { return std::move(snapshot_); }

 private:
  std::vector<std::string> expand(const std::vector<std::string>& components) {
    std::vector<std::string> paths{""};
    for (const std::string& component : components) {
      std::vector<std::string> longer;
      for (const std::string& path : paths) {
        const std::string folder = path.empty() ? path : path + '/';
        for (const std::string& name : component == "*" ? names_in(folder) : std::vector{component}) {
          longer.push_back(folder + name);
        }
      }
      paths = std::move(longer);
    }
    return paths;
  }

  std::vector<std::string> names_in(const std::string& folder) {
    Names listed = list_folder(root_ + folder);
    if (listed.error != 0) note(folder, listed.error);
    return std::move(listed.names);
  }

  void note(const std::string& path, int error) {
    if (!is_absent(error)) snapshot_.errors.insert_or_assign(path, error);
  }

  std::string root_;
  Snapshot snapshot_;
};

}  // namespace

bool is_pattern(const std::string& pattern) {
  const std::vector<std::string> components = parse(pattern).components;
  return pattern.find('\0') == std::string::npos &&
         std::none_of(components.begin(), components.end(), [](const std::string& component) {
           return component.empty() || component == "." || component == "..";
         });
}

Snapshot take_snapshot(const std::string& root, const std::vector<std::string>& patterns) {
  SnapshotTaker taker(root);
  for (const std::string& pattern : patterns) taker.take(parse(pattern));
  return std::move(taker).result();
}

}  // namespace blkint
