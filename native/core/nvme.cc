#include "core/nvme.h"

#include <linux/nvme_ioctl.h>
#include <fcntl.h>
#include <sys/ioctl.h>

#include <cerrno>

namespace blkint {
namespace {

static_assert(NVME_IOCTL_ADMIN_CMD == 0xC0484E41);
static_assert(NVME_IOCTL_IO_CMD == 0xC0484E43);

constexpr std::uint8_t kIdentifyOpcode = 0x06;
constexpr unsigned kPrchkShift = 26;  // Of PRINFO in command dword 12.

// Offsets in Identify Namespace data (NVM Command Set Specification 1.0, figure 97).
constexpr std::size_t kFlbas = 26;
constexpr std::size_t kLbaFormats = 128;  // Four bytes each: MS of 16 bits, LBADS, RP.
constexpr std::uint8_t kFlbasExtended = 0x10;
constexpr std::uint8_t kLbadsMin = 9;
constexpr std::uint8_t kLbadsMax = 31;

std::uint64_t address_of(std::span<const std::uint8_t> memory) noexcept {
  return memory.empty() ? 0 : reinterpret_cast<std::uintptr_t>(memory.data());
}

std::uint32_t size_of(std::span<const std::uint8_t> memory) noexcept {
  return static_cast<std::uint32_t>(memory.size());
}

NvmeAnswer send(int fd, unsigned long request, nvme_passthru_cmd& command) noexcept {
  const int status = ::ioctl(fd, request, &command);
  if (status < 0) return {.error = errno};
  return {.status = static_cast<std::uint16_t>(status)};
}

}  // namespace

bool nvme_fits(std::span<const std::uint8_t, kNvmeIdentifyBytes> identified,
               const NvmeTransfer& transfer) noexcept {
  const std::uint8_t flbas = identified[kFlbas];
  // Bits 6:5 above the four low ones, with more than 16 formats.
  const unsigned index = (flbas & 0x0FU) | ((flbas & 0x60U) >> 1);
  const std::uint8_t* format = &identified[kLbaFormats + 4U * index];
  const unsigned metadata_size = format[0] | unsigned{format[1]} << 8;
  const std::uint8_t lbads = format[2];
  return transfer.blocks >= 1 && transfer.blocks <= kNvmeBlocksMax && (flbas & kFlbasExtended) == 0 &&
         lbads >= kLbadsMin && lbads <= kLbadsMax &&
         transfer.data.size() == std::uint64_t{transfer.blocks} << lbads &&
         transfer.metadata.size() == std::uint64_t{transfer.blocks} * metadata_size;
}

NvmeAnswer nvme_io(int fd, const NvmeTransfer& transfer) noexcept {
  // For root the kernel does not look at how the node was opened.
  if (transfer.opcode == NvmeOpcode::kWrite) {
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0) return {.error = errno};
    if ((flags & O_ACCMODE) == O_RDONLY) return {.error = EBADF};
  }
  const NvmeIdentifyAnswer identified = nvme_identify(fd, NvmeIdentify::kNamespace, transfer.timeout_ms);
  if (identified.error != 0 || identified.status != 0)
    return {.error = identified.error, .status = identified.status};
  if (!nvme_fits(identified.data, transfer)) return {.error = EINVAL};
  nvme_passthru_cmd command{};
  command.opcode = static_cast<std::uint8_t>(transfer.opcode);
  command.nsid = identified.nsid;
  command.addr = address_of(transfer.data);
  command.data_len = size_of(transfer.data);
  command.metadata = address_of(transfer.metadata);
  command.metadata_len = size_of(transfer.metadata);
  command.cdw3 = static_cast<std::uint32_t>(transfer.ref_tag >> 32);
  command.cdw10 = static_cast<std::uint32_t>(transfer.slba);
  command.cdw11 = static_cast<std::uint32_t>(transfer.slba >> 32);
  command.cdw12 = (transfer.blocks - 1) | std::uint32_t{transfer.prchk} << kPrchkShift;
  command.cdw14 = static_cast<std::uint32_t>(transfer.ref_tag);
  command.cdw15 = std::uint32_t{transfer.app_mask} << 16 | transfer.app_tag;
  command.timeout_ms = transfer.timeout_ms;
  return send(fd, NVME_IOCTL_IO_CMD, command);
}

NvmeIdentifyAnswer nvme_identify(int fd, NvmeIdentify what, std::uint32_t timeout_ms) noexcept {
  NvmeIdentifyAnswer answer;
  const int nsid = ::ioctl(fd, NVME_IOCTL_ID);
  if (nsid < 0) {
    answer.error = errno;
    return answer;
  }
  answer.nsid = static_cast<std::uint32_t>(nsid);
  nvme_passthru_cmd command{};
  command.opcode = kIdentifyOpcode;
  command.nsid = answer.nsid;
  command.addr = address_of(answer.data);
  command.data_len = size_of(answer.data);
  command.cdw10 = static_cast<std::uint32_t>(what);
  command.timeout_ms = timeout_ms;
  const NvmeAnswer sent = send(fd, NVME_IOCTL_ADMIN_CMD, command);
  answer.error = sent.error;
  answer.status = sent.status;
  return answer;
}

}  // namespace blkint
