#include "addon/snapshot.h"

#include <utility>
#include <vector>

#include "addon/convert.h"
#include "core/sysfs.h"

namespace blkint::addon {
namespace {

// Reading a folder of the kernel's takes milliseconds and waits for no device, so libuv's shared pool will
// do.
class SnapshotWorker : public Napi::AsyncWorker {
 public:
  SnapshotWorker(Napi::Env env, std::string root, std::vector<std::string> patterns)
      : Napi::AsyncWorker(env, "blk-integrity snapshot"),
        deferred_(Napi::Promise::Deferred::New(env)),
        root_(std::move(root)),
        patterns_(std::move(patterns)) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

  void Execute() override { snapshot_ = take_snapshot(root_, patterns_); }

  void OnOK() override {
    const Napi::Env env = Env();
    Napi::Object entries = Napi::Object::New(env);
    for (const auto& [path, text] : snapshot_.entries) entries.Set(path, text);
    Napi::Object errors = Napi::Object::New(env);
    for (const auto& [path, error] : snapshot_.errors) errors.Set(path, error);
    Napi::Object snapshot = Napi::Object::New(env);
    snapshot.Set("entries", entries);
    snapshot.Set("errors", errors);
    deferred_.Resolve(snapshot);
  }

  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

 private:
  Napi::Promise::Deferred deferred_;
  std::string root_;
  std::vector<std::string> patterns_;
  Snapshot snapshot_;
};

std::vector<std::string> to_patterns(Napi::Value value) {
  if (!value.IsArray()) throw wrong_type(value.Env(), "patterns", "an array");
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<std::string> patterns;
  for (std::uint32_t i = 0; i < array.Length(); ++i) {
    patterns.push_back(to_string(array.Get(i), "patterns"));
    if (!is_pattern(patterns.back())) {
      throw out_of_range(value.Env(), "patterns", "relative paths without empty, '.' or '..' components");
    }
  }
  return patterns;
}

Napi::Value sysfs_snapshot(const Napi::CallbackInfo& info) {
  std::string root = to_path(info[0], "root");
  auto* worker = new SnapshotWorker(info.Env(), std::move(root), to_patterns(info[1]));
  worker->Queue();  // Deletes itself when it is done.
  return worker->promise();
}

}  // namespace

void export_snapshot(Napi::Env env, Napi::Object exports) {
  exports.Set("sysfsSnapshot", Napi::Function::New<sysfs_snapshot>(env, "sysfsSnapshot"));
}

}  // namespace blkint::addon
