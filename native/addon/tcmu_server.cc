#include "addon/tcmu_server.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <string>
#include <utility>

#include "addon/convert.h"
#include "core/executor.h"

namespace blkint::addon {
namespace {

// So that the event loop has its turn while an initiator keeps the ring full.
constexpr std::size_t kEntriesOfOneTurn = 256;

constexpr std::int64_t kMapBytesMax = std::int64_t{1} << 40;

Napi::Array to_js(Napi::Env env, const TcmuBatch& batch) {
  Napi::Array commands = Napi::Array::New(env, batch.commands.size());
  std::uint32_t index = 0;
  for (const TcmuCommand& command : batch.commands) {
    auto cdb = Napi::Uint8Array::New(env, command.cdb.size());
    std::ranges::copy(command.cdb, cdb.Data());
    Napi::Object object = Napi::Object::New(env);
    object.Set("id", command.id);
    object.Set("cdb", cdb);
    object.Set("dataBytes", static_cast<double>(command.data_bytes));
    commands.Set(index++, object);
  }
  return commands;
}

}  // namespace

Napi::Function TcmuServer::define(Napi::Env env) {
  return DefineClass(env, "TcmuServer",
                     {InstanceMethod<&TcmuServer::open>("open"),
                      InstanceMethod<&TcmuServer::data_out>("dataOut"),
                      InstanceMethod<&TcmuServer::complete>("complete"),
                      InstanceMethod<&TcmuServer::kick>("kick"),
                      InstanceMethod<&TcmuServer::close>("close")});
}

TcmuServer::TcmuServer(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<TcmuServer>(info), instance_(instance_of(info.Env())) {}

TcmuServer::~TcmuServer() { end(); }

void TcmuServer::end() {
  if (!node_) return;
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(stop_.get(), &one, sizeof one);
  thread_.join();  // It waits in poll alone, so this takes no time.
  signal_.Abort();  // A signal still on its way must not find this object gone.
  stop_ = Fd();
  node_.reset();
  instance_.running.erase(this);
}

Napi::Value TcmuServer::open(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string path = to_path(info[0], "path");
  const auto bytes = static_cast<std::size_t>(to_integer(info[1], "mapBytes", 1, kMapBytesMax));
  if (!info[2].IsFunction()) throw wrong_type(env, "onCommands", "a function");
  const auto on_commands = info[2].As<Napi::Function>();
  const auto answer = [env](int error) { return Napi::Number::New(env, error); };
  if (node_) return answer(EBUSY);
  auto node = std::make_unique<TcmuNode>();
  if (const Outcome opened = node->open(path, bytes); opened.error != 0) return answer(opened.error);
  Fd stop(::eventfd(0, EFD_CLOEXEC));
  if (!stop.is_open()) return answer(errno);
  // Serving keeps the process alive, and this object too.
  Signal to_js_thread = Signal::New(env, on_commands, "blk-integrity TCMU server", 0, 1, this);
  signalled_ = false;
  signal_ = to_js_thread;
  std::swap(stop_, stop);
  try {
    thread_ = start_without_signals([this, uio = node->fd()] { watch(uio); });
  } catch (...) {
    signal_.Release();
    throw;
  }
  node_ = std::move(node);
  instance_.running.insert(this);
  Ref();
  signal();  // UIO counts events from the open on; there may be commands from before.
  return answer(0);
}

void TcmuServer::signal() {
  if (!signalled_.exchange(true)) signal_.NonBlockingCall();
}

void TcmuServer::watch(int uio) {
  pollfd waits[] = {{.fd = uio, .events = POLLIN, .revents = 0},
                    {.fd = stop_.get(), .events = POLLIN, .revents = 0}};
  for (;;) {
    if (::poll(waits, 2, -1) < 0 && errno != EINTR) return;
    if (waits[1].revents != 0) return;
    if (waits[0].revents == 0) continue;
    std::uint32_t events = 0;
    const bool has_event = ::read(uio, &events, sizeof events) == sizeof events;
    if (!has_event && errno != EAGAIN && errno != EINTR) return;  // The device is gone.
    signal();
  }
}

void TcmuServer::hand_over(Napi::Env env, Napi::Function on_commands, TcmuServer* server, void*) {
  if (env == nullptr || !server->node_) return;
  server->signalled_ = false;
  const TcmuBatch batch = server->node_->ring().take(kEntriesOfOneTurn);
  const std::size_t taken = batch.commands.size() + batch.aborted.size();
  if (taken == 0 && batch.error == 0) return;
  if (batch.error == 0) server->signal();  // There may be more; it costs one look.
  Napi::Array aborted = Napi::Array::New(env, batch.aborted.size());
  std::uint32_t index = 0;
  for (const std::uint16_t id : batch.aborted) aborted.Set(index++, id);
  Napi::Object object = Napi::Object::New(env);
  object.Set("errno", batch.error);
  object.Set("commands", to_js(env, batch));
  object.Set("aborted", aborted);
  on_commands.Call({object});
}

TcmuNode& TcmuServer::node() {
  if (!node_) throw Napi::Error::New(Env(), "the TCMU server is not open");
  return *node_;
}

Napi::Value TcmuServer::data_out(const Napi::CallbackInfo& info) {
  const auto data = node().ring().data_of(to_unsigned<std::uint16_t>(info[0], "id"));
  if (data.error != 0) throw out_of_range(info.Env(), "id", "of a command under way");
  auto array = Napi::Uint8Array::New(info.Env(), data.bytes);
  std::uint8_t* to = array.Data();
  for (const auto piece : data.pieces) to = std::ranges::copy(piece, to).out;
  return array;
}

Napi::Value TcmuServer::complete(const Napi::CallbackInfo& info) {
  TcmuReply reply{.id = to_unsigned<std::uint16_t>(info[0], "id"),
                        .status = static_cast<std::uint8_t>(to_integer(info[1], "status", 0, 255)),
                        .sense = to_bytes(info[2], "sense"),
                        .brings_data = !info[3].IsNull(),
                        .data_in = {}};
  if (reply.brings_data) reply.data_in = to_bytes(info[3], "dataIn");
  return Napi::Number::New(info.Env(), node().ring().complete(reply).error);
}

Napi::Value TcmuServer::kick(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), node().kick().error);
}

Napi::Value TcmuServer::close(const Napi::CallbackInfo& info) {
  if (node_) {
    end();
    Unref();
  }
  return info.Env().Undefined();
}

}  // namespace blkint::addon
