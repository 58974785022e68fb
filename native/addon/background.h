// Work in memory on threads of the addon's own.
#pragma once

#include <napi.h>

#include <atomic>
#include <memory>
#include <unordered_map>

#include "addon/addon.h"
#include "core/executor.h"

namespace blkint::addon {

// One job, made and destroyed on the JavaScript thread.
class Job {
 public:
  explicit Job(Napi::Env env) : deferred(Napi::Promise::Deferred::New(env)) {}
  virtual ~Job() = default;
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  // On a thread. Looks at `stopped` every now and then, and ends early when it is set.
  virtual void run() = 0;
  // On the JavaScript thread, after run(). Not asked of a job that was stopped.
  virtual Napi::Value answer(Napi::Env env) = 0;

  const Napi::Promise::Deferred deferred;
  // The function that stops it may outlive it.
  const std::shared_ptr<std::atomic<bool>> stopped = std::make_shared<std::atomic<bool>>(false);
  bool out_of_memory = false;
};

// One in an environment, made for its first job.
class Background final : public Running {
 public:
  static Background& of(Napi::Env env);

  explicit Background(Napi::Env env);
  ~Background() override { end(); }

  // {done, stop}: `done` is answered with what the job says, or with null when `stop` was called in time.
  Napi::Value start(Napi::Env env, std::unique_ptr<Job> job);
  void end() override;

 private:
  static void answer(Napi::Env env, Napi::Function, Background* background, Job* job);
  using Answered = Napi::TypedThreadSafeFunction<Background, Job, answer>;

  struct Lane {};

  Instance& instance_;
  Answered answered_;
  std::unordered_map<Job*, std::unique_ptr<Job>> jobs_;
  std::unique_ptr<Executor<Lane>> executor_;
};

}  // namespace blkint::addon
