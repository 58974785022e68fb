#include "core/pinned_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <mutex>

namespace blkint {
namespace {

class Mapping {
 public:
  explicit Mapping(std::size_t size)
      : size_(std::max<std::size_t>(size, 1)),
        start_(mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    // In huge pages it is read faster by a third or so. Where the kernel has none it says no, and all is
    // well.
    if (is_made()) madvise(start_, size_, MADV_HUGEPAGE);
  }
  ~Mapping() {
    if (is_made()) munmap(start_, size_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  [[nodiscard]] bool is_made() const noexcept { return start_ != MAP_FAILED; }
  [[nodiscard]] std::uint8_t* start() const noexcept { return static_cast<std::uint8_t*>(start_); }
  [[nodiscard]] const std::uint8_t* end() const noexcept { return start() + size_; }

 private:
  std::size_t size_;
  void* start_;
};

// Of all environments: a worker thread has the addon's memory in common with the main thread. Never
// destroyed, for buffers are dropped until the very end of the process.
struct Registry {
  std::mutex mutex;
  std::map<const std::uint8_t*, std::shared_ptr<const Mapping>> by_start;
};

Registry& registry() {
  static auto& instance = *new Registry;
  return instance;
}

}  // namespace

std::span<std::uint8_t> make_pinned_memory(std::size_t size) {
  const auto mapping = std::make_shared<const Mapping>(size);
  if (!mapping->is_made()) return {};
  const std::lock_guard lock(registry().mutex);
  registry().by_start.emplace(mapping->start(), mapping);
  return {mapping->start(), size};
}

void drop_pinned_memory(const std::uint8_t* start) noexcept {
  const std::lock_guard lock(registry().mutex);
  registry().by_start.erase(start);
}

std::shared_ptr<const void> hold_pinned_memory(std::span<const std::uint8_t> bytes) {
  const std::lock_guard lock(registry().mutex);
  const auto behind = registry().by_start.upper_bound(bytes.data());
  if (behind == registry().by_start.begin()) return nullptr;
  const auto& mapping = std::prev(behind)->second;
  // Bytes of a living ArrayBuffer lie in one mapping altogether or not at all.
  return bytes.data() < mapping->end() ? mapping : nullptr;
}

}  // namespace blkint
