// The class Handle: one open device node with threads of its own.
#pragma once

#include <napi.h>

#include <initializer_list>
#include <memory>
#include <unordered_map>

#include "addon/addon.h"
#include "core/executor.h"
#include "core/read_verify.h"

namespace blkint::addon {

struct Lane;
struct Destination;
class Call;

class Handle final : public Napi::ObjectWrap<Handle>, public Running {
 public:
  static Napi::Function define(Napi::Env env);

  explicit Handle(const Napi::CallbackInfo& info);
  ~Handle() override;

  // Waits for the calls under way and ends the threads; what is not answered yet never will be. Any order of
  // close(), garbage collection and the end of the environment comes here.
  void end() override;

 private:
  static void answer(Napi::Env env, Napi::Function, Handle* handle, Call* answered);
  // One signal to the JavaScript thread for each call, in the order in which they end.
  using Answered = Napi::TypedThreadSafeFunction<Handle, Call, answer>;

  Napi::Value open(const Napi::CallbackInfo& info);
  Napi::Value status(const Napi::CallbackInfo& info);
  Napi::Value sg_io(const Napi::CallbackInfo& info);
  Napi::Value bsg_io(const Napi::CallbackInfo& info);
  Napi::Value sg_verify(const Napi::CallbackInfo& info);
  Napi::Value bsg_verify(const Napi::CallbackInfo& info);
  Napi::Value verify_with_pi(const Napi::CallbackInfo& info);
  Napi::Value read_through(const Napi::CallbackInfo& info);
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

  Napi::Value pass_through(const Napi::CallbackInfo& info, SgSend send);
  Napi::Value verify_through(const Napi::CallbackInfo& info, SgSend send);
  template <typename Work>
  Napi::Value start(Napi::Env env, Work work, std::initializer_list<Destination> destinations = {});
  void keep(std::unique_ptr<Call> call);

  Instance& instance_;
  Answered answered_;
  std::unordered_map<Call*, std::unique_ptr<Call>> calls_;
  std::unique_ptr<Executor<Lane>> executor_;
  Napi::ObjectReference closed_;  // The promise of close().
};

}  // namespace blkint::addon
