// Reads a plugin's options out of the JSON object that the host passes at creation.
//
// A plugin asks for each option it knows and then calls finish(), which reports the first bad
// value, or else an option that nobody asked for, by name. Options that come from a command line
// arrive as strings, so numbers and booleans are taken as strings too. One thread. Include this in
// a .cc file only: it is heavy.
#pragma once

#include <charconv>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>

#include "mortise/sdk/status.h"

namespace mortise::sdk {

// "4096", "64MB", "1GiB", "512 k": units are powers of 1024 with or without the i. False if
// malformed.
inline bool parse_size(std::string_view text, uint64_t& out) noexcept {
  uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, ec] = std::from_chars(text.data(), end, number);
  if (ec != std::errc() || rest == text.data()) return false;
  std::string_view unit(rest, static_cast<size_t>(end - rest));
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  int shift = 0;
  if (!unit.empty() && unit != "B" && unit != "b") {
    switch (unit.front()) {
      case 'k':
      case 'K': shift = 10; break;
      case 'm':
      case 'M': shift = 20; break;
      case 'g':
      case 'G': shift = 30; break;
      case 't':
      case 'T': shift = 40; break;
      default: return false;
    }
    unit.remove_prefix(1);
    if (!unit.empty() && unit != "B" && unit != "b" && unit != "iB" && unit != "ib") return false;
  }
  if (number > (std::numeric_limits<uint64_t>::max() >> shift)) return false;
  out = number << shift;
  return true;
}

class Config {
 public:
  // Empty text is the empty object.
  Status parse(std::string_view text) {
    object_ = nlohmann::json::object();
    if (text.empty()) return Status();
    object_ = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (object_.is_object()) return Status();
    object_ = nlohmann::json::object();
    return invalid("the plugin's configuration is not a JSON object");
  }

  uint64_t get_u64(const char* name, uint64_t default_value, uint64_t min = 0,
                   uint64_t max = std::numeric_limits<uint64_t>::max()) {
    return number(name, default_value, min, max, /*units=*/false);
  }
  // As get_u64, and strings with a unit.
  uint64_t get_size(const char* name, uint64_t default_value, uint64_t min = 0,
                    uint64_t max = std::numeric_limits<uint64_t>::max()) {
    return number(name, default_value, min, max, /*units=*/true);
  }
  std::string get_string(const char* name, std::string default_value) {
    const nlohmann::json* value = find(name);
    if (value == nullptr) return default_value;
    if (value->is_string()) return value->get<std::string>();
    fail(name, "is not a string");
    return default_value;
  }
  bool get_bool(const char* name, bool default_value) {
    const nlohmann::json* value = find(name);
    if (value == nullptr) return default_value;
    if (value->is_boolean()) return value->get<bool>();
    if (value->is_string()) {
      const auto& text = value->get_ref<const std::string&>();
      if (text == "true") return true;
      if (text == "false") return false;
    }
    fail(name, "is neither true nor false");
    return default_value;
  }
  bool has(const char* name) const { return object_.contains(name); }

  // Lets the plugin report a value that it cannot use, in the same form.
  void fail(const char* name, const std::string& why) {
    if (error_.empty()) error_ = std::string("option \"") + name + "\" " + why;
  }

  // The first bad option, or an unknown one; else ok.
  Status finish() const {
    if (!error_.empty()) return invalid(error_);
    for (const auto& item : object_.items()) {
      if (!asked_.contains(item.key())) return invalid("unknown option \"" + item.key() + "\"");
    }
    return Status();
  }

 private:
  const nlohmann::json* find(const char* name) {
    asked_.insert(name);
    const auto it = object_.find(name);
    return it == object_.end() ? nullptr : &*it;
  }
  uint64_t number(const char* name, uint64_t default_value, uint64_t min, uint64_t max,
                  bool units) {
    const nlohmann::json* value = find(name);
    if (value == nullptr) return default_value;
    uint64_t out = 0;
    bool good = false;
    if (value->is_number_unsigned()) {
      out = value->get<uint64_t>();
      good = true;
    } else if (value->is_string()) {
      const auto& text = value->get_ref<const std::string&>();
      const bool digits = text.find_first_not_of("0123456789") == std::string::npos;
      good = (units || digits) && parse_size(text, out);
    }
    if (!good) {
      fail(name, units ? "is not a size such as 67108864 or \"64MB\"" : "is not a whole number");
      return default_value;
    }
    if (out < min || out > max) {
      fail(name, "is " + std::to_string(out) + ", allowed are " + std::to_string(min) + " to " +
                     std::to_string(max));
      return default_value;
    }
    return out;
  }

  nlohmann::json object_ = nlohmann::json::object();
  std::set<std::string, std::less<>> asked_;
  std::string error_;
};

}  // namespace mortise::sdk
