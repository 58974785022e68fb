// The class Handle: one open device node with a thread of its own.
#pragma once

#include <napi.h>

#include <deque>
#include <initializer_list>
#include <memory>

#include "addon/addon.h"
#include "core/executor.h"

namespace blkint::addon {

struct DeviceNode;
struct Destination;
class Call;

class Handle final : public Napi::ObjectWrap<Handle>, public Running {
 public:
  static Napi::Function define(Napi::Env env);

  explicit Handle(const Napi::CallbackInfo& info);
  ~Handle() override;

  // Waits for the call under way and ends the thread; what is not answered yet never will be. Any order of
  // close(), garbage collection and the end of the environment comes here.
  void end() override;

 private:
  static void answer_next(Napi::Env env, Napi::Function, Handle* handle, void*);
  // One signal to the JavaScript thread for each call answered, in the order of the calls.
  using Answered = Napi::TypedThreadSafeFunction<Handle, void, answer_next>;

  Napi::Value open(const Napi::CallbackInfo& info);
  Napi::Value status(const Napi::CallbackInfo& info);
  Napi::Value sg_io(const Napi::CallbackInfo& info);
  Napi::Value read(const Napi::CallbackInfo& info);
  Napi::Value write(const Napi::CallbackInfo& info);
  Napi::Value read_with_pi(const Napi::CallbackInfo& info);
  Napi::Value write_with_pi(const Napi::CallbackInfo& info);
  Napi::Value lbmd_capability(const Napi::CallbackInfo& info);
  Napi::Value nvme_io(const Napi::CallbackInfo& info);
  Napi::Value nvme_identify(const Napi::CallbackInfo& info);
  Napi::Value lock_exclusive(const Napi::CallbackInfo& info);
  Napi::Value flush(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  template <typename Work>
  Napi::Value start(Napi::Env env, Work work, std::initializer_list<Destination> destinations = {});
  void keep(std::unique_ptr<Call> call);

  Instance& instance_;
  Answered answered_;
  std::deque<std::unique_ptr<Call>> calls_;
  std::unique_ptr<Executor<DeviceNode>> executor_;
  Napi::ObjectReference closed_;  // The promise of close().
};

}  // namespace blkint::addon
