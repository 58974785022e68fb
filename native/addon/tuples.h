// The synchronous functions: guards, and the generation and verification of tuples in memory.
#pragma once

#include <napi.h>

namespace blkint::addon {

void export_tuples(Napi::Env env, Napi::Object exports);

}  // namespace blkint::addon
