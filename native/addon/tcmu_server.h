// The class TcmuServer: one TCMU device that JavaScript serves.
#pragma once

#include <napi.h>

#include <atomic>
#include <memory>
#include <thread>

#include "addon/addon.h"
#include "core/fd.h"
#include "core/tcmu_ring.h"

namespace blkint::addon {

// The ring belongs to the JavaScript thread: nothing in it blocks. A thread waits for the kernel's events and does nothing else.
class TcmuServer final : public Napi::ObjectWrap<TcmuServer>, public Running {
 public:
  static Napi::Function define(Napi::Env env);

  explicit TcmuServer(const Napi::CallbackInfo& info);
  ~TcmuServer() override;

  void end() override;

 private:
  static void hand_over(Napi::Env env, Napi::Function on_commands, TcmuServer* server, void*);
  using Signal = Napi::TypedThreadSafeFunction<TcmuServer, void, hand_over>;

  Napi::Value open(const Napi::CallbackInfo& info);
  Napi::Value data_out(const Napi::CallbackInfo& info);
  Napi::Value complete(const Napi::CallbackInfo& info);
  Napi::Value kick(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  TcmuNode& node();
  void signal();
  void watch(int uio);

  Instance& instance_;
  std::unique_ptr<TcmuNode> node_;  // While it is open, with what is below.
  Signal signal_;
  std::atomic<bool> signalled_ = false;  // One signal on its way is enough.
  Fd stop_;
  std::thread thread_;
};

}  // namespace blkint::addon
