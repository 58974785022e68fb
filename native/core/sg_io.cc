#include "core/sg_io.h"

#include <linux/bsg.h>
#include <scsi/sg.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>

namespace blkint {
namespace {

int dxfer_direction(Direction direction) noexcept {
  switch (direction) {
    case Direction::kFromDevice:
      return SG_DXFER_FROM_DEV;
    case Direction::kToDevice:
      return SG_DXFER_TO_DEV;
    case Direction::kNone:
      break;
  }
  return SG_DXFER_NONE;
}

}  // namespace

SgAnswer sg_io(int fd, const SgCommand& command) noexcept {
  SgAnswer answer;
  sg_io_hdr header{};
  header.interface_id = 'S';
  header.dxfer_direction = dxfer_direction(command.direction);
  header.cmd_len = static_cast<unsigned char>(command.cdb.size());
  header.cmdp = const_cast<unsigned char*>(command.cdb.data());  // The kernel only reads it.
  header.dxferp = command.data.data();
  header.dxfer_len = static_cast<unsigned>(command.data.size());
  header.sbp = answer.sense.data();
  header.mx_sb_len = static_cast<unsigned char>(answer.sense.size());
  header.timeout = command.timeout_ms;
  if (::ioctl(fd, SG_IO, &header) != 0) {
    answer.error = errno;
    return answer;
  }
  answer.status = header.status;
  answer.host_status = header.host_status;
  answer.driver_status = header.driver_status;
  answer.resid = header.resid;
  answer.duration_ms = header.duration;
  answer.sense_bytes = std::min(header.sb_len_wr, header.mx_sb_len);
  return answer;
}

SgAnswer bsg_io(int fd, const SgCommand& command) noexcept {
  SgAnswer answer;
  sg_io_v4 header{};
  header.guard = 'Q';
  header.protocol = BSG_PROTOCOL_SCSI;
  header.subprotocol = BSG_SUB_PROTOCOL_SCSI_CMD;
  header.request_len = static_cast<std::uint32_t>(command.cdb.size());
  header.request = reinterpret_cast<std::uintptr_t>(command.cdb.data());
  header.max_response_len = static_cast<std::uint32_t>(answer.sense.size());
  header.response = reinterpret_cast<std::uintptr_t>(answer.sense.data());
  const auto bytes = static_cast<std::uint32_t>(command.data.size());
  const auto address = reinterpret_cast<std::uintptr_t>(command.data.data());
  if (command.direction == Direction::kFromDevice) {
    header.din_xfer_len = bytes;
    header.din_xferp = address;
  } else if (command.direction == Direction::kToDevice) {
    header.dout_xfer_len = bytes;
    header.dout_xferp = address;
  }
  header.timeout = command.timeout_ms;
  if (::ioctl(fd, SG_IO, &header) != 0) {
    answer.error = errno;
    return answer;
  }
  answer.status = static_cast<std::uint8_t>(header.device_status);
  answer.host_status = static_cast<std::uint16_t>(header.transport_status);
  answer.driver_status = static_cast<std::uint16_t>(header.driver_status);
  answer.resid = command.direction == Direction::kToDevice ? header.dout_resid : header.din_resid;
  answer.duration_ms = header.duration;
  answer.sense_bytes = static_cast<std::uint8_t>(std::min(header.response_len, header.max_response_len));
  return answer;
}

}  // namespace blkint
