// What the addon keeps for one JavaScript environment: the main thread and every worker thread have their
// own.
#pragma once

#include <napi.h>

#include <memory>
#include <unordered_set>

namespace blkint::addon {

// What has a thread of its own that must be gone before the environment is.
class Running {
 public:
  virtual ~Running() = default;
  // Takes itself out of `running`.
  virtual void end() = 0;
};

struct Instance {
  // The getter ArrayBuffer.prototype.resizable, taken before anyone can replace it.
  Napi::FunctionReference is_resizable;
  std::unordered_set<Running*> running;
  std::unique_ptr<Running> background;  // Made for its first job.
};

inline Instance& instance_of(Napi::Env env) { return *env.GetInstanceData<Instance>(); }

}  // namespace blkint::addon
