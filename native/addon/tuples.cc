#include "addon/tuples.h"

#include <cstring>

#include "addon/convert.h"
#include "core/crc16_t10dif.h"
#include "core/ip_checksum.h"
#include "core/tuples.h"

namespace blkint::addon {
namespace {

Napi::Value crc16(const Napi::CallbackInfo& info) {
  const auto seed = to_unsigned<std::uint16_t>(info[0], "seed");
  return Napi::Number::New(info.Env(), crc16_t10dif(seed, to_bytes(info[1], "data")));
}

Napi::Value ip(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), ip_checksum(to_bytes(info[0], "data")));
}

std::size_t size_property(const Napi::Object& job, const char* name) {
  return static_cast<std::size_t>(to_integer(job.Get(name), name, 0, kSafeIntegerMax));
}

TupleLayout to_layout(const Napi::Object& job) {
  return {
      .interval = size_property(job, "interval"),
      .intervals = size_property(job, "intervals"),
      .data_stride = size_property(job, "dataStride"),
      .metadata_start = size_property(job, "metadataStart"),
      .metadata_stride = size_property(job, "metadataStride"),
      .pi_offset = size_property(job, "piOffset"),
      .guard = to_integer(job.Get("guard"), "guard", 0, 1) == 0 ? Guard::kCrc16T10Dif : Guard::kIpChecksum,
      .seed = to_unsigned<std::uint32_t>(job.Get("seed"), "seed")};
}

struct Buffers {
  std::span<std::uint8_t> data;
  std::span<std::uint8_t> metadata;
};

// The last of the arguments to be read: a property of a job may be a getter, which could detach a buffer that
// was looked at before.
Buffers to_buffers(const Napi::Object& job, const TupleLayout& layout) {
  const Napi::Value data = job.Get("data");
  const Napi::Value metadata = job.Get("metadata");
  const Buffers buffers{to_bytes(data, "data"), to_bytes(metadata, "metadata")};
  if (const char* name = misfit(layout, buffers.data.size(), buffers.metadata.size())) {
    throw out_of_range(job.Env(), name,
                       "such that every interval and every tuple lies inside its buffer and its stride");
  }
  return buffers;
}

Napi::Value generate_tuples(const Napi::CallbackInfo& info) {
  const Napi::Object job = to_object(info[0], "job");
  const TupleLayout layout = to_layout(job);
  const GenerateRule rule{.count_ref = to_choice(job.Get("refTag"), "refTag", {"count", "zero"}) == 0,
                          .app_tag = to_unsigned<std::uint16_t>(job.Get("appTag"), "appTag")};
  const Buffers buffers = to_buffers(job, layout);
  generate(layout, rule, buffers.data, buffers.metadata);
  return info.Env().Undefined();
}

Napi::Value verify_tuples(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Napi::Object job = to_object(info[0], "job");
  const TupleLayout layout = to_layout(job);
  const std::int64_t app_tag = to_integer(job.Get("appTag"), "appTag", -1, UINT16_MAX);
  const VerifyRule rule{
      .check_ref = to_boolean(job.Get("checkRef"), "checkRef"),
      .escape_needs_ref = to_choice(job.Get("escape"), "escape", {"app", "app-and-ref"}) == 1,
      .app_tag = app_tag < 0 ? std::nullopt : std::optional(static_cast<std::uint16_t>(app_tag)),
      .findings_max = size_property(job, "findingsMax")};
  const Buffers buffers = to_buffers(job, layout);
  const VerifyResult verified = verify(layout, rule, buffers.data, buffers.metadata);

  constexpr std::size_t kNumbers = 4;
  static_assert(sizeof(Finding) == kNumbers * sizeof(std::uint32_t));
  const auto findings = Napi::Uint32Array::New(env, verified.findings.size() * kNumbers);
  if (!verified.findings.empty()) {
    std::memcpy(findings.ArrayBuffer().Data(), verified.findings.data(),
                verified.findings.size() * sizeof(Finding));
  }
  Napi::Object result = Napi::Object::New(env);
  result.Set("escaped", static_cast<double>(verified.escaped));
  result.Set("bad", static_cast<double>(verified.bad));
  result.Set("findings", findings);
  return result;
}

}  // namespace

void export_tuples(Napi::Env env, Napi::Object exports) {
  exports.Set("crc16T10Dif", Napi::Function::New<crc16>(env, "crc16T10Dif"));
  exports.Set("ipChecksum", Napi::Function::New<ip>(env, "ipChecksum"));
  exports.Set("generate", Napi::Function::New<generate_tuples>(env, "generate"));
  exports.Set("verify", Napi::Function::New<verify_tuples>(env, "verify"));
}

}  // namespace blkint::addon
