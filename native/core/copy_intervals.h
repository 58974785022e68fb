// Intervals from where they lie to where their copies go.
#pragma once

#include "core/guard_kernels.h"

namespace blkint {

void copy_intervals(const Intervals& intervals, const Copies& copies) noexcept;

}  // namespace blkint
