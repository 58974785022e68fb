// Threads that each own a state and run jobs from one queue. SG_IO blocks and cannot be cancelled, so it must
// never sit on one of libuv's four shared threads: each open device has an executor, of as many threads as it
// may have commands in flight.
#pragma once

#include <pthread.h>
#include <signal.h>

#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

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
  void notify_one() noexcept { pthread_cond_signal(&condition_); }
  void notify_all() noexcept { pthread_cond_broadcast(&condition_); }

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

// A State is made and destroyed on its thread: nothing else ever touches it. Jobs are begun in their order; with
// several threads they end in any.
template <typename State>
class Executor {
 public:
  using Job = std::function<void(State&, bool cancelled)>;
  using Make = std::function<State(std::size_t thread)>;

  // Throws std::system_error when not all threads can be had.
  Executor(std::size_t threads, std::size_t queue_max, Make make)
      : queue_max_(queue_max), make_(std::move(make)), running_(threads) {
    for (std::size_t i = 0; i < threads; ++i) {
      threads_.all.push_back(start_without_signals([this, i] { run(i); }));
    }
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
    wake_.notify_one();
    return true;
  }

  // Does not wait. The jobs under way are finished, every queued one is called as cancelled, the states are
  // destroyed, and then `last` is called on the thread that ended last. Only the first stop counts.
  void stop(std::function<void()> last = {}) {
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return;
      stopping_ = true;
      last_ = std::move(last);
    }
    wake_.notify_all();
  }

 private:
  void run(std::size_t thread) {
    {
      State state = make_(thread);
      while (run_one(state)) {
      }
    }
    if (!is_last()) return;
    make_ = {};
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

  bool is_last() {
    const std::lock_guard lock(mutex_);
    return --running_ == 0;
  }

  // Also those of an executor that was not made whole.
  struct Threads {
    explicit Threads(Executor& executor) : owner(executor) {}
    ~Threads() {
      owner.stop();
      for (std::thread& thread : all) thread.join();
    }
    Threads(const Threads&) = delete;
    Threads& operator=(const Threads&) = delete;
    Executor& owner;
    std::vector<std::thread> all;
  };

  std::mutex mutex_;
  Condition wake_;
  std::deque<Job> jobs_;
  std::size_t queue_max_;
  Make make_;
  std::size_t running_;
  bool stopping_ = false;
  std::function<void()> last_;
  Threads threads_{*this};  // Last: they use the members above from their start to their end.
};

}  // namespace blkint
