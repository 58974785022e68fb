#include "core/crc16_t10dif.h"

#include <array>
#include <cstddef>

namespace blkint {
namespace {

constexpr std::uint16_t kPolynomial = 0x8bb7;
constexpr std::size_t kSlices = 16;

using Table = std::array<std::uint16_t, 256>;

// Table k holds the CRC of each byte followed by k zero bytes, so that 16 bytes are looked up independently
// of each other.
constexpr std::array<Table, kSlices> make_tables() {
  std::array<Table, kSlices> tables{};
  for (unsigned byte = 0; byte < 256; ++byte) {
    unsigned crc = byte << 8;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 0x8000) != 0 ? (crc << 1) ^ kPolynomial : crc << 1;
    tables[0][byte] = static_cast<std::uint16_t>(crc);
  }
  for (std::size_t k = 1; k < kSlices; ++k) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const unsigned before = tables[k - 1][byte];
      tables[k][byte] = static_cast<std::uint16_t>((before << 8) ^ tables[0][before >> 8]);
    }
  }
  return tables;
}

constexpr std::array<Table, kSlices> kTables = make_tables();

}  // namespace

std::uint16_t crc16_t10dif(std::uint16_t crc, std::span<const std::uint8_t> data) noexcept {
  const std::uint8_t* at = data.data();
  std::size_t left = data.size();
  unsigned sum = crc;
  for (; left >= kSlices; at += kSlices, left -= kSlices) {
    unsigned next = kTables[kSlices - 1][at[0] ^ (sum >> 8)] ^ kTables[kSlices - 2][at[1] ^ (sum & 0xff)];
    for (std::size_t i = 2; i < kSlices; ++i) next ^= kTables[kSlices - 1 - i][at[i]];
    sum = next;
  }
  for (; left > 0; ++at, --left) sum = ((sum << 8) & 0xffff) ^ kTables[0][*at ^ (sum >> 8)];
  return static_cast<std::uint16_t>(sum);
}

}  // namespace blkint
