// The kernels, a file each.
#pragma once

#include "core/guard_kernels.h"

namespace blkint {

extern const GuardKernel kPortableKernel;

}  // namespace blkint
