#include "core/sg_io.h"

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

}  // namespace blkint
