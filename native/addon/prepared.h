// Work by plans: options that were read once, for many calls with two buffers and a seed.
#pragma once

#include <napi.h>

namespace blkint::addon {

void export_prepared(Napi::Env env, Napi::Object exports);

}  // namespace blkint::addon
