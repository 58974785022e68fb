// Memory with one owner that begins on a page, as O_DIRECT wants it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>

namespace blkint {

class PageBuffer {
 public:
  // With a copy of `content`.
  explicit PageBuffer(std::span<const std::uint8_t> content)
      : start_(static_cast<std::uint8_t*>(::operator new(content.size(), kPage))), size_(content.size()) {
    std::ranges::copy(content, start_.get());
  }

  [[nodiscard]] std::span<std::uint8_t> bytes() const noexcept { return {start_.get(), size_}; }

 private:
  static constexpr std::align_val_t kPage{4096};

  struct Delete {
    void operator()(std::uint8_t* start) const noexcept { ::operator delete(start, kPage); }
  };

  std::unique_ptr<std::uint8_t, Delete> start_;
  std::size_t size_;
};

}  // namespace blkint
