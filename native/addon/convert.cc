#include "addon/convert.h"

#include <cmath>

#include "addon/addon.h"

namespace blkint::addon {
namespace {

template <typename ErrorClass>
Napi::Error coded(Napi::Env env, const char* code, const std::string& message) {
  ErrorClass error = ErrorClass::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  return error;
}

}  // namespace

Napi::Error wrong_type(Napi::Env env, const std::string& name, const std::string& expected) {
  return coded<Napi::TypeError>(env, "ERR_INVALID_ARG_TYPE", name + " must be " + expected);
}

Napi::Error out_of_range(Napi::Env env, const std::string& name, const std::string& expected) {
  return coded<Napi::RangeError>(env, "ERR_OUT_OF_RANGE", name + " must be " + expected);
}

Napi::Object to_object(Napi::Value value, const std::string& name) {
  if (!value.IsObject()) throw wrong_type(value.Env(), name, "an object");
  return value.As<Napi::Object>();
}

bool to_boolean(Napi::Value value, const std::string& name) {
  if (!value.IsBoolean()) throw wrong_type(value.Env(), name, "a boolean");
  return value.As<Napi::Boolean>();
}

std::string to_string(Napi::Value value, const std::string& name) {
  if (!value.IsString()) throw wrong_type(value.Env(), name, "a string");
  return value.As<Napi::String>();
}

std::string to_path(Napi::Value value, const std::string& name) {
  std::string path = to_string(value, name);
  if (path.find('\0') != std::string::npos)
    throw wrong_type(value.Env(), name, "a string without null characters");
  return path;
}

std::int64_t to_integer(Napi::Value value, const std::string& name, std::int64_t min, std::int64_t max) {
  if (!value.IsNumber()) throw wrong_type(value.Env(), name, "a number");
  const double number = value.As<Napi::Number>();
  // Written so that NaN is refused too.
  if (!(number >= static_cast<double>(min) && number <= static_cast<double>(max) &&
        std::trunc(number) == number)) {
    throw out_of_range(value.Env(), name,
                       "a whole number from " + std::to_string(min) + " to " + std::to_string(max));
  }
  return static_cast<std::int64_t>(number);
}

std::uint64_t to_bigint(Napi::Value value, const std::string& name, std::uint64_t max) {
  if (!value.IsBigInt()) throw wrong_type(value.Env(), name, "a bigint");
  bool lossless = false;
  const std::uint64_t number = value.As<Napi::BigInt>().Uint64Value(&lossless);
  if (!lossless || number > max) throw out_of_range(value.Env(), name, "from 0 to " + std::to_string(max));
  return number;
}

std::span<std::uint8_t> to_bytes(Napi::Value value, const std::string& name) {
  const Napi::Env env = value.Env();
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    throw wrong_type(env, name, "a Uint8Array");
  }
  const Napi::Uint8Array array = value.As<Napi::Uint8Array>();
  const Napi::Value buffer = array.ArrayBuffer();
  if (!buffer.IsArrayBuffer()) throw wrong_type(env, name, "a view of memory that no other thread shares");
  if (buffer.As<Napi::ArrayBuffer>().IsDetached())
    throw wrong_type(env, name, "a view of an ArrayBuffer that is not detached");
  if (instance_of(env).is_resizable.Call(buffer, {}).ToBoolean()) {
    throw wrong_type(env, name, "a view of an ArrayBuffer of fixed size");
  }
  return {const_cast<std::uint8_t*>(array.Data()), array.ByteLength()};
}

std::size_t to_choice(Napi::Value value, const std::string& name, std::initializer_list<const char*> words) {
  const std::string word = to_string(value, name);
  std::string expected;
  std::size_t index = 0;
  for (const char* candidate : words) {
    if (word == candidate) return index;
    expected += (index++ == 0 ? "one of " : ", ") + std::string(candidate);
  }
  throw out_of_range(value.Env(), name, expected);
}

}  // namespace blkint::addon
