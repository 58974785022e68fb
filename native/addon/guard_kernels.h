// The guard kernels to JavaScript.
#pragma once

#include <napi.h>

namespace blkint::addon {

void export_guard_kernels(Napi::Env env, Napi::Object exports);

}  // namespace blkint::addon
