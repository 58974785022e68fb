// One thread that owns a state and runs jobs on it, one after the other. SG_IO blocks and cannot be
// cancelled, so it must never sit on one of libuv's four shared threads: each open device has an executor.
#pragma once

#include <pthread.h>
#include <signal.h>

#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace blkint {

// std::condition_variable::wait has a symbol version of its own since GCC 12 (GLIBCXX_3.4.30), which would
// keep the addon off every older distribution.
class Condition {
 public:
  Condition() = default;
  ~Condition() { pthread_cond_destroy(&condition_); }
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;

  template <typename Ready>
  void wait(std::unique_lock<std::mutex>& lock, Ready ready) {
    while (!ready()) pthread_cond_wait(&condition_, lock.mutex()->native_handle());
  }
  void notify() noexcept { pthread_cond_signal(&condition_); }

 private:
  pthread_cond_t condition_ = PTHREAD_COND_INITIALIZER;
};

// Starts a thread with every signal blocked. A signal that interrupts SG_IO on an sg node restarts the ioctl,
// and so sends the command to the device a second time. (sigprocmask sets the mask of one thread on Linux;
// pthread_sigmask would do the same but binds to GLIBC_2.32 when built on such a system.)
template <typename Run>
std::thread start_without_signals(Run run) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &before);
  struct Restore {
    const sigset_t& mask;
    ~Restore() { sigprocmask(SIG_SETMASK, &mask, nullptr); }
  } const restore{before};
  return std::thread(std::move(run));
}

// State is made and destroyed on the thread: nothing else ever touches it.
template <typename State>
class Executor {
 public:
  using Job = std::function<void(State&, bool cancelled)>;

  explicit Executor(std::size_t queue_max)
      : queue_max_(queue_max), thread_(start_without_signals([this] { run(); })) {}
  ~Executor() {
    stop();
    thread_.join();
  }
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // False when the queue is full or the executor is stopping: the job is then never called.
  [[nodiscard]] bool submit(Job job) {
    {
      const std::lock_guard lock(mutex_);
      if (stopping_ || jobs_.size() >= queue_max_) return false;
      jobs_.push_back(std::move(job));
    }
    wake_.notify();
    return true;
  }

  // Does not wait. The job under way is finished, every queued one is called as cancelled, the state is
  // destroyed, and then `last` is called on the thread. Only the first stop counts.
  void stop(std::function<void()> last = {}) {
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return;
      stopping_ = true;
      last_ = std::move(last);
    }
    wake_.notify();
  }

 private:
  void run() {
    {
      State state;
      while (run_one(state)) {
      }
    }
    if (last_) last_();
  }

  bool run_one(State& state) {
    Job job;
    bool cancelled = false;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
      if (jobs_.empty()) return false;
      job = std::move(jobs_.front());
      jobs_.pop_front();
      cancelled = stopping_;
    }
    job(state, cancelled);
    return true;
  }

  std::mutex mutex_;
  Condition wake_;
  std::deque<Job> jobs_;
  std::size_t queue_max_;
  bool stopping_ = false;
  std::function<void()> last_;
  std::thread thread_;  // Last: it starts using the members above at once.
};

}  // namespace blkint
