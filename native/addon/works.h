// The four works on intervals in memory: their plan, what does not fit them, and the work itself.
#pragma once

#include <napi.h>

#include <cstdint>
#include <span>

#include "addon/convert.h"
#include "addon/tuples.h"
#include "core/insert_strip.h"
#include "core/tuples.h"

namespace blkint::addon {

// One call: the plan's layout with the number of intervals and the seed of this time.
struct Call {
  TupleLayout layout;
  std::span<std::uint8_t> data;
  std::span<std::uint8_t> metadata;  // Or the blocks, of which the metadata is a part.
};

template <typename Work>
Call make_call(const TupleLayout& layout, std::span<std::uint8_t> data, std::span<std::uint8_t> metadata) {
  Call call{.layout = layout, .data = data, .metadata = metadata};
  // What was copied lies in a cache.
  call.layout.from_memory = !Work::copies && data.size() > kCachesHold;
  return call;
}

struct Generate {
  using Plan = GeneratePlan;
  static constexpr auto misfit = blkint::misfit;
  static constexpr bool copies = false;
  static void run(const Plan& plan, const Call& call) {
    generate(call.layout, plan.rule, call.data, call.metadata);
  }
};

struct Verify {
  using Plan = VerifyPlan;
  static constexpr auto misfit = blkint::misfit;
  static constexpr bool copies = false;
  static VerifyResult run(const Plan& plan, const Call& call) {
    return verify(call.layout, plan.rule, call.data, call.metadata);
  }
};

struct Insert {
  using Plan = GeneratePlan;
  static constexpr auto misfit = misfit_of_blocks;
  static constexpr bool copies = true;
  static void run(const Plan& plan, const Call& call) {
    insert(call.layout, plan.rule, call.data, call.metadata);
  }
};

struct Strip {
  using Plan = VerifyPlan;
  static constexpr auto misfit = misfit_of_blocks;
  static constexpr bool copies = true;
  static VerifyResult run(const Plan& plan, const Call& call) {
    return strip(call.layout, plan.rule, call.metadata, call.data);
  }
};

template <typename Work>
void require_fit(Napi::Env env, const Call& call) {
  if (const char* name = Work::misfit(call.layout, call.data.size(), call.metadata.size())) {
    throw out_of_range(env, name,
                       "such that every interval and every tuple lies inside its buffer and its stride");
  }
  if (Work::copies && call.data.data() < call.metadata.data() + call.metadata.size() &&
      call.metadata.data() < call.data.data() + call.data.size()) {
    throw out_of_range(env, "data", "apart from the blocks");
  }
}

}  // namespace blkint::addon
