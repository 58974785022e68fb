#include "addon/tuples.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include "addon/convert.h"
#include "addon/works.h"
#include "core/guard_kernels.h"
#include "core/tuples.h"

namespace blkint::addon {
Guard to_guard(const Napi::Object& job) {
  return static_cast<Guard>(to_integer(job.Get("guard"), "guard", 0, kGuards - 1));
}

std::vector<Check> to_checks(const Napi::Object& job) {
  const auto numbers = to_bytes(job.Get("checks"), "checks");
  std::vector<Check> checks;
  for (const std::uint8_t number : numbers) {
    const Check check{number};
    if (number >= kChecks || std::ranges::find(checks, check) != checks.end())
      throw out_of_range(job.Env(), "checks", "of 0, 1 and 2, each at most once");
    checks.push_back(check);
  }
  return checks;
}

namespace {

std::uint64_t guard_of(Guard guard, std::uint64_t before, std::span<const std::uint8_t> data) noexcept {
  std::uint64_t made = 0;
  compute_guards(guard, before, {.at = data.data(), .stride = 0, .bytes = data.size(), .count = 1}, &made);
  return made;
}

Napi::Value crc16(const Napi::CallbackInfo& info) {
  const auto seed = to_unsigned<std::uint16_t>(info[0], "seed");
  const std::uint64_t crc = guard_of(Guard::kCrc16T10Dif, seed, to_bytes(info[1], "data"));
  return Napi::Number::New(info.Env(), static_cast<double>(crc));
}

Napi::Value ip(const Napi::CallbackInfo& info) {
  const std::uint64_t checksum =
      guard_of(Guard::kIpChecksum, guard_of_nothing(Guard::kIpChecksum), to_bytes(info[0], "data"));
  return Napi::Number::New(info.Env(), static_cast<double>(checksum));
}

Napi::Value crc64(const Napi::CallbackInfo& info) {
  const std::uint64_t seed = to_bigint(info[0], "seed", std::numeric_limits<std::uint64_t>::max());
  return Napi::BigInt::New(info.Env(), guard_of(Guard::kCrc64Nvme, seed, to_bytes(info[1], "data")));
}

std::size_t size_property(const Napi::Object& job, const char* name) {
  return static_cast<std::size_t>(to_integer(job.Get(name), name, 0, kSafeIntegerMax));
}

TupleLayout to_layout(const Napi::Object& job) {
  const Guard guard = to_guard(job);
  return {.interval = size_property(job, "interval"),
          .intervals = size_property(job, "intervals"),
          .data_stride = size_property(job, "dataStride"),
          .metadata_start = size_property(job, "metadataStart"),
          .metadata_stride = size_property(job, "metadataStride"),
          .pi_offset = size_property(job, "piOffset"),
          .guard = guard,
          .seed = static_cast<std::uint64_t>(
              to_integer(job.Get("seed"), "seed", 0, static_cast<std::int64_t>(ref_escape(guard))))};
}

// Copied: a property that is read later may be a getter, which could transfer the array away.
std::vector<AppTagRange> to_app_tag_ranges(const Napi::Object& job) {
  constexpr std::size_t kNumbers = 3;
  const Napi::Value value = job.Get("appTags");
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint32_array)
    throw wrong_type(job.Env(), "appTags", "a Uint32Array");
  const auto words = value.As<Napi::Uint32Array>();
  if (words.ElementLength() % kNumbers != 0)
    throw out_of_range(job.Env(), "appTags", "three numbers a range");
  std::vector<AppTagRange> ranges;
  std::uint64_t end = 0;
  for (std::size_t at = 0; at < words.ElementLength(); at += kNumbers) {
    const AppTagRange range{
        .first = words[at], .count = words[at + 1], .value = static_cast<std::uint16_t>(words[at + 2])};
    if (range.count == 0 || range.first < end || words[at + 2] > UINT16_MAX) {
      throw out_of_range(job.Env(), "appTags", "ranges in rising order and apart, with tags up to 65535");
    }
    ranges.push_back(range);
    end = std::uint64_t{range.first} + range.count;
  }
  return ranges;
}

std::optional<std::uint16_t> to_expected_app_tag(const Napi::Object& job) {
  const std::int64_t app_tag = to_integer(job.Get("appTag"), "appTag", -1, UINT16_MAX);
  return app_tag < 0 ? std::nullopt : std::optional(static_cast<std::uint16_t>(app_tag));
}

template <typename Work>
Napi::Value run_once(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Napi::Object job = to_object(info[0], "job");
  const typename Work::Plan plan(job);
  // The buffers are looked at last: any property may be a getter, which could detach one that was looked at
  // before.
  const Napi::Value data = job.Get("data");
  const Napi::Value metadata = job.Get("metadata");
  const Call call = make_call<Work>(plan.layout, to_bytes(data, "data"), to_bytes(metadata, "metadata"));
  require_fit<Work>(env, call);
  if constexpr (std::is_void_v<decltype(Work::run(plan, call))>) {
    Work::run(plan, call);
    return env.Undefined();
  } else {
    return to_js(env, Work::run(plan, call));
  }
}

}  // namespace

GeneratePlan::GeneratePlan(const Napi::Object& job)
    : layout(to_layout(job)),
      ranges(to_app_tag_ranges(job)),
      rule{
          .count_ref = to_choice(job.Get("refTag"), "refTag", {"count", "zero"}) == 0,
          .app_tags = {.ranges = ranges, .others = to_unsigned<std::uint16_t>(job.Get("appTag"), "appTag")}} {
}

VerifyPlan::VerifyPlan(const Napi::Object& job)
    : layout(to_layout(job)),
      ranges(to_app_tag_ranges(job)),
      checks(to_checks(job)),
      rule{.checks = checks,
           .escape_needs_ref = to_choice(job.Get("escape"), "escape", {"app", "app-and-ref"}) == 1,
           .escape_ends = to_choice(job.Get("escapeCovers"), "escapeCovers", {"interval", "rest"}) == 1,
           .app_tags = {.ranges = ranges, .others = to_expected_app_tag(job)},
           .app_tag_mask = to_unsigned<std::uint16_t>(job.Get("appTagMask"), "appTagMask"),
           .findings_max = size_property(job, "findingsMax")} {}

Napi::Value to_js(Napi::Env env, const VerifyResult& verified) {
  constexpr std::size_t kNumbers = 5;
  auto findings = Napi::BigUint64Array::New(env, verified.findings.size() * kNumbers);
  std::uint64_t* at = findings.Data();
  for (const Finding& finding : verified.findings) {
    at = std::ranges::copy(
             std::array<std::uint64_t, kNumbers>{finding.interval, static_cast<std::uint64_t>(finding.check),
                                                 finding.stored, finding.computed, finding.differs},
             at)
             .out;
  }
  Napi::Object result = Napi::Object::New(env);
  result.Set("checked", static_cast<double>(verified.checked));
  result.Set("escaped", static_cast<double>(verified.escaped));
  result.Set("bad", static_cast<double>(verified.bad));
  Napi::Array bad_by_check = Napi::Array::New(env, kChecks);
  for (std::uint32_t check = 0; check < kChecks; ++check)
    bad_by_check.Set(check, static_cast<double>(verified.bad_by_check[check]));
  result.Set("badByCheck", bad_by_check);
  result.Set("findings", findings);
  return result;
}

void export_tuples(Napi::Env env, Napi::Object exports) {
  exports.Set("crc16T10Dif", Napi::Function::New<crc16>(env, "crc16T10Dif"));
  exports.Set("crc64Nvme", Napi::Function::New<crc64>(env, "crc64Nvme"));
  exports.Set("ipChecksum", Napi::Function::New<ip>(env, "ipChecksum"));
  exports.Set("generate", Napi::Function::New<run_once<Generate>>(env, "generate"));
  exports.Set("verify", Napi::Function::New<run_once<Verify>>(env, "verify"));
  exports.Set("insert", Napi::Function::New<run_once<Insert>>(env, "insert"));
  exports.Set("strip", Napi::Function::New<run_once<Strip>>(env, "strip"));
}

}  // namespace blkint::addon
