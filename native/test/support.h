// What the tests of core have in common.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace blkint {

using Bytes = std::vector<std::uint8_t>;

// The definition, one bit at a time.
inline std::uint16_t crc_by_bits(std::uint16_t crc, std::span<const std::uint8_t> bytes) {
  for (const std::uint8_t byte : bytes) {
    crc = static_cast<std::uint16_t>(crc ^ (byte << 8));
    for (int bit = 0; bit < 8; ++bit)
      crc = static_cast<std::uint16_t>((crc << 1) ^ ((crc & 0x8000) != 0 ? 0x8bb7 : 0));
  }
  return crc;
}

inline std::uint64_t crc64_by_bits(std::uint64_t crc, std::span<const std::uint8_t> bytes) {
  crc = ~crc;
  for (const std::uint8_t byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x9a6c9329ac4bc9b5 : 0);
  }
  return ~crc;
}

// A TCMU ring as the kernel would make it: mailbox, ring, data area.
class FakeRing {
 public:
  static constexpr std::uint32_t kRingAt = 128;
  static constexpr std::uint32_t kRingBytes = 512;
  static constexpr std::uint32_t kDataAt = kRingAt + kRingBytes;
  static constexpr std::uint32_t kBytes = kDataAt + 1024;
  static constexpr std::uint32_t kEntryBytes = 120;

  struct Piece {
    std::uint64_t at;
    std::uint64_t bytes;
  };

  FakeRing() {
    put<std::uint16_t>(0, 2);
    put<std::uint16_t>(2, 1 | 2);
    put(4, kRingAt);
    put(8, kRingBytes);
  }
  template <typename T>
  void put(std::size_t at, T value) {
    std::memcpy(&memory_[at], &value, sizeof value);
  }
  template <typename T>
  T get(std::size_t at) const {
    T value;
    std::memcpy(&value, &memory_[at], sizeof value);
    return value;
  }
  std::span<std::uint8_t> memory() { return memory_; }
  std::uint32_t head() const { return get<std::uint32_t>(12); }
  std::uint32_t tail() const { return get<std::uint32_t>(64); }
  void begin_at(std::uint32_t at) {
    put(12, at);
    put(64, at);
  }

  // Its offset in the memory.
  std::uint32_t add(std::uint32_t operation, std::uint32_t bytes, std::uint16_t id = 0) {
    const std::uint32_t at = kRingAt + head();
    std::fill_n(memory_.begin() + at, bytes, std::uint8_t{0});
    put(at, bytes | operation);
    put(at + 4, id);
    put(12, (head() + bytes) % kRingBytes);
    return at;
  }
  // A PAD where no command fits before the end.
  void pad_if_short() {
    if (const std::uint32_t left = kRingBytes - head(); left < kEntryBytes) add(0, left);
  }
  std::uint32_t add_command(std::uint16_t id, const Bytes& cdb, const std::vector<Piece>& pieces) {
    const std::uint32_t at = add(1, kEntryBytes, id);
    put(at + 8, static_cast<std::uint32_t>(pieces.size()));
    const std::uint32_t cdb_at = at + kEntryBytes - 32;
    put<std::uint64_t>(at + 24, cdb_at);
    std::size_t vector = at + 48;
    for (const Piece& piece : pieces) {
      put(vector, piece.at);
      put(vector + 8, piece.bytes);
      vector += 16;
    }
    std::ranges::copy(cdb, memory_.begin() + cdb_at);
    return at;
  }

 private:
  alignas(4096) std::array<std::uint8_t, kBytes> memory_{};
};

}  // namespace blkint
