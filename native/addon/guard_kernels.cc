#include "addon/guard_kernels.h"

#include <cstdint>

#include "addon/convert.h"
#include "core/guard_kernels.h"

namespace blkint::addon {
namespace {

Napi::Value list(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Array kernels = Napi::Array::New(env);
  for (const GuardKernel* kernel : guard_kernels()) {
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("name", kernel->name);
    entry.Set("runsHere", kernel->runs_here());
    kernels.Set(kernels.Length(), entry);
  }
  Napi::Object result = Napi::Object::New(env);
  result.Set("kernels", kernels);
  result.Set("inUse", guard_kernel().name);
  return result;
}

Napi::Value use(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), use_guard_kernel(to_string(info[0], "name")));
}

}  // namespace

void export_guard_kernels(Napi::Env env, Napi::Object exports) {
  exports.Set("guardKernels", Napi::Function::New<list>(env, "guardKernels"));
  exports.Set("useGuardKernel", Napi::Function::New<use>(env, "useGuardKernel"));
}

}  // namespace blkint::addon
