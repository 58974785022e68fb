// Jobs whose options were read once: each is a function of two buffers and a seed.
#pragma once

#include <napi.h>

namespace blkint::addon {

void export_prepared(Napi::Env env, Napi::Object exports);

}  // namespace blkint::addon
