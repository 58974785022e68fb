// What /proc says of open device nodes, as a function of JavaScript.
#pragma once

#include <napi.h>

namespace blkint::addon {

void export_open_nodes(Napi::Env env, Napi::Object exports);

}  // namespace blkint::addon
