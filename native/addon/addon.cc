// The addon's entry: what it exports, and its orderly end.
#include "addon/addon.h"

#include <cstdint>

#include "addon/convert.h"
#include "addon/guard_kernels.h"
#include "addon/handle.h"
#include "addon/open_nodes.h"
#include "addon/prepared.h"
#include "addon/snapshot.h"
#include "addon/tcmu_server.h"
#include "addon/tuples.h"
#include "core/io_uring.h"

namespace blkint::addon {
namespace {

constexpr std::int64_t kAlignmentMax = 65536;

Napi::Value aligned_offset(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsArrayBuffer()) throw wrong_type(env, "buffer", "an ArrayBuffer");
  Napi::ArrayBuffer buffer = info[0].As<Napi::ArrayBuffer>();
  const auto alignment = static_cast<std::uintptr_t>(to_integer(info[1], "alignment", 1, kAlignmentMax));
  if ((alignment & (alignment - 1)) != 0) throw out_of_range(env, "alignment", "a power of two");
  const std::uintptr_t offset = -reinterpret_cast<std::uintptr_t>(buffer.Data()) & (alignment - 1);
  if (offset > buffer.ByteLength())
    throw out_of_range(env, "buffer", "long enough to hold an aligned address");
  return Napi::Number::New(env, static_cast<double>(offset));
}

Napi::Value io_uring_features_of_kernel(const Napi::CallbackInfo& info) {
  const IoUringFeatures answer = io_uring_features();
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("errno", answer.error);
  result.Set("features", answer.features);
  return result;
}

Napi::Function resizable_getter(Napi::Env env) {
  const Napi::Object object = env.Global().Get("Object").As<Napi::Object>();
  const Napi::Object prototype =
      env.Global().Get("ArrayBuffer").As<Napi::Object>().Get("prototype").As<Napi::Object>();
  const Napi::Value descriptor = object.Get("getOwnPropertyDescriptor")
                                     .As<Napi::Function>()
                                     .Call({prototype, Napi::String::New(env, "resizable")});
  return descriptor.As<Napi::Object>().Get("get").As<Napi::Function>();
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* instance =
      new Instance{.is_resizable = Napi::Persistent(resizable_getter(env)), .running = {}, .background = {}};
  env.SetInstanceData<Instance>(instance);
  // Cleanup hooks run before finalizers: every thread is stopped while everything that it touches still
  // exists. (process.exit() on the main thread runs neither, and the kernel ends the threads.)
  env.AddCleanupHook([instance] {
    while (!instance->running.empty()) (*instance->running.begin())->end();
  });
  exports.Set("Handle", Handle::define(env));
  exports.Set("TcmuServer", TcmuServer::define(env));
  exports.Set("alignedOffset", Napi::Function::New<aligned_offset>(env, "alignedOffset"));
  exports.Set("ioUringFeatures", Napi::Function::New<io_uring_features_of_kernel>(env, "ioUringFeatures"));
  export_guard_kernels(env, exports);
  export_tuples(env, exports);
  export_prepared(env, exports);
  export_snapshot(env, exports);
  export_open_nodes(env, exports);
  return exports;
}

}  // namespace
}  // namespace blkint::addon

using blkint::addon::init;
NODE_API_MODULE(NODE_GYP_MODULE_NAME, init)
