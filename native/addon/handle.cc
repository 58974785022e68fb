#include "addon/handle.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "addon/convert.h"
#include "core/block_io.h"
#include "core/fd.h"
#include "core/io_uring.h"
#include "core/lbmd.h"
#include "core/sg_io.h"

namespace blkint::addon {

// What the thread of a handle works on.
struct DeviceNode {
  Fd fd;
  PiRing ring;
};

// One call under way, made and destroyed on the JavaScript thread.
class Call {
 public:
  Call(Napi::Env env, std::initializer_list<Napi::Object> buffers)
      : deferred(Napi::Promise::Deferred::New(env)) {
    for (const Napi::Object& buffer : buffers) buffers_.push_back(Napi::Persistent(buffer));
  }
  virtual ~Call() = default;
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  virtual Napi::Value answer(Napi::Env env) const = 0;

  const Napi::Promise::Deferred deferred;

 private:
  std::vector<Napi::ObjectReference> buffers_;  // Keeps the caller's memory alive.
};

namespace {

constexpr std::size_t kQueueMax = 64;

Napi::Object with_errno(Napi::Env env, int error) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("errno", error);
  return result;
}

Napi::Value to_js(Napi::Env env, const Outcome& outcome) { return with_errno(env, outcome.error); }

Napi::Value to_js(Napi::Env env, const Transfer& transfer) {
  Napi::Object result = with_errno(env, transfer.error);
  result.Set("bytes", static_cast<double>(transfer.bytes));
  return result;
}

Napi::Value to_js(Napi::Env env, const NodeStatus& status) {
  Napi::Object result = with_errno(env, status.error);
  result.Set("mode", status.mode);
  result.Set("major", status.major);
  result.Set("minor", status.minor);
  result.Set("logicalBlockSize", status.logical_block_size);
  result.Set("sizeBytes", Napi::BigInt::New(env, status.size_bytes));
  return result;
}

Napi::Value to_js(Napi::Env env, const SgAnswer& answer) {
  auto sense = Napi::Uint8Array::New(env, answer.sense_bytes);
  std::copy_n(answer.sense.begin(), answer.sense_bytes, sense.Data());
  Napi::Object result = with_errno(env, answer.error);
  result.Set("status", answer.status);
  result.Set("hostStatus", answer.host_status);
  result.Set("driverStatus", answer.driver_status);
  result.Set("resid", answer.resid);
  result.Set("sense", sense);
  result.Set("durationMs", answer.duration_ms);
  return result;
}

Napi::Value to_js(Napi::Env env, const LbmdAnswer& answer) {
  const LbmdCap& cap = answer.cap;
  Napi::Object result = with_errno(env, answer.error);
  result.Set("flags", cap.flags);
  result.Set("interval", cap.interval);
  result.Set("size", cap.size);
  result.Set("opaqueSize", cap.opaque_size);
  result.Set("opaqueOffset", cap.opaque_offset);
  result.Set("piSize", cap.pi_size);
  result.Set("piOffset", cap.pi_offset);
  result.Set("guardTagType", cap.guard_tag_type);
  result.Set("appTagSize", cap.app_tag_size);
  result.Set("refTagSize", cap.ref_tag_size);
  result.Set("storageTagSize", cap.storage_tag_size);
  return result;
}

// A call whose work answers with one of the structs of core, which all have an `error`.
template <typename Work>
class WorkCall final : public Call {
 public:
  using Answer = std::invoke_result_t<Work&, DeviceNode&>;

  WorkCall(Napi::Env env, Work work, std::initializer_list<Napi::Object> buffers)
      : Call(env, buffers), work_(std::move(work)) {}

  // On the handle's thread.
  void run(DeviceNode& node, bool cancelled) {
    if (cancelled) {
      answer_.error = ECANCELED;
    } else {
      answer_ = work_(node);
    }
  }
  void refuse(int error) { answer_.error = error; }
  Napi::Value answer(Napi::Env env) const override { return to_js(env, answer_); }

 private:
  Work work_;
  Answer answer_{};
};

// close() has no work of its own: its turn comes when the thread has finished.
class CloseCall final : public Call {
 public:
  explicit CloseCall(Napi::Env env) : Call(env, {}) {}
  Napi::Value answer(Napi::Env env) const override { return env.Undefined(); }
};

std::uint64_t to_offset(Napi::Value value, std::size_t bytes) {
  return to_bigint(value, "offset", static_cast<std::uint64_t>(std::numeric_limits<off_t>::max()) - bytes);
}

// The arguments of readWithPi and writeWithPi.
struct PiTransfer {
  explicit PiTransfer(const Napi::CallbackInfo& info) {
    const Napi::Object attribute = to_object(info[2], "pi");
    pi.flags = static_cast<std::uint16_t>(to_integer(attribute.Get("flags"), "pi.flags", 0, 7));
    pi.app_tag = to_unsigned<std::uint16_t>(attribute.Get("appTag"), "pi.appTag");
    pi.seed = to_bigint(attribute.Get("seed"), "pi.seed", std::numeric_limits<std::uint64_t>::max());
    const Napi::Value tuples = attribute.Get("tuples");
    buffer = to_bytes(info[0], "buffer");
    pi.tuples = to_bytes(tuples, "pi.tuples");
    if (buffer.size() > kTransferBytesMax)
      throw out_of_range(info.Env(), "buffer", "at most 7FFFF000h bytes");
    if (pi.tuples.size() > kTransferBytesMax)
      throw out_of_range(info.Env(), "pi.tuples", "at most 7FFFF000h bytes");
    offset = to_offset(info[1], buffer.size());
    buffer_array = info[0].As<Napi::Object>();
    tuples_array = tuples.As<Napi::Object>();
  }

  std::span<std::uint8_t> buffer;
  std::uint64_t offset;
  PiAttribute pi;
  Napi::Object buffer_array;
  Napi::Object tuples_array;
};

}  // namespace

Napi::Function Handle::define(Napi::Env env) {
  return DefineClass(
      env, "Handle",
      {InstanceMethod<&Handle::open>("open"), InstanceMethod<&Handle::status>("status"),
       InstanceMethod<&Handle::sg_io>("sgIo"), InstanceMethod<&Handle::read>("read"),
       InstanceMethod<&Handle::write>("write"), InstanceMethod<&Handle::read_with_pi>("readWithPi"),
       InstanceMethod<&Handle::write_with_pi>("writeWithPi"),
       InstanceMethod<&Handle::lbmd_capability>("lbmdCapability"),
       InstanceMethod<&Handle::lock_exclusive>("lockExclusive"), InstanceMethod<&Handle::flush>("flush"),
       InstanceMethod<&Handle::close>("close")});
}

Handle::Handle(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<Handle>(info),
      instance_(instance_of(info.Env())),
      executor_(std::make_unique<Executor<DeviceNode>>(kQueueMax)) {
  answered_ = Answered::New(info.Env(), "blk-integrity handle", 0, 1, this);
  answered_.Unref(info.Env());  // An idle handle does not keep the process alive.
  instance_.running.insert(this);
}

Handle::~Handle() { end(); }

void Handle::end() {
  if (!executor_) return;
  executor_.reset();  // Joins: after this no thread touches answered_ or a call.
  calls_.clear();
  answered_.Release();
  instance_.running.erase(this);
}

template <typename Work>
Napi::Value Handle::start(Napi::Env env, Work work, std::initializer_list<Napi::Object> buffers) {
  auto owned = std::make_unique<WorkCall<Work>>(env, std::move(work), buffers);
  WorkCall<Work>& call = *owned;
  const Napi::Promise promise = call.deferred.Promise();
  const auto refuse = [&](int error) {
    call.refuse(error);
    call.deferred.Resolve(call.answer(env));
    return promise;
  };
  if (!closed_.IsEmpty()) return refuse(EBADF);
  const bool queued = executor_->submit([&call, answered = answered_](DeviceNode& node, bool cancelled) {
    call.run(node, cancelled);
    answered.NonBlockingCall();
  });
  if (!queued) return refuse(EAGAIN);
  keep(std::move(owned));
  return promise;
}

void Handle::keep(std::unique_ptr<Call> call) {
  if (calls_.empty()) {
    answered_.Ref(Env());
    Ref();  // The object outlives its last call.
  }
  calls_.push_back(std::move(call));
}

void Handle::answer_next(Napi::Env env, Napi::Function, Handle* handle, void*) {
  if (env == nullptr) return;  // The environment is going, and took the calls with it.
  const std::unique_ptr<Call> call = std::move(handle->calls_.front());
  handle->calls_.pop_front();
  if (handle->calls_.empty()) {
    handle->answered_.Unref(env);
    if (!handle->closed_.IsEmpty()) handle->end();
    handle->Unref();
  }
  call->deferred.Resolve(call->answer(env));
}

Napi::Value Handle::open(const Napi::CallbackInfo& info) {
  std::string path = to_path(info[0], "path");
  const auto flags = static_cast<int>(to_integer(info[1], "flags", 0, std::numeric_limits<int>::max()));
  // A node is opened, never made: open(2) would need a mode.
  if ((flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE)
    throw out_of_range(info.Env(), "flags", "without O_CREAT and O_TMPFILE");
  return start(info.Env(),
               [path = std::move(path), flags](DeviceNode& node) { return open_node(node.fd, path, flags); });
}

Napi::Value Handle::status(const Napi::CallbackInfo& info) {
  return start(info.Env(), [](DeviceNode& node) { return node_status(node.fd.get()); });
}

Napi::Value Handle::sg_io(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Napi::Object request = to_object(info[0], "request");
  const auto cdb = to_bytes(request.Get("cdb"), "request.cdb");
  if (cdb.size() < kCdbBytesMin || cdb.size() > kCdbBytesMax)
    throw out_of_range(env, "request.cdb", "6 to 32 bytes long");
  SgCommand command{
      .cdb = {cdb.begin(), cdb.end()}, .direction = Direction::kNone, .data = {}, .timeout_ms = 0};
  constexpr Direction kDirections[] = {Direction::kNone, Direction::kFromDevice, Direction::kToDevice};
  command.direction = kDirections[to_choice(request.Get("direction"), "request.direction",
                                            {"none", "from-device", "to-device"})];
  command.timeout_ms = static_cast<std::uint32_t>(
      to_integer(request.Get("timeoutMs"), "request.timeoutMs", 1, std::numeric_limits<std::int32_t>::max()));
  const Napi::Value data = request.Get("data");
  if (command.direction == Direction::kNone) {
    if (!data.IsNull()) throw wrong_type(env, "request.data", "null with direction 'none'");
    return start(env, [command = std::move(command)](DeviceNode& node) {
      return blkint::sg_io(node.fd.get(), command);
    });
  }
  command.data = to_bytes(data, "request.data");
  if (command.data.size() > std::numeric_limits<std::uint32_t>::max()) {
    throw out_of_range(env, "request.data", "at most FFFFFFFFh bytes long");
  }
  return start(
      env, [command = std::move(command)](DeviceNode& node) { return blkint::sg_io(node.fd.get(), command); },
      {data.As<Napi::Object>()});
}

Napi::Value Handle::read(const Napi::CallbackInfo& info) {
  const auto buffer = to_bytes(info[0], "buffer");
  const auto offset = to_offset(info[1], buffer.size());
  return start(info.Env(),
               [buffer, offset](DeviceNode& node) { return read_at(node.fd.get(), buffer, offset); },
               {info[0].As<Napi::Object>()});
}

Napi::Value Handle::write(const Napi::CallbackInfo& info) {
  const auto buffer = to_bytes(info[0], "buffer");
  const auto offset = to_offset(info[1], buffer.size());
  return start(info.Env(),
               [buffer, offset](DeviceNode& node) { return write_at(node.fd.get(), buffer, offset); },
               {info[0].As<Napi::Object>()});
}

Napi::Value Handle::read_with_pi(const Napi::CallbackInfo& info) {
  const PiTransfer asked(info);
  return start(info.Env(),
               [buffer = asked.buffer, offset = asked.offset, pi = asked.pi](DeviceNode& node) {
                 return node.ring.read(node.fd.get(), buffer, offset, pi);
               },
               {asked.buffer_array, asked.tuples_array});
}

Napi::Value Handle::write_with_pi(const Napi::CallbackInfo& info) {
  const PiTransfer asked(info);
  return start(info.Env(),
               [buffer = asked.buffer, offset = asked.offset, pi = asked.pi](DeviceNode& node) {
                 return node.ring.write(node.fd.get(), buffer, offset, pi);
               },
               {asked.buffer_array, asked.tuples_array});
}

Napi::Value Handle::lbmd_capability(const Napi::CallbackInfo& info) {
  return start(info.Env(), [](DeviceNode& node) { return blkint::lbmd_capability(node.fd.get()); });
}

Napi::Value Handle::lock_exclusive(const Napi::CallbackInfo& info) {
  return start(info.Env(), [](DeviceNode& node) { return blkint::lock_exclusive(node.fd.get()); });
}

Napi::Value Handle::flush(const Napi::CallbackInfo& info) {
  return start(info.Env(), [](DeviceNode& node) { return blkint::flush(node.fd.get()); });
}

Napi::Value Handle::close(const Napi::CallbackInfo& info) {
  if (!closed_.IsEmpty()) return closed_.Value();
  auto call = std::make_unique<CloseCall>(info.Env());
  const Napi::Promise promise = call->deferred.Promise();
  closed_ = Napi::Persistent(promise.As<Napi::Object>());
  keep(std::move(call));
  executor_->stop([answered = answered_] { answered.NonBlockingCall(); });
  return promise;
}

}  // namespace blkint::addon
