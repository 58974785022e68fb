// How urgent the I/O of a thread is.
#pragma once

namespace blkint {

// The calling thread's reads and writes go when no other's wait (ioprio_set(2), IOPRIO_CLASS_IDLE), by a
// scheduler that heeds it. Where it cannot be set they go as all others.
void become_idle() noexcept;

}  // namespace blkint
