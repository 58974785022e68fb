#include "core/crc64_nvme.h"

#include <array>
#include <cstddef>

namespace blkint {
namespace {

constexpr std::uint64_t kPolynomialReversed = 0x9a6c9329ac4bc9b5;
constexpr std::size_t kSlices = 8;

using Table = std::array<std::uint64_t, 256>;

// Table k holds the CRC of each byte followed by k zero bytes, so that 8 bytes are looked up independently of
// each other.
constexpr std::array<Table, kSlices> make_tables() {
  std::array<Table, kSlices> tables{};
  for (std::size_t byte = 0; byte < 256; ++byte) {
    std::uint64_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? (crc >> 1) ^ kPolynomialReversed : crc >> 1;
    tables[0][byte] = crc;
  }
  for (std::size_t k = 1; k < kSlices; ++k) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint64_t before = tables[k - 1][byte];
      tables[k][byte] = (before >> 8) ^ tables[0][before & 0xff];
    }
  }
  return tables;
}

constexpr std::array<Table, kSlices> kTables = make_tables();

}  // namespace

std::uint64_t crc64_nvme(std::uint64_t crc, std::span<const std::uint8_t> data) noexcept {
  const std::uint8_t* at = data.data();
  std::size_t left = data.size();
  std::uint64_t sum = ~crc;
  for (; left >= kSlices; at += kSlices, left -= kSlices) {
    for (std::size_t i = 0; i < kSlices; ++i) sum ^= std::uint64_t{at[i]} << (8 * i);
    std::uint64_t next = 0;
    for (std::size_t i = 0; i < kSlices; ++i) next ^= kTables[kSlices - 1 - i][(sum >> (8 * i)) & 0xff];
    sum = next;
  }
  for (; left > 0; ++at, --left) sum = (sum >> 8) ^ kTables[0][*at ^ (sum & 0xff)];
  return ~sum;
}

}  // namespace blkint
