#include "host/config/config_file.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>

#include "host/config/feature_gates.h"
#include "host/config/go_syntax.h"
#include "host/config/plugin_options.h"

namespace mortise::config {
namespace {

bool is_quoted(const YAML::Node& node) { return node.Tag() == "!"; }

Status wrong_type(const std::string& key, const YAML::Node& node, std::string_view wanted) {
  std::string found = node.IsMap() ? "a map" : node.IsSequence() ? "a list" : quote(node.Scalar());
  return invalid("configuration file, line " + std::to_string(node.Mark().line + 1) + ": " + key +
                 ": expected " + std::string(wanted) + ", found " + found);
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

std::optional<bool> plain_bool(const YAML::Node& node) {
  const std::string word = node.IsScalar() && !is_quoted(node) ? lower(node.Scalar()) : "";
  for (const std::string_view yes : {"true", "yes", "on", "y"}) {
    if (word == yes) return true;
  }
  for (const std::string_view no : {"false", "no", "off", "n"}) {
    if (word == no) return false;
  }
  return std::nullopt;
}

// Decimal numbers with a point or an exponent; not hexadecimal ones, nor "inf" and "nan".
std::optional<double> plain_float(const YAML::Node& node) {
  if (!node.IsScalar() || is_quoted(node)) return std::nullopt;
  const std::string& text = node.Scalar();
  if (text.empty() || text.find_first_not_of("+-.0123456789eE") != std::string::npos)
    return std::nullopt;
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (end != text.c_str() + text.size()) return std::nullopt;
  return value;
}

// A plain 5 or true is no string, as in etcd: what it was meant to look like is lost.
Result<std::string> string_of(const std::string& key, const YAML::Node& node) {
  if (!node.IsScalar()) return wrong_type(key, node, "a string");
  const bool plain = !is_quoted(node);
  if (plain && (plain_bool(node) || plain_float(node) || parse_int(node.Scalar()).ok())) {
    return wrong_type(key, node, "a string (in quotes)");
  }
  return node.Scalar();
}

Result<Data> bool_of(const std::string& key, const YAML::Node& node) {
  const auto value = plain_bool(node);
  if (!value) return wrong_type(key, node, "true or false");
  return Data(*value);
}

// 10.0 and 1e3 are integers in JSON's eyes. The bound keeps every value exact.
std::string integer_text(const YAML::Node& node) {
  constexpr double kExact = 9007199254740992.0;
  const auto value = plain_float(node);
  if (!value || node.Scalar().find_first_of(".eE") == std::string::npos) return node.Scalar();
  if (*value != std::floor(*value) || std::fabs(*value) > kExact) return node.Scalar();
  return std::to_string(static_cast<int64_t>(*value));
}

Result<Data> number_of(const Option& option, const std::string& key, const YAML::Node& node) {
  const bool plain = node.IsScalar() && !is_quoted(node);
  const bool is_signed = option.kind != Kind::kUint && option.kind != Kind::kUint32;
  const std::string_view wanted = option.kind == Kind::kDuration ? "an integer of nanoseconds"
                                  : is_signed                    ? "an integer"
                                                                 : "a non-negative integer";
  if (!plain) return wrong_type(key, node, wanted);
  if (!is_signed) {
    const auto value = parse_uint(integer_text(node), option.kind == Kind::kUint32 ? 32 : 64);
    if (!value.ok()) return wrong_type(key, node, wanted);
    return Data(value.value());
  }
  const auto value = parse_int(integer_text(node));
  if (!value.ok()) return wrong_type(key, node, wanted);
  if (option.kind == Kind::kDuration) return Data(std::chrono::nanoseconds(value.value()));
  return Data(value.value());
}

Result<Data> list_of(const Option& option, const std::string& key, const YAML::Node& node) {
  if (option.ours && node.IsScalar()) return Data(split(node.Scalar(), ','));
  if (!node.IsSequence()) return wrong_type(key, node, "a list");
  StringList list;
  for (const YAML::Node& item : node) {
    MORTISE_ASSIGN_OR_RETURN(std::string text, string_of(key, item));
    list.push_back(std::move(text));
  }
  return Data(std::move(list));
}

nlohmann::json json_of(const YAML::Node& node) {
  if (node.IsMap()) {
    nlohmann::json object = nlohmann::json::object();
    for (const auto& entry : node) object[entry.first.Scalar()] = json_of(entry.second);
    return object;
  }
  if (node.IsSequence()) {
    nlohmann::json list = nlohmann::json::array();
    for (const YAML::Node& item : node) list.push_back(json_of(item));
    return list;
  }
  if (node.IsNull()) return nullptr;
  if (is_quoted(node)) return node.Scalar();
  nlohmann::json value = nlohmann::json::parse(node.Scalar(), nullptr, false);
  if (value.is_number() || value.is_boolean()) return value;
  return node.Scalar();
}

Result<std::string> options_of(const std::string& key, const YAML::Node& node) {
  if (node.IsNull()) return std::string("{}");
  if (node.IsMap())
    return json_of(node).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (!node.IsScalar()) return wrong_type(key, node, "a map");
  const auto parsed = parse_plugin_options(node.Scalar());
  if (!parsed.ok()) return invalid(key + ": " + parsed.status().message());
  return parsed.value();
}

bool is_section(const std::string& path) {
  const auto table = options();
  return std::any_of(table.begin(), table.end(),
                     [&](const Option& o) { return o.yaml.starts_with(path + "."); });
}

class FileReader {
 public:
  FileReader(Values& values, FilePlugins& plugins) : values_(values), plugins_(plugins) {}

  FileParse run(const YAML::Node& root) {
    if (root.IsNull() || !root.IsDefined()) return std::move(parse_);
    if (!root.IsMap()) {
      parse_.status = wrong_type("top level", root, "a map");
      return std::move(parse_);
    }
    parse_.status = read_map("", root);
    if (parse_.status.ok()) parse_.status = read_plugins(lookup(root, "plugins"));
    return std::move(parse_);
  }

 private:
  // An undefined node if the key is missing. operator[] of a const node would throw on some types.
  static YAML::Node lookup(const YAML::Node& map, std::string_view key) {
    for (const auto& entry : map) {
      if (entry.first.IsScalar() && entry.first.Scalar() == key) return entry.second;
    }
    return YAML::Node(YAML::NodeType::Undefined);
  }

  // A key with a spelling mistake would leave its option at the default, so it stops the start.
  static Status unknown(const std::string& path, const YAML::Node& key) {
    std::string hint;
    constexpr std::string_view kOldPrefix = "experimental-";
    if (path.starts_with(kOldPrefix)) {
      const std::string now = path.substr(kOldPrefix.size());
      hint = find_option_by_yaml(now) >= 0 ? "; its name is " + quote(now) + " now"
                                           : "; etcd 3.7 has no experimental keys";
    }
    return invalid("configuration file, line " + std::to_string(key.Mark().line + 1) +
                   ": unknown key " + quote(path) + hint);
  }

  // Files that were written for older versions of etcd have them, its own example among these.
  bool is_of_the_past(const std::string& path) {
    for (const std::string_view past :
         {"debug", "discovery", "discovery-fallback", "discovery-proxy", "enable-v2",
          "log-package-levels", "proxy", "proxy-dial-timeout", "proxy-failure-wait",
          "proxy-read-timeout", "proxy-refresh-interval", "proxy-write-timeout"}) {
      if (path != past) continue;
      parse_.logs.push_back({"warn",
                             "a key of etcd's past in the configuration file; it is ignored",
                             {{"key", path}}});
      return true;
    }
    return false;
  }

  // Keys are matched as etcd's JSON decoder does: exactly, else without regard to case.
  Status read_map(const std::string& prefix, const YAML::Node& map) {
    for (const auto& entry : map) {
      if (!entry.first.IsScalar()) {
        return wrong_type(prefix.empty() ? "top level" : prefix, entry.first, "a key");
      }
      const std::string given = prefix + entry.first.Scalar();
      if (given == "plugins") continue;
      const std::string path = find_option_by_yaml(given) >= 0 ? given : lower(given);
      const int index = find_option_by_yaml(path);
      if (index >= 0) {
        MORTISE_RETURN_IF_ERROR(set(index, path, entry.second));
      } else if (!is_section(path)) {
        if (!is_of_the_past(given)) return unknown(given, entry.first);
      } else if (entry.second.IsMap()) {
        MORTISE_RETURN_IF_ERROR(read_map(path + ".", entry.second));
      } else if (!entry.second.IsNull() || path == "peer-transport-security") {
        return invalid("invalid " + path);
      }
      if (!parse_.stderr_text.empty()) return {};
    }
    return {};
  }

  Status set(int index, const std::string& key, const YAML::Node& node) {
    values_.mark(index, Source::kFile);
    if (node.IsNull()) return {};
    const Option& option = options()[static_cast<size_t>(index)];
    Result<Data> data = convert(option, index, key, node);
    if (!parse_.stderr_text.empty()) return {};
    if (!data.ok()) return data.status();
    values_.set_data(index, std::move(data).value(), Source::kFile);
    return {};
  }

  Result<Data> convert(const Option& option, int index, const std::string& key,
                       const YAML::Node& node) {
    switch (option.kind) {
      case Kind::kBool: return bool_of(key, node);
      case Kind::kInt:
      case Kind::kUint:
      case Kind::kUint32:
      case Kind::kDuration: return number_of(option, key, node);
      case Kind::kList:
      case Kind::kSet: return list_of(option, key, node);
      case Kind::kOptions: {
        MORTISE_ASSIGN_OR_RETURN(std::string json, options_of(key, node));
        return Data(std::move(json));
      }
      default: break;
    }
    MORTISE_ASSIGN_OR_RETURN(const std::string text, string_of(key, node));
    if (option.kind == Kind::kString || option.kind == Kind::kV2Stages) return Data(text);
    if (option.kind == Kind::kClusterState) return Data(text.empty() ? "new" : text);
    if (text.empty()) return values_.data(index);
    const Status status = values_.set_text(index, text, Source::kFile);
    if (status.ok()) return values_.data(index);
    if (option.kind == Kind::kUrls) {
      // etcd names the wrong option for advertise-client-urls; scripts may match its text.
      const std::string shown = key == "advertise-client-urls" ? "advertise-peer-urls" : key;
      parse_.stderr_text = "unexpected error setting up " + shown + ": " + status.message() + "\n";
    }
    if (option.kind == Kind::kOrigins) return invalid(key + ": " + status.message());
    return status;
  }

  // A plugin as a plain name, or as a map with `name` or `path` and `options`.
  Result<PluginSpec> spec_of(const std::string& path, const YAML::Node& node,
                             std::string default_name) {
    PluginSpec spec{std::move(default_name), "{}"};
    if (node.IsScalar()) {
      spec.name_or_path = node.Scalar();
    } else if (!node.IsMap()) {
      return wrong_type(path, node, "a name or a map");
    } else {
      bool named = false;
      for (const auto& entry : node) {
        const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : "";
        const std::string inner = path + "." + key;
        if (key == "name" || key == "path") {
          if (named) return invalid(path + ": give either name or path, once");
          named = true;
          MORTISE_ASSIGN_OR_RETURN(spec.name_or_path, string_of(inner, entry.second));
        } else if (key == "options") {
          MORTISE_ASSIGN_OR_RETURN(spec.options_json, options_of(inner, entry.second));
        } else {
          return unknown(inner, entry.first);
        }
      }
    }
    if (spec.name_or_path.empty()) return invalid(path + ": the plugin has no name");
    return spec;
  }

  Status set_once(std::string_view name, Data data) {
    const int index = find_option(name);
    if (values_.source(index) == Source::kFile) {
      return invalid(std::string(name) +
                     " is given twice in the configuration file: by its own key and "
                     "under plugins");
    }
    values_.set_data(index, std::move(data), Source::kFile);
    return {};
  }

  Status read_transports(const YAML::Node& node) {
    if (!node.IsSequence()) return wrong_type("plugins.transports", node, "a list");
    StringList names;
    for (const YAML::Node& item : node) {
      MORTISE_ASSIGN_OR_RETURN(PluginSpec spec, spec_of("plugins.transports", item, ""));
      names.push_back(spec.name_or_path);
      plugins_.transports.push_back(std::move(spec));
    }
    return set_once("transport-plugins", Data(std::move(names)));
  }

  Status read_plugin(const std::string& key, const YAML::Node& node) {
    if (key == "transports") return read_transports(node);
    if (key == "dir") {
      MORTISE_ASSIGN_OR_RETURN(std::string dir, string_of("plugins.dir", node));
      return set_once("plugin-dir", Data(std::move(dir)));
    }
    const std::string option = key == "backend" ? key : key + "-plugin";
    MORTISE_ASSIGN_OR_RETURN(PluginSpec spec,
                             spec_of("plugins." + key, node, values_.text(option)));
    if (key == "backend" && node.IsMap() && lookup(node, "options").IsDefined()) {
      MORTISE_RETURN_IF_ERROR(set_once("backend-options", Data(spec.options_json)));
    }
    if (key == "watch") plugins_.watch_options = spec.options_json;
    return set_once(option, Data(spec.name_or_path));
  }

  Status read_plugins(const YAML::Node& node) {
    if (!node.IsDefined() || node.IsNull()) return {};
    if (!node.IsMap()) return wrong_type("plugins", node, "a map");
    for (const auto& entry : node) {
      const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : "";
      if (key != "backend" && key != "watch" && key != "auth" && key != "transports" &&
          key != "dir") {
        return unknown("plugins." + key, entry.first);
      } else if (!entry.second.IsNull()) {
        MORTISE_RETURN_IF_ERROR(read_plugin(key, entry.second));
      }
    }
    return {};
  }

  Values& values_;
  FilePlugins& plugins_;
  FileParse parse_;
};

}  // namespace

FileParse apply_file(const std::string& content, Values& values, FilePlugins& plugins) {
  FileParse failed;
  try {
    return FileReader(values, plugins).run(YAML::Load(content));
  } catch (const YAML::Exception& error) {
    failed.status = invalid(std::string("error converting YAML to JSON: ") + error.what());
  }
  return failed;
}

}  // namespace mortise::config
