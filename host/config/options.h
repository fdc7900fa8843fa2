// The one table of options. Flags, environment variables, the configuration file, --help and
// docs/configuration.md are all driven by it. Internal to host/config. Immutable, safe from any
// thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "host/base/status.h"
#include "host/config/url.h"

namespace mortise::config {

enum class Kind : uint8_t {
  kString,
  kBool,
  kInt,
  kUint,
  kUint32,
  kDuration,      // Go syntax on the command line, integer nanoseconds in the file.
  kUrls,          // Comma list; unique and sorted. An empty list keeps the default.
  kOrigins,       // "*" or a comma list of URLs.
  kList,          // Comma list; a sequence in the file.
  kSet,           // Comma list, unique and sorted; a sequence in the file.
  kHostSet,       // Comma list, unique and sorted; a string in the file, too.
  kClusterState,  // new or existing.
  kFallback,      // exit or proxy.
  kV2Stages,
  kGates,    // Name=bool,...
  kOptions,  // Options of a plugin: key=value,... or a JSON object.
  kIgnored,  // A flag of the past: accepted, without effect.
};

enum class Group : uint8_t {
  kMember,
  kClustering,
  kSecurity,
  kAuth,
  kMonitoring,
  kLogging,
  kTracing,
  kTuning,
  kUnsafe,
  kPlugins,
  kOther,
  kIgnored,
  kFileOnly,  // A key of the configuration file without a flag.
};

enum class Support : uint8_t {
  kEffective,
  kNotYet,  // Any value but the default is refused; `note` is the reason.
  // It tunes what this server does not have. Any value is taken; one that is not the default is
  // logged with `note`.
  kNoEffect,
};

struct Option {
  std::string_view name;
  Kind kind;
  std::string_view default_text;
  // Dotted path in the configuration file; empty if it cannot be set there.
  std::string_view yaml;
  Group group;
  Support support;
  std::string_view note;
  std::string_view help;
  // Also read from MORTISE_<NAME>, because the option is ours and not etcd's.
  bool ours = false;
};

std::span<const Option> options();

// Index in options(), or -1.
int find_option(std::string_view name);
int find_option_by_yaml(std::string_view path);

std::string_view group_title(Group group);
bool is_flag(const Option& option);
bool is_boolean_flag(const Option& option);
// ETCD_LISTEN_PEER_URLS for listen-peer-urls.
std::string variable_name(std::string_view prefix, std::string_view option_name);

using StringList = std::vector<std::string>;
using UrlList = std::vector<Url>;
using GateMap = std::map<std::string, bool>;
using Data = std::variant<std::string, bool, int64_t, uint64_t, std::chrono::nanoseconds,
                          StringList, UrlList, GateMap>;

enum class Source : uint8_t { kDefault, kFlag, kEnvironment, kFile };

// The value of every option, in the order of the table. Starts with the defaults.
class Values {
 public:
  Values();

  // Sets from the text of a flag or a variable. The message of an error is what a Go flag value
  // says, such as "parse error"; the caller adds which flag.
  Status set_text(int index, std::string_view text, Source source);
  void set_data(int index, Data data, Source source);
  void mark(int index, Source source) { sources_[static_cast<size_t>(index)] = source; }

  const Data& data(int index) const { return data_[static_cast<size_t>(index)]; }
  Source source(int index) const { return sources_[static_cast<size_t>(index)]; }
  bool is_set(std::string_view name) const;
  bool is_default(int index) const;

  // The name must be in the table and the type must be the one of its kind.
  template <typename T>
  const T& get(std::string_view name) const {
    const T* value = std::get_if<T>(&data(checked_index(name)));
    MORTISE_CHECK(value != nullptr, name);
    return *value;
  }
  const std::string& text(std::string_view name) const { return get<std::string>(name); }
  bool flag(std::string_view name) const { return get<bool>(name); }

 private:
  static int checked_index(std::string_view name);

  std::vector<Data> data_;
  std::vector<Source> sources_;
};

}  // namespace mortise::config
