#include "addon/open_nodes.h"

#include <cstdint>
#include <string>
#include <utility>

#include "addon/convert.h"
#include "core/open_nodes.h"

namespace blkint::addon {
namespace {

class OpenNodesWorker : public Napi::AsyncWorker {
 public:
  OpenNodesWorker(Napi::Env env, std::string proc)
      : Napi::AsyncWorker(env, "blk-integrity open nodes"),
        deferred_(Napi::Promise::Deferred::New(env)),
        proc_(std::move(proc)) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

  void Execute() override { found_ = open_nodes(proc_); }

  void OnOK() override {
    const Napi::Env env = Env();
    Napi::Array nodes = Napi::Array::New(env);
    for (const OpenNode& node : found_.nodes) {
      Napi::Object one = Napi::Object::New(env);
      one.Set("pid", node.pid);
      one.Set("command", node.command);
      one.Set("type", node.block ? "block" : "character");
      one.Set("major", node.major);
      one.Set("minor", node.minor);
      nodes.Set(nodes.Length(), one);
    }
    Napi::Array hidden = Napi::Array::New(env);
    for (const std::int32_t pid : found_.hidden) hidden.Set(hidden.Length(), pid);
    Napi::Object result = Napi::Object::New(env);
    result.Set("errno", found_.error);
    result.Set("nodes", nodes);
    result.Set("hidden", hidden);
    deferred_.Resolve(result);
  }

  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

 private:
  Napi::Promise::Deferred deferred_;
  std::string proc_;
  OpenNodes found_;
};

Napi::Value open_nodes_of(const Napi::CallbackInfo& info) {
  auto* worker = new OpenNodesWorker(info.Env(), to_path(info[0], "proc"));
  worker->Queue();  // Deletes itself when it is done.
  return worker->promise();
}

}  // namespace

void export_open_nodes(Napi::Env env, Napi::Object exports) {
  exports.Set("openNodes", Napi::Function::New<open_nodes_of>(env, "openNodes"));
}

}  // namespace blkint::addon
