// The synchronous functions: guards, and the generation and verification of tuples in memory.
#pragma once

#include <napi.h>

#include <vector>

#include "core/tuples.h"

namespace blkint::addon {

// What a job says beside its buffers, checked. Its rule refers to its other members.
struct GeneratePlan {
  explicit GeneratePlan(const Napi::Object& job);
  GeneratePlan(const GeneratePlan&) = delete;
  GeneratePlan& operator=(const GeneratePlan&) = delete;

  const TupleLayout layout;
  const std::vector<AppTagRange> ranges;
  const GenerateRule rule;
};

struct VerifyPlan {
  explicit VerifyPlan(const Napi::Object& job);
  VerifyPlan(const VerifyPlan&) = delete;
  VerifyPlan& operator=(const VerifyPlan&) = delete;

  const TupleLayout layout;
  const std::vector<AppTagRange> ranges;
  const std::vector<Check> checks;
  const VerifyRule rule;
};

Napi::Value to_js(Napi::Env env, const VerifyResult& verified);

// The guard and the checks that a job names.
Guard to_guard(const Napi::Object& job);
std::vector<Check> to_checks(const Napi::Object& job);

void export_tuples(Napi::Env env, Napi::Object exports);

}  // namespace blkint::addon
