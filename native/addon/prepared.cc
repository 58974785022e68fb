#include "addon/prepared.h"

#include <algorithm>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include "addon/background.h"
#include "addon/convert.h"
#include "addon/tuples.h"
#include "addon/works.h"
#include "core/page_buffer.h"
#include "core/pinned_memory.h"
#include "core/tuple_parts.h"

namespace blkint::addon {
namespace {

// How many intervals there are, when every one was checked and none is bad: an object would cost more than
// the work.
napi_value answer_of(Napi::Env env, const TupleLayout& layout, const VerifyResult& result) {
  if (result.bad != 0 || result.checked != layout.intervals) return to_js(env, result);
  return Napi::Number::New(env, static_cast<double>(layout.intervals));
}

// to_bytes() where that would not throw, without its look at the buffer: until this call returns none shrinks
// or goes away. What is resizable or shared is refused in TypeScript, where it costs less.
std::span<std::uint8_t> to_bytes_now(napi_env env, napi_value value, const char* name) {
  napi_typedarray_type type = napi_int8_array;
  std::size_t length = 0;
  void* start = nullptr;
  if (napi_get_typedarray_info(env, value, &type, &length, &start, nullptr, nullptr) == napi_ok &&
      type == napi_uint8_array) {
    return {static_cast<std::uint8_t*>(start), length};
  }
  return to_bytes(Napi::Value(env, value), name);
}

std::uint64_t to_seed(napi_env env, napi_value value) {
  std::uint64_t seed = 0;
  bool lossless = false;
  if (napi_get_value_bigint_uint64(env, value, &seed, &lossless) == napi_ok && lossless) return seed;
  return to_bigint(Napi::Value(env, value), "seed", UINT64_MAX);
}

// What every function here is called with: (plan, seed, data, metadata or blocks). Without the last one all
// is interleaved. That it is left out rather than null is known from their number, at no cost.
struct Arguments {
  static constexpr std::size_t kInterleaved = 3;

  Arguments(napi_env env, napi_callback_info info) noexcept {
    napi_get_cb_info(env, info, &count, values, nullptr, nullptr);
  }

  [[nodiscard]] bool interleaved() const noexcept { return count <= kInterleaved; }
  [[nodiscard]] napi_value plan() const noexcept { return values[0]; }
  [[nodiscard]] napi_value seed() const noexcept { return values[1]; }
  [[nodiscard]] napi_value data() const noexcept { return values[2]; }
  [[nodiscard]] napi_value metadata() const noexcept { return values[3]; }

  std::size_t count = kInterleaved + 1;
  napi_value values[kInterleaved + 1];
};

template <typename Work>
Call to_call(napi_env env, const typename Work::Plan& plan, const Arguments& arguments) {
  const auto data = to_bytes_now(env, arguments.data(), "data");
  const auto metadata = arguments.interleaved() ? data : to_bytes_now(env, arguments.metadata(), "metadata");
  Call call = make_call<Work>(plan.layout, data, metadata);
  call.layout.seed = to_seed(env, arguments.seed()) & ref_escape(plan.layout.guard);
  call.layout.intervals = call.data.size() / call.layout.data_stride;
  require_fit<Work>(env, call);
  return call;
}

// The work in the background. The buffers are pinned memory, or copies: see pinned_memory.h.
class Held {
 public:
  Held(napi_env env, napi_value array, std::span<std::uint8_t> bytes) : pinned_(hold_pinned_memory(bytes)) {
    if (pinned_) {
      bytes_ = bytes;
    } else {
      bytes_ = copy_.emplace(bytes).bytes();
      array_ = Napi::Persistent(Napi::Object(env, array));
    }
  }

  [[nodiscard]] std::span<std::uint8_t> bytes() const noexcept { return bytes_; }

  // The tuples into the caller's array, where the work was on a copy: what the caller has written beside them
  // meanwhile is not touched. False when it is detached, and so has no length.
  [[nodiscard]] bool deliver_tuples(const TupleLayout& layout) const {
    if (pinned_) return true;
    auto array = array_.Value().As<Napi::Uint8Array>();
    if (array.ByteLength() != bytes_.size()) return false;
    for (std::size_t i = 0; i < layout.intervals; ++i) {
      const std::size_t at = layout.metadata_start + i * layout.metadata_stride + layout.pi_offset;
      std::ranges::copy(bytes_.subspan(at, tuple_bytes(layout.guard)), array.Data() + at);
    }
    return true;
  }

 private:
  std::shared_ptr<const void> pinned_;
  std::optional<PageBuffer> copy_;
  std::span<std::uint8_t> bytes_;
  Napi::ObjectReference array_;
};

// So much is done between two looks at whether to stop: some ten microseconds.
constexpr std::size_t kPartBytes = 256 * 1024;

template <typename Plan>
class PlannedJob : public Job {
 public:
  PlannedJob(napi_env env, std::shared_ptr<const Plan> plan, const Call& call, const Arguments& arguments)
      : Job(env), plan_(std::move(plan)), layout_(call.layout), data_(env, arguments.data(), call.data) {
    if (!arguments.interleaved()) metadata_.emplace(env, arguments.metadata(), call.metadata);
  }

 protected:
  const Held& metadata() const { return metadata_ ? *metadata_ : data_; }

  template <typename PartWork>
  void work_in_parts(PartWork work) {
    in_parts(layout_, std::max<std::size_t>(1, kPartBytes / layout_.interval), [&](const Part& part) {
      return !stopped->load(std::memory_order_relaxed) && work(part, data_.bytes(), metadata().bytes());
    });
  }

  std::shared_ptr<const Plan> plan_;
  TupleLayout layout_;

 private:
  Held data_;
  std::optional<Held> metadata_;
};

class GenerateJob final : public PlannedJob<GeneratePlan> {
 public:
  using Work = Generate;
  using PlannedJob::PlannedJob;
  void run() override {
    work_in_parts([&](const Part& part, auto data, auto metadata) {
      generate_part(layout_, plan_->rule, part, data, metadata);
      return true;
    });
  }
  Napi::Value answer(Napi::Env env) override {
    return Napi::Boolean::New(env, metadata().deliver_tuples(layout_));
  }
};

class VerifyJob final : public PlannedJob<VerifyPlan> {
 public:
  using Work = Verify;
  using PlannedJob::PlannedJob;
  void run() override {
    VerifyInParts verified(layout_, plan_->rule);
    work_in_parts(
        [&](const Part& part, auto data, auto metadata) { return verified.verify(part, data, metadata); });
    result_ = std::move(verified.result());
  }
  Napi::Value answer(Napi::Env env) override { return {env, answer_of(env, layout_, result_)}; }

 private:
  VerifyResult result_;
};

// What JavaScript holds: a plan, which outlives that while a job has it, behind the word that says which kind
// it is.
template <typename Plan>
struct Planned {
  static constexpr std::uint64_t kKind =
      std::is_same_v<Plan, GeneratePlan> ? 0x67656e6572617465 : 0x766572696679;

  const std::uint64_t kind = kKind;
  const std::shared_ptr<const Plan> plan;
};

template <typename Plan>
Napi::Value to_plan(const Napi::CallbackInfo& info) {
  using External = Napi::External<Planned<Plan>>;
  auto planned = std::make_unique<Planned<Plan>>(
      Planned<Plan>{.plan = std::make_shared<const Plan>(to_object(info[0], "job"))});
  const auto result =
      External::New(info.Env(), planned.get(), [](Napi::BasicEnv, auto* data) { delete data; });
  planned.release();
  return result;
}

template <typename Plan>
const std::shared_ptr<const Plan>& plan_of(napi_env env, napi_value value) {
  void* planned = nullptr;
  if (napi_get_value_external(env, value, &planned) != napi_ok ||
      *static_cast<const std::uint64_t*>(planned) != Planned<Plan>::kKind)
    throw wrong_type(env, "plan", "a plan for this work");
  return static_cast<const Planned<Plan>*>(planned)->plan;
}

template <typename Do>
napi_value called(napi_env env, napi_callback_info info, Do work) noexcept {
  try {
    return work(Arguments(env, info));
  } catch (const Napi::Error& error) {
    error.ThrowAsJavaScriptException();
  } catch (const std::exception& error) {
    Napi::Error::New(env, error.what()).ThrowAsJavaScriptException();
  }
  return nullptr;
}

template <typename Work>
napi_value run_now(napi_env env, napi_callback_info info) {
  return called(env, info, [env](const Arguments& arguments) {
    const auto& plan = *plan_of<typename Work::Plan>(env, arguments.plan());
    const Call call = to_call<Work>(env, plan, arguments);
    if constexpr (std::is_void_v<decltype(Work::run(plan, call))>) {
      Work::run(plan, call);
      return napi_value{};
    } else {
      return answer_of(env, call.layout, Work::run(plan, call));
    }
  });
}

template <typename PlannedJob>
napi_value run_in_background(napi_env env, napi_callback_info info) {
  using Work = typename PlannedJob::Work;
  return called(env, info, [env](const Arguments& arguments) -> napi_value {
    const auto& plan = plan_of<typename Work::Plan>(env, arguments.plan());
    const Call call = to_call<Work>(env, *plan, arguments);
    return Background::of(env).start(env, std::make_unique<PlannedJob>(env, plan, call, arguments));
  });
}

Napi::Value pinned_memory(const Napi::CallbackInfo& info) {
  const auto bytes = static_cast<std::size_t>(to_integer(info[0], "bytes", 0, kSafeIntegerMax));
  const auto memory = make_pinned_memory(bytes);
  if (memory.data() == nullptr) throw out_of_range(info.Env(), "bytes", "as many as the machine has");
  return Napi::ArrayBuffer::New(info.Env(), memory.data(), memory.size(), [](Napi::BasicEnv, void* start) {
    drop_pinned_memory(static_cast<const std::uint8_t*>(start));
  });
}

}  // namespace

void export_prepared(Napi::Env env, Napi::Object exports) {
  const auto set = [&](const char* name, auto function) {
    exports.Set(name, Napi::Function::New(env, function, name));
  };
  // Without node-addon-api's wrapper, which would cost as much again.
  const auto set_run = [&](const char* name, napi_callback function) {
    napi_value value = nullptr;
    if (napi_create_function(env, name, NAPI_AUTO_LENGTH, function, nullptr, &value) != napi_ok)
      throw Napi::Error::New(env);
    exports.Set(name, value);
  };
  set("generatePlan", to_plan<GeneratePlan>);
  set("verifyPlan", to_plan<VerifyPlan>);
  set_run("runGenerate", run_now<Generate>);
  set_run("runVerify", run_now<Verify>);
  set_run("runInsert", run_now<Insert>);
  set_run("runStrip", run_now<Strip>);
  set_run("startGenerate", run_in_background<GenerateJob>);
  set_run("startVerify", run_in_background<VerifyJob>);
  set("pinnedMemory", pinned_memory);
}

}  // namespace blkint::addon
