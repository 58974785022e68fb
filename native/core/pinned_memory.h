// Memory that JavaScript and threads hold together. An ArrayBuffer's own memory can be transferred away and
// freed under a thread at any time, and nothing of Node-API prevents that; this is freed when the last of
// both has let go.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace blkint {

// Zeroed, from a page's beginning on; held for JavaScript until it is dropped. Of a null pointer when there
// is not so much.
std::span<std::uint8_t> make_pinned_memory(std::size_t size);

void drop_pinned_memory(const std::uint8_t* start) noexcept;

// Holds the memory that `bytes` lie in; null when they do not lie in memory of this kind.
std::shared_ptr<const void> hold_pinned_memory(std::span<const std::uint8_t> bytes);

}  // namespace blkint
