// Memory with one owner that begins on a page, as O_DIRECT wants it, with a canary behind it.
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
  explicit PageBuffer(std::span<const std::uint8_t> content) : PageBuffer(Room{content.size()}) {
    std::ranges::copy(content, start_.get());
  }

  // Every byte of it `fill`. Each page has been written to: Linux 6.12 loses the metadata that lands in one
  // that was not.
  PageBuffer(std::size_t size, std::uint8_t fill) : PageBuffer(Room{size}) {
    std::ranges::fill(bytes(), fill);
  }

  [[nodiscard]] std::span<std::uint8_t> bytes() const noexcept { return {start_.get(), size_}; }

  // False when somebody has written behind the bytes: a device that sends more than it was asked for, say.
  [[nodiscard]] bool is_intact() const noexcept {
    return std::ranges::all_of(canary(), [](std::uint8_t byte) { return byte == kCanary; });
  }

 private:
  static constexpr std::align_val_t kPage{4096};
  static constexpr std::size_t kCanaryBytesMin = 64;
  static constexpr std::uint8_t kCanary = 0xb7;  // Neither what memory is full of by itself nor a tuple's escape.

  // Up to the end of the page: what is transferred goes by pages.
  static constexpr std::size_t room_for(std::size_t size) noexcept {
    constexpr auto page = static_cast<std::size_t>(kPage);
    return (size + kCanaryBytesMin + page - 1) / page * page;
  }

  struct Room {
    std::size_t size;
  };
  explicit PageBuffer(Room room)
      : start_(static_cast<std::uint8_t*>(::operator new(room_for(room.size), kPage))), size_(room.size) {
    std::ranges::fill(canary(), kCanary);
  }

  struct Delete {
    void operator()(std::uint8_t* start) const noexcept { ::operator delete(start, kPage); }
  };

  [[nodiscard]] std::span<std::uint8_t> canary() const noexcept {
    return {start_.get() + size_, room_for(size_) - size_};
  }

  std::unique_ptr<std::uint8_t, Delete> start_;
  std::size_t size_;
};

}  // namespace blkint
