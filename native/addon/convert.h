// JavaScript arguments to C++ values, each checked for its type and range. What is wrong is thrown as a
// TypeError or RangeError that names the parameter, with code ERR_INVALID_ARG_TYPE or ERR_OUT_OF_RANGE.
#pragma once

#include <napi.h>

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <span>
#include <string>

namespace blkint::addon {

Napi::Error wrong_type(Napi::Env env, const std::string& name, const std::string& expected);
Napi::Error out_of_range(Napi::Env env, const std::string& name, const std::string& expected);

Napi::Object to_object(Napi::Value value, const std::string& name);
bool to_boolean(Napi::Value value, const std::string& name);
std::string to_string(Napi::Value value, const std::string& name);
// Without null characters, which would end it early in a system call.
std::string to_path(Napi::Value value, const std::string& name);

inline constexpr std::int64_t kSafeIntegerMax = (std::int64_t{1} << 53) - 1;
std::int64_t to_integer(Napi::Value value, const std::string& name, std::int64_t min, std::int64_t max);
template <typename T>
T to_unsigned(Napi::Value value, const std::string& name) {
  static_assert(std::numeric_limits<T>::digits <= 32);
  return static_cast<T>(to_integer(value, name, 0, std::numeric_limits<T>::max()));
}
std::uint64_t to_bigint(Napi::Value value, const std::string& name, std::uint64_t max);

// The bytes of a Uint8Array over a plain ArrayBuffer. One that is shared, resizable or detached is refused:
// its memory can change hands under a system call. Runs no JavaScript of the caller's. Valid until the
// caller's JavaScript runs again, which may transfer the memory away: a call that outlasts that takes a copy.
std::span<std::uint8_t> to_bytes(Napi::Value value, const std::string& name);

// The index of `value` in `words`.
std::size_t to_choice(Napi::Value value, const std::string& name, std::initializer_list<const char*> words);

}  // namespace blkint::addon
