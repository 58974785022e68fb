#include "core/priority.h"

#include <sys/syscall.h>
#include <unistd.h>

namespace blkint {
namespace {

// Of <linux/ioprio.h>, which distributions before Linux 5.15 have not.
constexpr int kWhoProcess = 1;
constexpr int kClassIdle = 3;
constexpr int kClassShift = 13;

}  // namespace

void become_idle() noexcept { ::syscall(SYS_ioprio_set, kWhoProcess, 0, kClassIdle << kClassShift); }

}  // namespace blkint
