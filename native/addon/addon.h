// What the addon keeps for one JavaScript environment: the main thread and every worker thread have their
// own.
#pragma once

#include <napi.h>

#include <unordered_set>

namespace blkint::addon {

class Handle;

struct Instance {
  // The getter ArrayBuffer.prototype.resizable, taken before anyone can replace it.
  Napi::FunctionReference is_resizable;
  // The handles that have a thread.
  std::unordered_set<Handle*> running;
};

inline Instance& instance_of(Napi::Env env) { return *env.GetInstanceData<Instance>(); }

}  // namespace blkint::addon
