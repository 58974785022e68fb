// One snapshot of many small files below a folder: what the kernel tells of its disks, read in one go.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace blkint {

inline constexpr std::size_t kFileBytesMax = 65536;

// Both by path: the pattern with a name in the place of every '*'.
struct Snapshot {
  std::map<std::string, std::string> entries;
  std::map<std::string, int> errors;  // Positive errno; EFBIG when a file is longer than kFileBytesMax.
};

// Whether it is a relative path without empty, '.' or '..' components.
bool is_pattern(const std::string& pattern);

// A component '*' of a pattern stands for every entry. A pattern that ends in '@' reads a symbolic link's
// target, one that ends in '/' lists a folder (sorted names, joined with newlines), any other reads a regular
// file, trailing white space cut. What does not exist is left out. Symbolic links on the way are followed.
Snapshot take_snapshot(const std::string& root, const std::vector<std::string>& patterns);

}  // namespace blkint
