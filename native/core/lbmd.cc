#include "core/lbmd.h"

#include <sys/ioctl.h>

#include <cerrno>

namespace blkint {
namespace {

constexpr unsigned long kGetLbmdCap = _IOWR(0x15, 2, LbmdCap);
static_assert(kGetLbmdCap == 0xC0101502);

}  // namespace

LbmdAnswer lbmd_capability(int fd) noexcept {
  LbmdAnswer answer;
  if (::ioctl(fd, kGetLbmdCap, &answer.cap) != 0) answer.error = errno;
  return answer;
}

}  // namespace blkint
