// NVMe pass-through on a namespace's block node: Read and Write with metadata in a buffer of its own, and Identify.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace blkint {

inline constexpr std::uint32_t kNvmeBlocksMax = 65536;  // NLB is a 0's based field of 16 bits.
inline constexpr std::uint64_t kNvmeRefTagMax = (std::uint64_t{1} << 48) - 1;  // Of the 64-bit guard's tuples.
inline constexpr std::size_t kNvmeIdentifyBytes = 4096;

enum class NvmeOpcode : std::uint8_t { kWrite = 0x01, kRead = 0x02 };

struct NvmeTransfer {
  NvmeOpcode opcode;
  std::uint64_t slba;
  std::uint32_t blocks;  // 1 to kNvmeBlocksMax.
  std::span<std::uint8_t> data;
  std::span<std::uint8_t> metadata;
  std::uint8_t prchk;     // Which tags the controller checks: guard 4, application 2, reference 1.
  std::uint64_t ref_tag;  // Expected of, or written to, the first block.
  std::uint16_t app_tag;
  std::uint16_t app_mask;
  std::uint32_t timeout_ms;
};

struct NvmeAnswer {
  int error = 0;
  std::uint16_t status = 0;  // The completion's status field without its phase: DNR, more, SCT and SC.
};

// EINVAL, and nothing is sent, unless the buffers have the very sizes that the namespace is formatted to: the kernel
// believes the caller, and the controller moves what the command says. Extended blocks (metadata inside data) are refused.
// ENOTTY on what is no NVMe namespace. Sent once, whatever happens.
NvmeAnswer nvme_io(int fd, const NvmeTransfer& transfer) noexcept;

// Whether the buffers have the sizes that Identify Namespace data of 4096 bytes gives the transfer's blocks.
bool nvme_fits(std::span<const std::uint8_t, kNvmeIdentifyBytes> identified, const NvmeTransfer& transfer) noexcept;

// By CNS: 00h Identify Namespace, 05h that of a command set, whose CSI is 00h here (NVM).
enum class NvmeIdentify : std::uint8_t { kNamespace = 0x00, kCommandSetNamespace = 0x05 };

struct NvmeIdentifyAnswer {
  int error = 0;
  std::uint16_t status = 0;
  std::uint32_t nsid = 0;
  std::array<std::uint8_t, kNvmeIdentifyBytes> data{};
};

// Of the namespace that `fd` is open on.
NvmeIdentifyAnswer nvme_identify(int fd, NvmeIdentify what, std::uint32_t timeout_ms) noexcept;

}  // namespace blkint
