// The asynchronous snapshot of a folder such as /sys.
#pragma once

#include <napi.h>

namespace blkint::addon {

void export_snapshot(Napi::Env env, Napi::Object exports);

}  // namespace blkint::addon
