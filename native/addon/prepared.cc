#include "addon/prepared.h"

#include <algorithm>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "addon/background.h"
#include "addon/convert.h"
#include "addon/tuples.h"
#include "core/insert_strip.h"
#include "core/page_buffer.h"
#include "core/pinned_memory.h"
#include "core/tuple_parts.h"

namespace blkint::addon {
namespace {

// One call: the prepared layout with the number of intervals and the seed of this time.
struct Call {
  TupleLayout layout;
  std::span<std::uint8_t> data;
  std::span<std::uint8_t> metadata;  // Or the blocks, of which the metadata is a part.
};

// The four works: their plan, what does not fit, and the work itself.
struct Generate {
  using Plan = GeneratePlan;
  static constexpr auto misfit = blkint::misfit;
  static constexpr bool copies = false;
  static napi_value run(Napi::Env, const Plan& plan, const Call& call) {
    generate(call.layout, plan.rule, call.data, call.metadata);
    return nullptr;
  }
};

// Nothing, which JavaScript sees as undefined, when every interval was checked and none is bad: an object
// would cost more than the work.
napi_value answer_of(Napi::Env env, const TupleLayout& layout, const VerifyResult& result) {
  return result.bad == 0 && result.checked == layout.intervals ? nullptr
                                                               : static_cast<napi_value>(to_js(env, result));
}

struct Verify {
  using Plan = VerifyPlan;
  static constexpr auto misfit = blkint::misfit;
  static constexpr bool copies = false;
  static napi_value run(Napi::Env env, const Plan& plan, const Call& call) {
    return answer_of(env, call.layout, verify(call.layout, plan.rule, call.data, call.metadata));
  }
};

struct Insert {
  using Plan = GeneratePlan;
  static constexpr auto misfit = misfit_of_blocks;
  static constexpr bool copies = true;
  static napi_value run(Napi::Env, const Plan& plan, const Call& call) {
    insert(call.layout, plan.rule, call.data, call.metadata);
    return nullptr;
  }
};

struct Strip {
  using Plan = VerifyPlan;
  static constexpr auto misfit = misfit_of_blocks;
  static constexpr bool copies = true;
  static napi_value run(Napi::Env env, const Plan& plan, const Call& call) {
    return answer_of(env, call.layout, strip(call.layout, plan.rule, call.metadata, call.data));
  }
};

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

// Null when interleaved: then they lie in the data.
std::span<std::uint8_t> to_metadata_now(napi_env env, napi_value value, std::span<std::uint8_t> data) {
  napi_valuetype type = napi_undefined;
  return napi_typeof(env, value, &type) == napi_ok && type == napi_null
             ? data
             : to_bytes_now(env, value, "metadata");
}

std::uint64_t to_seed(napi_env env, napi_value value) {
  std::uint64_t seed = 0;
  bool lossless = false;
  if (napi_get_value_bigint_uint64(env, value, &seed, &lossless) == napi_ok && lossless) return seed;
  return to_bigint(Napi::Value(env, value), "seed", UINT64_MAX);
}

template <typename Work>
Call to_call(napi_env env, const typename Work::Plan& plan, const napi_value (&arguments)[3]) {
  const auto data = to_bytes_now(env, arguments[0], "data");
  Call call{.layout = plan.layout, .data = data, .metadata = to_metadata_now(env, arguments[1], data)};
  call.layout.seed = to_seed(env, arguments[2]) & ref_escape(plan.layout.guard);
  call.layout.intervals = call.data.size() / call.layout.data_stride;
  if (const char* name = Work::misfit(call.layout, call.data.size(), call.metadata.size())) {
    throw out_of_range(env, name,
                       "such that every interval and every tuple lies inside its buffer and its stride");
  }
  if (Work::copies && call.data.data() < call.metadata.data() + call.metadata.size() &&
      call.metadata.data() < call.data.data() + call.data.size()) {
    throw out_of_range(env, "data", "apart from the blocks");
  }
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
  PlannedJob(napi_env env, std::shared_ptr<const Plan> plan, const Call& call,
             const napi_value (&arguments)[3])
      : Job(env), plan_(std::move(plan)), layout_(call.layout), data_(env, arguments[0], call.data) {
    if (!Napi::Value(env, arguments[1]).IsNull()) metadata_.emplace(env, arguments[1], call.metadata);
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
  Napi::Value answer(Napi::Env env) override {
    const napi_value answer = answer_of(env, layout_, result_);
    return answer == nullptr ? env.Undefined() : Napi::Value(env, answer);
  }

 private:
  VerifyResult result_;
};

// What a prepared function is called with. The plan outlives the function while a job has it.
template <typename Plan>
using Planned = std::shared_ptr<const Plan>;

template <typename Plan, typename Do>
napi_value called(napi_env env, napi_callback_info info, Do work) noexcept {
  try {
    std::size_t count = 3;
    napi_value arguments[3];
    void* planned = nullptr;
    napi_get_cb_info(env, info, &count, arguments, nullptr, &planned);
    return work(*static_cast<const Planned<Plan>*>(planned), arguments);
  } catch (const Napi::Error& error) {
    error.ThrowAsJavaScriptException();
  } catch (const std::exception& error) {
    Napi::Error::New(env, error.what()).ThrowAsJavaScriptException();
  }
  return nullptr;
}

template <typename Work>
napi_value run_now(napi_env env, napi_callback_info info) {
  using Plan = typename Work::Plan;
  return called<Plan>(env, info,
                      [env](const Planned<Plan>& plan, const napi_value(&arguments)[3]) -> napi_value {
                        return Work::run(env, *plan, to_call<Work>(env, *plan, arguments));
                      });
}

template <typename PlannedJob>
napi_value run_in_background(napi_env env, napi_callback_info info) {
  using Work = typename PlannedJob::Work;
  using Plan = typename Work::Plan;
  return called<Plan>(
      env, info, [env](const Planned<Plan>& plan, const napi_value(&arguments)[3]) -> napi_value {
        const Call call = to_call<Work>(env, *plan, arguments);
        return Background::of(env).start(env, std::make_unique<PlannedJob>(env, plan, call, arguments));
      });
}

// A function of its own rather than a method: a method would have to find its object on every call.
template <typename Plan, napi_callback function>
Napi::Value prepare(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto planned = std::make_unique<Planned<Plan>>(std::make_shared<const Plan>(to_object(info[0], "job")));
  napi_value result = nullptr;
  if (napi_create_function(env, "prepared", NAPI_AUTO_LENGTH, function, planned.get(), &result) != napi_ok ||
      napi_add_finalizer(
          env, result, planned.get(),
          [](napi_env, void* data, void*) { delete static_cast<Planned<Plan>*>(data); }, nullptr,
          nullptr) != napi_ok) {
    throw Napi::Error::New(env);
  }
  planned.release();
  return Napi::Value(env, result);
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
  set("prepareGenerate", prepare<GeneratePlan, run_now<Generate>>);
  set("prepareVerify", prepare<VerifyPlan, run_now<Verify>>);
  set("prepareInsert", prepare<GeneratePlan, run_now<Insert>>);
  set("prepareStrip", prepare<VerifyPlan, run_now<Strip>>);
  set("prepareGenerateAsync", prepare<GeneratePlan, run_in_background<GenerateJob>>);
  set("prepareVerifyAsync", prepare<VerifyPlan, run_in_background<VerifyJob>>);
  set("pinnedMemory", pinned_memory);
}

}  // namespace blkint::addon
