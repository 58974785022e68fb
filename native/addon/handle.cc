#include "addon/handle.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <limits>
#include <new>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "addon/convert.h"
#include "addon/tuples.h"
#include "core/block_io.h"
#include "core/device_node.h"
#include "core/io_uring.h"
#include "core/lbmd.h"
#include "core/nvme.h"
#include "core/page_buffer.h"
#include "core/priority.h"
#include "core/read_verify.h"
#include "core/sg_io.h"

namespace blkint::addon {

// What one thread of a handle works on.
struct Lane {
  std::shared_ptr<DeviceNode> node;
  std::size_t thread;
  PiRing ring;
  ReadMemory data;  // Of what is judged here and goes no further.
  ReadMemory tuples;

  [[nodiscard]] int fd() const { return node->descriptor_of(thread); }
};

// One call under way, made and destroyed on the JavaScript thread.
class Call {
 public:
  explicit Call(Napi::Env env) : deferred(Napi::Promise::Deferred::New(env)) {}
  virtual ~Call() = default;
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  virtual Napi::Value answer(Napi::Env env) = 0;

  const Napi::Promise::Deferred deferred;
};

// Where the caller wants the bytes that a call brings. The kernel only ever works on a PageBuffer of ours: a
// reference to an array keeps it from the garbage collector, but not its memory from being transferred away.
struct Destination {
  Napi::Object array;
  std::span<const std::uint8_t> bytes;
};

namespace {

constexpr std::size_t kQueueMin = 64;
constexpr std::size_t kThreadsMax = 128;
constexpr std::size_t kRunMax = 1024;

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
  result.Set("overrun", answer.overrun);
  return result;
}

// Null where not all came. Of bad intervals their numbers alone: what is bad is read again.
Napi::Value to_js(Napi::Env env, const std::optional<VerifyResult>& verified) {
  if (!verified) return env.Null();
  auto bad_intervals = Napi::Uint32Array::New(env, verified->findings.size());
  std::ranges::transform(verified->findings, bad_intervals.Data(), &Finding::interval);
  Napi::Object result = Napi::Object::New(env);
  result.Set("checked", static_cast<double>(verified->checked));
  result.Set("escaped", static_cast<double>(verified->escaped));
  result.Set("bad", static_cast<double>(verified->bad));
  result.Set("badIntervals", bad_intervals);
  return result;
}

Napi::Value to_js(Napi::Env env, const SgVerifyAnswer& answer) {
  auto result = to_js(env, answer.sg).As<Napi::Object>();
  result.Set("errno", answer.error);
  result.Set("verified", to_js(env, answer.verified));
  result.Set("reads", static_cast<double>(answer.reads));
  result.Set("clean", answer.clean);
  return result;
}

Napi::Value to_js(Napi::Env env, const PiVerifyAnswer& answer) {
  auto result = to_js(env, Transfer{.error = answer.error, .bytes = answer.bytes}).As<Napi::Object>();
  result.Set("verified", to_js(env, answer.verified));
  result.Set("reads", static_cast<double>(answer.reads));
  result.Set("clean", answer.clean);
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

Napi::Value to_js(Napi::Env env, const NvmeAnswer& answer) {
  Napi::Object result = with_errno(env, answer.error);
  result.Set("status", answer.status);
  return result;
}

Napi::Value to_js(Napi::Env env, const NvmeIdentifyAnswer& answer) {
  auto data = Napi::Uint8Array::New(env, answer.data.size());
  std::ranges::copy(answer.data, data.Data());
  Napi::Object result = with_errno(env, answer.error);
  result.Set("status", answer.status);
  result.Set("nsid", answer.nsid);
  result.Set("data", data);
  return result;
}

// The destinations of one call until it is answered.
class Destinations {
 public:
  explicit Destinations(std::initializer_list<Destination> destinations) {
    for (const auto& [array, bytes] : destinations) pending_.push_back({Napi::Persistent(array), bytes});
  }

  // All or none: false when the memory of an array is no longer the caller's. A detached array has no length.
  [[nodiscard]] bool deliver() const {
    const auto is_there = [](const Pending& pending) {
      return view_of(pending).ByteLength() == pending.bytes.size();
    };
    if (!std::ranges::all_of(pending_, is_there)) return false;
    for (const Pending& pending : pending_) std::ranges::copy(pending.bytes, view_of(pending).Data());
    return true;
  }

 private:
  struct Pending {
    Napi::ObjectReference array;
    std::span<const std::uint8_t> bytes;
  };
  static Napi::Uint8Array view_of(const Pending& pending) {
    return pending.array.Value().As<Napi::Uint8Array>();
  }

  std::vector<Pending> pending_;
};

// A call whose work answers with one of the structs of core, which all have an `error`.
template <typename Work>
class WorkCall final : public Call {
 public:
  using Answer = std::invoke_result_t<Work&, Lane&>;

  WorkCall(Napi::Env env, Work work, std::initializer_list<Destination> destinations)
      : Call(env), work_(std::move(work)), destinations_(destinations) {}

  // On a thread of the handle.
  void run(Lane& lane, bool cancelled) {
    if (cancelled) return refuse(ECANCELED);
    try {
      answer_ = work_(lane);
      has_run_ = true;
    } catch (const std::bad_alloc&) {  // What is judged here needs memory of its own.
      refuse(ENOMEM);
    }
  }
  void refuse(int error) { answer_.error = error; }
  // What failed may have brought bytes all the same.
  Napi::Value answer(Napi::Env env) override {
    if (has_run_ && !destinations_.deliver()) answer_ = {.error = EFAULT};
    return to_js(env, answer_);
  }

 private:
  Work work_;
  Destinations destinations_;
  bool has_run_ = false;
  Answer answer_{};
};

// close() has no work of its own: its turn comes when the threads have finished.
class CloseCall final : public Call {
 public:
  using Call::Call;
  Napi::Value answer(Napi::Env env) override { return env.Undefined(); }
};

std::uint32_t to_timeout(const Napi::Object& request) {
  return static_cast<std::uint32_t>(
      to_integer(request.Get("timeoutMs"), "request.timeoutMs", 1, std::numeric_limits<std::int32_t>::max()));
}

std::vector<std::uint8_t> to_cdb(Napi::Value value, const std::string& name) {
  const auto cdb = to_bytes(value, name);
  if (cdb.size() < kCdbBytesMin || cdb.size() > kCdbBytesMax)
    throw out_of_range(value.Env(), name, "6 to 32 bytes long");
  return {cdb.begin(), cdb.end()};
}

std::vector<std::vector<std::uint8_t>> to_cdbs(const Napi::Object& request) {
  const Napi::Value value = request.Get("cdbs");
  if (!value.IsArray()) throw wrong_type(request.Env(), "request.cdbs", "an array");
  const auto array = value.As<Napi::Array>();
  const std::size_t count = array.Length();
  if (count == 0 || count > kRunMax)
    throw out_of_range(request.Env(), "request.cdbs", "1 to " + std::to_string(kRunMax) + " commands");
  std::vector<std::vector<std::uint8_t>> cdbs(count);
  for (std::uint32_t i = 0; i < count; ++i)
    cdbs[i] = to_cdb(array.Get(i), "request.cdbs[" + std::to_string(i) + "]");
  return cdbs;
}

std::uint64_t to_offset(Napi::Value value, std::size_t bytes) {
  return to_bigint(value, "offset", static_cast<std::uint64_t>(std::numeric_limits<off_t>::max()) - bytes);
}

// The arguments of readWithPi and writeWithPi, with the caller's bytes copied.
struct PiTransfer {
  static PiTransfer of(const Napi::CallbackInfo& info) {
    const Napi::Object attribute = to_object(info[2], "pi");
    PiAttribute pi{
        .flags = static_cast<std::uint16_t>(to_integer(attribute.Get("flags"), "pi.flags", 0, 7)),
        .app_tag = to_unsigned<std::uint16_t>(attribute.Get("appTag"), "pi.appTag"),
        .seed = to_bigint(attribute.Get("seed"), "pi.seed", std::numeric_limits<std::uint64_t>::max()),
        .tuples = {}};
    const Napi::Value tuples_array = attribute.Get("tuples");
    const auto buffer = to_bytes(info[0], "buffer");
    const auto tuples = to_bytes(tuples_array, "pi.tuples");
    if (buffer.size() > kTransferBytesMax)
      throw out_of_range(info.Env(), "buffer", "at most 7FFFF000h bytes");
    if (tuples.size() > kTransferBytesMax)
      throw out_of_range(info.Env(), "pi.tuples", "at most 7FFFF000h bytes");
    const auto offset = to_offset(info[1], buffer.size());
    PageBuffer own_tuples(tuples);
    pi.tuples = own_tuples.bytes();
    return {.buffer = PageBuffer(buffer),
            .tuples = std::move(own_tuples),
            .offset = offset,
            .pi = pi,
            .tuples_array = tuples_array.As<Napi::Object>()};
  }

  PageBuffer buffer;
  PageBuffer tuples;
  std::uint64_t offset;
  PiAttribute pi;  // Its tuples are those above.
  Napi::Object tuples_array;
};

std::size_t to_reads(Napi::Value value, const char* name) {
  return static_cast<std::size_t>(to_integer(value, name, 1, kRunMax));
}

std::size_t to_length(Napi::Value value, const char* name) {
  return static_cast<std::size_t>(to_integer(value, name, 1, kTransferBytesMax));
}

// `data_bytes` of data and `metadata_bytes` of metadata, or, with none of these, of both interleaved.
ReadRule to_read_rule(const Napi::Object& request, std::size_t data_bytes, std::size_t metadata_bytes) {
  const Napi::Object rule = to_object(request.Get("rule"), "request.rule");
  const auto size = [&](const char* name, std::size_t min) {
    return static_cast<std::size_t>(to_integer(rule.Get(name), std::string("rule.") + name,
                                               static_cast<std::int64_t>(min), kTransferBytesMax));
  };
  const std::size_t interval = size("interval", 1);
  const Guard guard = to_guard(rule);
  const std::size_t metadata = size("metadataSize", tuple_bytes(guard));
  const bool interleaved = metadata_bytes == 0;
  const std::uint64_t seed =
      to_bigint(rule.Get("seed"), "rule.seed", std::numeric_limits<std::uint64_t>::max());
  const std::size_t stride = interleaved ? interval + metadata : interval;
  ReadRule read{.layout = {.interval = interval,
                           .intervals = data_bytes / stride,
                           .data_stride = stride,
                           .metadata_start = interleaved ? interval : 0,
                           .metadata_stride = interleaved ? stride : metadata,
                           .pi_offset = size("piOffset", 0),
                           .guard = guard,
                           .seed = seed & ref_escape(guard)},
                .checks = to_checks(rule),
                .escape_needs_ref = to_choice(rule.Get("escape"), "rule.escape", {"app", "app-and-ref"}) == 1,
                .findings_max = size("findingsMax", 0)};
  const char* name = misfit(read.layout, data_bytes, interleaved ? data_bytes : metadata_bytes);
  if (name != nullptr || data_bytes % stride != 0) {
    throw out_of_range(request.Env(), "request.rule",
                       "such that the bytes are whole intervals with their tuples");
  }
  return read;
}

}  // namespace

Napi::Function Handle::define(Napi::Env env) {
  return DefineClass(
      env, "Handle",
      {InstanceMethod<&Handle::open>("open"), InstanceMethod<&Handle::status>("status"),
       InstanceMethod<&Handle::sg_io>("sgIo"), InstanceMethod<&Handle::bsg_io>("bsgIo"),
       InstanceMethod<&Handle::sg_verify>("sgVerify"), InstanceMethod<&Handle::bsg_verify>("bsgVerify"),
       InstanceMethod<&Handle::verify_with_pi>("verifyWithPi"),
       InstanceMethod<&Handle::read_through>("readThrough"), InstanceMethod<&Handle::read>("read"),
       InstanceMethod<&Handle::write>("write"), InstanceMethod<&Handle::read_with_pi>("readWithPi"),
       InstanceMethod<&Handle::write_with_pi>("writeWithPi"),
       InstanceMethod<&Handle::lbmd_capability>("lbmdCapability"), InstanceMethod<&Handle::nvme_io>("nvmeIo"),
       InstanceMethod<&Handle::nvme_identify>("nvmeIdentify"),
       InstanceMethod<&Handle::lock_exclusive>("lockExclusive"), InstanceMethod<&Handle::flush>("flush"),
       InstanceMethod<&Handle::close>("close")});
}

Handle::Handle(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<Handle>(info), instance_(instance_of(info.Env())) {
  const std::size_t threads =
      info[0].IsUndefined() ? 1 : static_cast<std::size_t>(to_integer(info[0], "threads", 1, kThreadsMax));
  const bool idle = !info[1].IsUndefined() && to_boolean(info[1], "idle");
  // As many calls as there are threads can be begun before the first of these has taken one.
  const std::size_t queue_max = std::max(kQueueMin, threads);
  executor_ = std::make_unique<Executor<Lane>>(
      threads, queue_max, [node = std::make_shared<DeviceNode>(threads), idle](std::size_t thread) {
        if (idle) become_idle();
        return Lane{.node = node, .thread = thread, .ring = {}, .data = {}, .tuples = {}};
      });
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
Napi::Value Handle::start(Napi::Env env, Work work, std::initializer_list<Destination> destinations) {
  auto owned = std::make_unique<WorkCall<Work>>(env, std::move(work), destinations);
  WorkCall<Work>& call = *owned;
  const Napi::Promise promise = call.deferred.Promise();
  const auto refuse = [&](int error) {
    call.refuse(error);
    call.deferred.Resolve(call.answer(env));
    return promise;
  };
  if (!closed_.IsEmpty()) return refuse(EBADF);
  const bool queued = executor_->submit([&call, answered = answered_](Lane& lane, bool cancelled) {
    call.run(lane, cancelled);
    answered.NonBlockingCall(&call);
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
  Call* const key = call.get();
  calls_.emplace(key, std::move(call));
}

void Handle::answer(Napi::Env env, Napi::Function, Handle* handle, Call* answered) {
  if (env == nullptr) return;  // The environment is going, and took the calls with it.
  const std::unique_ptr<Call> call = std::move(handle->calls_.extract(answered).mapped());
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
               [path = std::move(path), flags](Lane& lane) { return lane.node->open(path, flags); });
}

Napi::Value Handle::status(const Napi::CallbackInfo& info) {
  return start(info.Env(), [](Lane& lane) { return node_status(lane.fd()); });
}

Napi::Value Handle::sg_io(const Napi::CallbackInfo& info) { return pass_through(info, blkint::sg_io); }

Napi::Value Handle::bsg_io(const Napi::CallbackInfo& info) { return pass_through(info, blkint::bsg_io); }

Napi::Value Handle::pass_through(const Napi::CallbackInfo& info, SgSend send) {
  const Napi::Env env = info.Env();
  const Napi::Object request = to_object(info[0], "request");
  SgCommand command{.cdb = to_cdb(request.Get("cdb"), "request.cdb"),
                    .direction = Direction::kNone,
                    .data = {},
                    .timeout_ms = 0};
  constexpr Direction kDirections[] = {Direction::kNone, Direction::kFromDevice, Direction::kToDevice};
  command.direction = kDirections[to_choice(request.Get("direction"), "request.direction",
                                            {"none", "from-device", "to-device"})];
  command.timeout_ms = to_timeout(request);
  const Napi::Value data = request.Get("data");
  if (command.direction == Direction::kNone) {
    if (!data.IsNull()) throw wrong_type(env, "request.data", "null with direction 'none'");
    return start(env, [send, command = std::move(command)](Lane& lane) { return send(lane.fd(), command); });
  }
  const auto bytes = to_bytes(data, "request.data");
  if (bytes.size() > std::numeric_limits<std::uint32_t>::max()) {
    throw out_of_range(env, "request.data", "at most FFFFFFFFh bytes long");
  }
  PageBuffer memory(bytes);
  command.data = memory.bytes();
  const Destination destination{data.As<Napi::Object>(), command.data};
  const bool brings = command.direction == Direction::kFromDevice;
  auto work = [send, memory = std::move(memory), command = std::move(command)](Lane& lane) {
    SgAnswer answer = send(lane.fd(), command);
    answer.overrun = !memory.is_intact();
    return answer;
  };
  return brings ? start(env, std::move(work), {destination}) : start(env, std::move(work));
}

Napi::Value Handle::sg_verify(const Napi::CallbackInfo& info) { return verify_through(info, blkint::sg_io); }

Napi::Value Handle::bsg_verify(const Napi::CallbackInfo& info) {
  return verify_through(info, blkint::bsg_io);
}

Napi::Value Handle::verify_through(const Napi::CallbackInfo& info, SgSend send) {
  const Napi::Env env = info.Env();
  const Napi::Object request = to_object(info[0], "request");
  const std::size_t bytes = to_length(request.Get("bytes"), "request.bytes");
  ReadRule rule = to_read_rule(request, bytes, 0);
  const std::uint32_t timeout_ms = to_timeout(request);
  return start(env, [send, bytes, rule = std::move(rule), cdbs = to_cdbs(request), timeout_ms](Lane& lane) {
    return verify_run(cdbs.size(), [&](std::size_t i) {
      const SgCommand command{
          .cdb = cdbs[i], .direction = Direction::kFromDevice, .data = {}, .timeout_ms = timeout_ms};
      return sg_read_verify(lane.fd(), send, command, bytes, rule.behind(i), lane.data);
    });
  });
}

Napi::Value Handle::verify_with_pi(const Napi::CallbackInfo& info) {
  const Napi::Object request = to_object(info[0], "request");
  const std::size_t data_bytes = to_length(request.Get("bytes"), "request.bytes");
  const std::size_t tuple_bytes = to_length(request.Get("tupleBytes"), "request.tupleBytes");
  ReadRule rule = to_read_rule(request, data_bytes, tuple_bytes);
  const std::size_t reads = to_reads(request.Get("reads"), "request.reads");
  const PiRead read{
      .offset = to_offset(request.Get("offset"), reads * data_bytes),
      .data_bytes = data_bytes,
      .tuple_bytes = tuple_bytes,
      .flags = static_cast<std::uint16_t>(to_integer(request.Get("flags"), "request.flags", 0, 7)),
      .seed = to_bigint(request.Get("seed"), "request.seed", std::numeric_limits<std::uint64_t>::max())};
  return start(info.Env(), [read, reads, rule = std::move(rule)](Lane& lane) {
    return verify_run(reads, [&](std::size_t i) {
      return pi_read_verify(lane.fd(), lane.ring, read.behind(i, rule.layout.intervals), rule.behind(i),
                            lane.data, lane.tuples);
    });
  });
}

Napi::Value Handle::read_through(const Napi::CallbackInfo& info) {
  const std::size_t bytes = to_length(info[0], "bytes");
  const std::size_t reads = to_reads(info[2], "reads");
  const auto offset = to_offset(info[1], reads * bytes);
  return start(info.Env(), [bytes, reads, offset](Lane& lane) {
    return blkint::read_through(lane.fd(), offset, bytes, reads, lane.data);
  });
}

Napi::Value Handle::read(const Napi::CallbackInfo& info) {
  const auto buffer = to_bytes(info[0], "buffer");
  const auto offset = to_offset(info[1], buffer.size());
  // The caller's bytes go along: what the read does not touch stays as it was.
  PageBuffer memory(buffer);
  const Destination destination{info[0].As<Napi::Object>(), memory.bytes()};
  return start(
      info.Env(),
      [memory = std::move(memory), offset](Lane& lane) { return read_at(lane.fd(), memory.bytes(), offset); },
      {destination});
}

Napi::Value Handle::write(const Napi::CallbackInfo& info) {
  const auto buffer = to_bytes(info[0], "buffer");
  const auto offset = to_offset(info[1], buffer.size());
  return start(info.Env(), [memory = PageBuffer(buffer), offset](Lane& lane) {
    return write_at(lane.fd(), memory.bytes(), offset);
  });
}

Napi::Value Handle::read_with_pi(const Napi::CallbackInfo& info) {
  PiTransfer asked = PiTransfer::of(info);
  const Destination data{info[0].As<Napi::Object>(), asked.buffer.bytes()};
  const Destination tuples{asked.tuples_array, asked.tuples.bytes()};
  return start(info.Env(),
               [buffer = std::move(asked.buffer), kept = std::move(asked.tuples), offset = asked.offset,
                pi = asked.pi](Lane& lane) { return lane.ring.read(lane.fd(), buffer.bytes(), offset, pi); },
               {data, tuples});
}

Napi::Value Handle::write_with_pi(const Napi::CallbackInfo& info) {
  PiTransfer asked = PiTransfer::of(info);
  return start(info.Env(), [buffer = std::move(asked.buffer), kept = std::move(asked.tuples),
                            offset = asked.offset, pi = asked.pi](Lane& lane) {
    return lane.ring.write(lane.fd(), buffer.bytes(), offset, pi);
  });
}

Napi::Value Handle::lbmd_capability(const Napi::CallbackInfo& info) {
  return start(info.Env(), [](Lane& lane) { return blkint::lbmd_capability(lane.fd()); });
}

Napi::Value Handle::nvme_io(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Napi::Object request = to_object(info[0], "request");
  constexpr NvmeOpcode kOpcodes[] = {NvmeOpcode::kRead, NvmeOpcode::kWrite};
  NvmeTransfer transfer{
      .opcode = kOpcodes[to_choice(request.Get("opcode"), "request.opcode", {"read", "write"})],
      .slba = to_bigint(request.Get("slba"), "request.slba", std::numeric_limits<std::uint64_t>::max()),
      .blocks =
          static_cast<std::uint32_t>(to_integer(request.Get("blocks"), "request.blocks", 1, kNvmeBlocksMax)),
      .data = {},
      .metadata = {},
      .prchk = static_cast<std::uint8_t>(to_integer(request.Get("prchk"), "request.prchk", 0, 7)),
      .ref_tag = to_bigint(request.Get("refTag"), "request.refTag", kNvmeRefTagMax),
      .app_tag = to_unsigned<std::uint16_t>(request.Get("appTag"), "request.appTag"),
      .app_mask = to_unsigned<std::uint16_t>(request.Get("appMask"), "request.appMask"),
      .timeout_ms = to_timeout(request)};
  const Napi::Value data_array = request.Get("data");
  const Napi::Value metadata_array = request.Get("metadata");
  const auto data = to_bytes(data_array, "request.data");
  const auto metadata = to_bytes(metadata_array, "request.metadata");
  if (data.size() > kTransferBytesMax) throw out_of_range(env, "request.data", "at most 7FFFF000h bytes");
  if (metadata.size() > kTransferBytesMax)
    throw out_of_range(env, "request.metadata", "at most 7FFFF000h bytes");
  // Copies, so every page has been written to: Linux 6.12 maps the metadata of a read as if it were only read
  // from, and what lands in a page that nobody has written to is lost.
  PageBuffer own_data(data);
  PageBuffer own_metadata(metadata);
  transfer.data = own_data.bytes();
  transfer.metadata = own_metadata.bytes();
  const Destination data_destination{data_array.As<Napi::Object>(), transfer.data};
  const Destination metadata_destination{metadata_array.As<Napi::Object>(), transfer.metadata};
  auto work = [transfer, kept_data = std::move(own_data), kept_metadata = std::move(own_metadata)](
                  Lane& lane) { return blkint::nvme_io(lane.fd(), transfer); };
  return transfer.opcode == NvmeOpcode::kRead
             ? start(env, std::move(work), {data_destination, metadata_destination})
             : start(env, std::move(work));
}

Napi::Value Handle::nvme_identify(const Napi::CallbackInfo& info) {
  const Napi::Object request = to_object(info[0], "request");
  constexpr NvmeIdentify kStructures[] = {NvmeIdentify::kNamespace, NvmeIdentify::kCommandSetNamespace};
  const NvmeIdentify what =
      kStructures[to_choice(request.Get("structure"), "request.structure", {"namespace", "nvm-namespace"})];
  return start(info.Env(), [what, timeout_ms = to_timeout(request)](Lane& lane) {
    return blkint::nvme_identify(lane.fd(), what, timeout_ms);
  });
}

Napi::Value Handle::lock_exclusive(const Napi::CallbackInfo& info) {
  return start(info.Env(), [](Lane& lane) { return blkint::lock_exclusive(lane.fd()); });
}

Napi::Value Handle::flush(const Napi::CallbackInfo& info) {
  return start(info.Env(), [](Lane& lane) { return blkint::flush(lane.fd()); });
}

Napi::Value Handle::close(const Napi::CallbackInfo& info) {
  if (!closed_.IsEmpty()) return closed_.Value();
  auto owned = std::make_unique<CloseCall>(info.Env());
  Call* const call = owned.get();
  const Napi::Promise promise = call->deferred.Promise();
  closed_ = Napi::Persistent(promise.As<Napi::Object>());
  keep(std::move(owned));
  executor_->stop([call, answered = answered_] { answered.NonBlockingCall(call); });
  return promise;
}

}  // namespace blkint::addon
