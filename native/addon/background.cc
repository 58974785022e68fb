#include "addon/background.h"

#include <algorithm>
#include <limits>
#include <new>
#include <thread>
#include <utility>

namespace blkint::addon {
namespace {

// More would only share what memory gives.
constexpr unsigned kThreadsMax = 8;

Napi::Value stop_function(Napi::Env env, const std::shared_ptr<std::atomic<bool>>& stopped) {
  return Napi::Function::New(
      env, [stopped](const Napi::CallbackInfo&) { stopped->store(true, std::memory_order_relaxed); }, "stop");
}

}  // namespace

Background& Background::of(Napi::Env env) {
  auto& background = instance_of(env).background;
  if (!background) background = std::make_unique<Background>(env);
  return static_cast<Background&>(*background);
}

Background::Background(Napi::Env env) : instance_(instance_of(env)) {
  const unsigned threads = std::clamp(std::thread::hardware_concurrency(), 1U, kThreadsMax);
  executor_ = std::make_unique<Executor<Lane>>(threads, std::numeric_limits<std::size_t>::max(),
                                               [](std::size_t) { return Lane{}; });
  answered_ = Answered::New(env, "blk-integrity background", 0, 1, this);
  answered_.Unref(env);  // Without a job it does not keep the process alive.
  instance_.running.insert(this);
}

void Background::end() {
  if (!executor_) return;
  for (const auto& [job, owned] : jobs_) job->stopped->store(true, std::memory_order_relaxed);
  executor_.reset();  // Joins: after this no thread touches answered_ or a job.
  jobs_.clear();
  answered_.Release();
  instance_.running.erase(this);
}

Napi::Value Background::start(Napi::Env env, std::unique_ptr<Job> owned) {
  Job* const job = owned.get();
  Napi::Object result = Napi::Object::New(env);
  result.Set("done", job->deferred.Promise());
  result.Set("stop", stop_function(env, job->stopped));
  jobs_.emplace(job, std::move(owned));
  const bool queued = executor_->submit([job, answered = answered_](Lane&, bool cancelled) {
    try {
      if (!cancelled && !job->stopped->load(std::memory_order_relaxed)) job->run();
    } catch (const std::bad_alloc&) {
      job->out_of_memory = true;
    }
    answered.NonBlockingCall(job);
  });
  // Only an executor that is ending refuses, and then no JavaScript runs any more.
  if (queued && jobs_.size() == 1) answered_.Ref(env);
  return result;
}

void Background::answer(Napi::Env env, Napi::Function, Background* background, Job* answered) {
  if (env == nullptr) return;  // The environment is going, and took the jobs with it.
  const std::unique_ptr<Job> job = std::move(background->jobs_.extract(answered).mapped());
  if (background->jobs_.empty()) background->answered_.Unref(env);
  if (job->stopped->load(std::memory_order_relaxed)) {
    job->deferred.Resolve(env.Null());
  } else if (job->out_of_memory) {
    job->deferred.Reject(Napi::Error::New(env, "out of memory for the findings").Value());
  } else {
    job->deferred.Resolve(job->answer(env));
  }
}

}  // namespace blkint::addon
