// The value syntax of flags and environment variables: what a Go program accepts for booleans,
// integers and durations, and how it prints durations and quoted strings, since etcd's users and
// error texts depend on both. Pure functions, safe from any thread. A failed parse returns kInvalid
// with the text that etcd shows for it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "host/base/status.h"

namespace mortise::config {

// 1 t T TRUE true True 0 f F FALSE false False; anything else is "parse error".
Result<bool> parse_bool(std::string_view text);

// Base 10, or 0x / 0o / 0b / leading 0, with '_' between digits or after a prefix. "parse error" or
// "value out of range". `bits` is 32 or 64.
Result<int64_t> parse_int(std::string_view text, int bits = 64);
Result<uint64_t> parse_uint(std::string_view text, int bits = 64);

// 1h2m3.5s, 300ms, 1us, 1µs, -5s, 0. The error says what is wrong with the duration.
Result<std::chrono::nanoseconds> parse_duration(std::string_view text);

// 1m0s, 300ms, 1.5µs, 0s.
std::string format_duration(std::chrono::nanoseconds value);

// In double quotes, with escapes for quotes, backslashes and control bytes.
std::string quote(std::string_view text);

// Always at least one element: an empty text gives one empty string.
std::vector<std::string> split(std::string_view text, char separator);
std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::string_view trim(std::string_view text);

}  // namespace mortise::config
