// What bench/performance.js measures beside what it does itself: the core without JavaScript, and its peers.
// ISA-L is looked for when this is loaded, so nothing of it is needed to build.
#include <dlfcn.h>
#include <napi.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "core/guard_kernels.h"
#include "core/insert_strip.h"
#include "core/tuples.h"

namespace {

using blkint::Guard;

// Intervals and their tuples, as in TupleLayout; the tuples' reference tags count from 0 and all application
// tags are 0.
struct Blocks {
  std::uint8_t* data;
  std::size_t data_stride;
  std::uint8_t* tuples;
  std::size_t tuple_stride;
  std::size_t interval;
  std::size_t count;
  Guard guard;

  std::uint8_t* interval_at(std::size_t i) const { return data + i * data_stride; }
  std::uint8_t* tuple_at(std::size_t i) const { return tuples + i * tuple_stride; }
};

// So that no loop is left out: its result goes here.
volatile std::uint64_t sink;

// ---- ISA-L

using IsalCrc16 = std::uint16_t (*)(std::uint16_t seed, const std::uint8_t* from, std::uint64_t bytes);
using IsalCrc16Copy = std::uint16_t (*)(std::uint16_t seed, std::uint8_t* to, std::uint8_t* from,
                                        std::uint64_t bytes);
using IsalCrc64 = std::uint64_t (*)(std::uint64_t seed, const std::uint8_t* from, std::uint64_t bytes);

template <typename Function>
Function isal(const char* name) {
  static void* const library = dlopen("libisal.so.2", RTLD_NOW);
  return library == nullptr ? nullptr : reinterpret_cast<Function>(dlsym(library, name));
}

const auto isal_crc16 = isal<IsalCrc16>("crc16_t10dif");
// Those that it would choose on other CPUs: with tables, and with PCLMULQDQ.
const auto isal_crc16_plain = isal<IsalCrc16>("crc16_t10dif_base");
const auto isal_crc16_pclmul = isal<IsalCrc16>("crc16_t10dif_01");
const auto isal_crc16_copy = isal<IsalCrc16Copy>("crc16_t10dif_copy");
// NVMe's polynomial came with 2.31; the kernels of the others are the same with other constants.
const auto isal_crc64 = isal<IsalCrc64>("crc64_rocksoft_refl") ? isal<IsalCrc64>("crc64_rocksoft_refl")
                                                               : isal<IsalCrc64>("crc64_jones_refl");

std::uint64_t tuple_of(std::uint16_t guard, std::size_t i) {
  return __builtin_bswap64(std::uint64_t{guard} << 48 | static_cast<std::uint32_t>(i));
}

void isal_generate(const Blocks& blocks) {
  for (std::size_t i = 0; i < blocks.count; ++i) {
    const std::uint64_t tuple = tuple_of(isal_crc16(0, blocks.interval_at(i), blocks.interval), i);
    std::memcpy(blocks.tuple_at(i), &tuple, sizeof tuple);
  }
}

// As SPDK's dif does it, a block at a time: escape, guard, reference tag.
bool is_bad(const std::uint8_t* at, std::uint16_t guard, std::size_t i) {
  std::uint16_t stored_guard;
  std::uint16_t app;
  std::uint32_t ref;
  std::memcpy(&stored_guard, at, 2);
  std::memcpy(&app, at + 2, 2);
  std::memcpy(&ref, at + 4, 4);
  if (app == 0xffff) return false;
  return __builtin_bswap16(stored_guard) != guard || __builtin_bswap32(ref) != static_cast<std::uint32_t>(i);
}

void isal_verify(const Blocks& blocks) {
  std::uint64_t bad = 0;
  for (std::size_t i = 0; i < blocks.count; ++i)
    bad += is_bad(blocks.tuple_at(i), isal_crc16(0, blocks.interval_at(i), blocks.interval), i);
  sink = bad;
}

// Of insert and strip the tuples lie in the blocks, behind the intervals' copies.
std::uint8_t* copy_at(const Blocks& blocks, std::size_t i) { return blocks.tuple_at(i) - blocks.interval; }

void isal_insert(const Blocks& blocks) {
  for (std::size_t i = 0; i < blocks.count; ++i) {
    const std::uint16_t guard =
        isal_crc16_copy(0, copy_at(blocks, i), blocks.interval_at(i), blocks.interval);
    const std::uint64_t tuple = tuple_of(guard, i);
    std::memcpy(blocks.tuple_at(i), &tuple, sizeof tuple);
  }
}

void isal_strip(const Blocks& blocks) {
  std::uint64_t bad = 0;
  for (std::size_t i = 0; i < blocks.count; ++i) {
    const std::uint16_t guard =
        isal_crc16_copy(0, blocks.interval_at(i), copy_at(blocks, i), blocks.interval);
    bad += is_bad(blocks.tuple_at(i), guard, i);
  }
  sink = bad;
}

template <auto& crc>
void isal_crcs(const Blocks& blocks) {
  std::uint64_t all = 0;
  for (std::size_t i = 0; i < blocks.count; ++i) all ^= crc(0, blocks.interval_at(i), blocks.interval);
  sink = all;
}

// ---- What the machine can do

#ifdef __x86_64__
#define EVERY_VECTOR __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define EVERY_VECTOR
#endif

// A plain sum of words in ones' complement, which the compiler turns into vectors.
EVERY_VECTOR std::uint64_t sum_of(const std::uint8_t* from, std::size_t bytes) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < bytes; i += sizeof(std::uint32_t)) {
    std::uint32_t word;
    std::memcpy(&word, from + i, sizeof word);
    sum += word;
  }
  return sum;
}

void plain_sums(const Blocks& blocks) {
  std::uint64_t all = 0;
  for (std::size_t i = 0; i < blocks.count; ++i) {
    std::uint64_t sum = sum_of(blocks.interval_at(i), blocks.interval);
    while (sum > 0xffff) sum = (sum >> 16) + (sum & 0xffff);
    all ^= sum;
  }
  sink = all;
}

// Four vectors at a time; nothing else happens to what is read.
template <typename Vector>
[[gnu::always_inline]] inline std::uint64_t read_by(const std::uint8_t* from, std::size_t bytes) {
  Vector all[4]{};
  for (std::size_t i = 0; i + sizeof all <= bytes; i += sizeof all) {
    for (std::size_t k = 0; k < 4; ++k) {
      Vector vector;
      std::memcpy(&vector, from + i + k * sizeof vector, sizeof vector);
      all[k] ^= vector;
    }
  }
  const Vector one = all[0] ^ all[1] ^ all[2] ^ all[3];
  std::uint64_t result = 0;
  for (std::size_t k = 0; k < sizeof one / sizeof result; ++k) result ^= one[k];
  return result;
}

#ifdef __x86_64__
__attribute__((target("avx512f"))) std::uint64_t read_avx512(const std::uint8_t* from, std::size_t bytes) {
  return read_by<std::uint64_t __attribute__((vector_size(64)))>(from, bytes);
}

__attribute__((target("avx2"))) std::uint64_t read_avx2(const std::uint8_t* from, std::size_t bytes) {
  return read_by<std::uint64_t __attribute__((vector_size(32)))>(from, bytes);
}
#endif

void read_memory(const Blocks& blocks) {
  const std::size_t bytes = blocks.count * blocks.data_stride;
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx512f")) {
    sink = read_avx512(blocks.data, bytes);
    return;
  }
  if (__builtin_cpu_supports("avx2")) {
    sink = read_avx2(blocks.data, bytes);
    return;
  }
#endif
  sink = read_by<std::uint64_t __attribute__((vector_size(16)))>(blocks.data, bytes);
}

// ---- The core

void core_guards(const Blocks& blocks) {
  static std::vector<std::uint64_t> guards;
  guards.resize(blocks.count);
  blkint::compute_guards(
      blocks.guard, blkint::guard_of_nothing(blocks.guard),
      {.at = blocks.data, .stride = blocks.data_stride, .bytes = blocks.interval, .count = blocks.count},
      guards.data());
  sink = guards[0];
}

blkint::TupleLayout layout_of(const Blocks& blocks) {
  return {.interval = blocks.interval,
          .intervals = blocks.count,
          .data_stride = blocks.data_stride,
          .metadata_start = blocks.tuple_stride > blocks.interval ? blocks.interval : 0,
          .metadata_stride = blocks.tuple_stride,
          .pi_offset = 0,
          .guard = blocks.guard,
          .seed = 0,
          .from_memory = blocks.count * blocks.data_stride > blkint::kCachesHold};
}

std::span<std::uint8_t> data_of(const Blocks& blocks) {
  return {blocks.data, blocks.count * blocks.data_stride};
}

std::span<std::uint8_t> metadata_of(const Blocks& blocks) {
  return {blocks.tuples - layout_of(blocks).metadata_start, blocks.count * blocks.tuple_stride};
}

const blkint::GenerateRule kGenerate{.count_ref = true, .app_tags = {}};

constexpr blkint::Check kChecks[] = {blkint::Check::kRef, blkint::Check::kGuard};
const blkint::VerifyRule kVerify{.checks = kChecks,
                                 .escape_needs_ref = false,
                                 .escape_ends = false,
                                 .app_tags = {},
                                 .app_tag_mask = 0xffff,
                                 .findings_max = 1};

void core_generate(const Blocks& blocks) {
  generate(layout_of(blocks), kGenerate, data_of(blocks), metadata_of(blocks));
}
void core_verify(const Blocks& blocks) {
  sink = verify(layout_of(blocks), kVerify, data_of(blocks), metadata_of(blocks)).bad;
}
void core_insert(const Blocks& blocks) {
  insert(layout_of(blocks), kGenerate, data_of(blocks), metadata_of(blocks));
}
void core_strip(const Blocks& blocks) {
  sink = strip(layout_of(blocks), kVerify, metadata_of(blocks), data_of(blocks)).bad;
}

// ---- The table of them

struct Candidate {
  std::string_view name;
  void (*pass)(const Blocks&);  // Over all blocks, once.
  bool is_here;
};

const Candidate kCandidates[] = {
    {"guards", core_guards, true},
    {"generate", core_generate, true},
    {"verify", core_verify, true},
    {"insert", core_insert, true},
    {"strip", core_strip, true},
    {"isal crc16", isal_crcs<isal_crc16>, isal_crc16 != nullptr},
    {"isal crc16 plain", isal_crcs<isal_crc16_plain>, isal_crc16_plain != nullptr},
    {"isal crc16 pclmul", isal_crcs<isal_crc16_pclmul>, isal_crc16_pclmul != nullptr},
    {"isal crc64", isal_crcs<isal_crc64>, isal_crc64 != nullptr},
    {"isal generate", isal_generate, isal_crc16 != nullptr},
    {"isal verify", isal_verify, isal_crc16 != nullptr},
    {"isal insert", isal_insert, isal_crc16_copy != nullptr},
    {"isal strip", isal_strip, isal_crc16_copy != nullptr},
    {"plain sum", plain_sums, true},
    {"read", read_memory, true},
};

// ISA-L leaves the upper halves of vector registers in use, which halves the speed of 128-bit instructions on
// some CPUs: who comes after it is not to pay for that.
#ifdef __x86_64__
__attribute__((target("avx"))) void clear_upper_halves() {
  if (__builtin_cpu_supports("avx")) __builtin_ia32_vzeroupper();
}
#else
void clear_upper_halves() {}
#endif

const Candidate* candidate(napi_env env, napi_value value) {
  char name[64];
  std::size_t length = 0;
  napi_get_value_string_utf8(env, value, name, sizeof name, &length);
  for (const Candidate& one : kCandidates)
    if (one.name == std::string_view(name, length)) return &one;
  napi_throw_error(env, nullptr, "no such candidate");
  return nullptr;
}

std::span<std::uint8_t> bytes_of(napi_env env, napi_value value) {
  void* start = nullptr;
  std::size_t length = 0;
  napi_get_typedarray_info(env, value, nullptr, &length, &start, nullptr, nullptr);
  return {static_cast<std::uint8_t*>(start), length};
}

double number_of(napi_env env, napi_value value) {
  double number = 0;
  napi_get_value_double(env, value, &number);
  return number;
}

napi_value to_js(napi_env env, double number) {
  napi_value result = nullptr;
  napi_create_double(env, number, &result);
  return result;
}

// (name): whether it is on this machine.
napi_value is_here(napi_env env, napi_callback_info info) {
  std::size_t count = 1;
  napi_value argument = nullptr;
  napi_get_cb_info(env, info, &count, &argument, nullptr, nullptr);
  const Candidate* const one = candidate(env, argument);
  napi_value result = nullptr;
  if (one != nullptr) napi_get_boolean(env, one->is_here, &result);
  return result;
}

// (name, milliseconds, data, tuples, interval, interleaved, guard): gigabytes of data a second. `tuples` are
// separate ones, the same buffer as the data when interleaved, the blocks of insert and strip.
napi_value rate(napi_env env, napi_callback_info info) {
  std::size_t count = 7;
  napi_value arguments[7];
  napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr);
  const Candidate* const one = candidate(env, arguments[0]);
  if (one == nullptr) return nullptr;
  const std::chrono::duration<double, std::milli> at_least(number_of(env, arguments[1]));
  const auto data = bytes_of(env, arguments[2]);
  const auto tuples = bytes_of(env, arguments[3]);
  const auto interval = static_cast<std::size_t>(number_of(env, arguments[4]));
  bool interleaved = false;
  napi_get_value_bool(env, arguments[5], &interleaved);
  const auto guard = static_cast<Guard>(static_cast<int>(number_of(env, arguments[6])));
  const std::size_t tuple = blkint::tuple_bytes(guard);
  const bool in_blocks = tuples.data() != data.data() && tuples.size() > data.size();
  const bool behind = interleaved || in_blocks;
  const std::size_t stride = interleaved ? interval + tuple : interval;
  const Blocks blocks{.data = data.data(),
                      .data_stride = stride,
                      .tuples = tuples.data() + (behind ? interval : 0),
                      .tuple_stride = behind ? interval + tuple : tuple,
                      .interval = interval,
                      .count = data.size() / stride,
                      .guard = guard};
  clear_upper_halves();
  using Clock = std::chrono::steady_clock;
  double passes = 0;
  const auto start = Clock::now();
  auto now = start;
  for (; now - start < at_least || passes == 0; now = Clock::now()) {
    one->pass(blocks);
    ++passes;
  }
  const double nanoseconds = std::chrono::duration<double, std::nano>(now - start).count();
  return to_js(env, passes * static_cast<double>(blocks.count * interval) / nanoseconds);
}

// (data, metadata, seed): takes them as they are usually taken, by node-addon-api, and that is all.
Napi::Value empty(const Napi::CallbackInfo& info) {
  const auto data = info[0].As<Napi::Uint8Array>();
  bool lossless = false;
  const std::uint64_t seed = info[2].As<Napi::BigInt>().Uint64Value(&lossless);
  const bool taken = data.TypedArrayType() == napi_uint8_array && info[1].IsNull() && lossless;
  return Napi::Number::New(info.Env(), taken ? static_cast<double>(data.ByteLength() + seed) : 0);
}

// (name): what the addon computes guards by; this module has a core of its own.
Napi::Value use_guard_kernel(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), blkint::use_guard_kernel(info[0].As<Napi::String>().Utf8Value()));
}

napi_value init(napi_env env, napi_value exports) {
  const auto set = [&](const char* name, napi_callback function) {
    napi_value value = nullptr;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, function, nullptr, &value);
    napi_set_named_property(env, exports, name, value);
  };
  set("isHere", is_here);
  set("rate", rate);
  Napi::Object(env, exports).Set("empty", Napi::Function::New(env, empty, "empty"));
  Napi::Object(env, exports)
      .Set("useGuardKernel", Napi::Function::New(env, use_guard_kernel, "useGuardKernel"));
  return exports;
}

}  // namespace

NAPI_MODULE(NODE_GYP_MODULE_NAME, init)
