#include "host/config/options.h"

#include <algorithm>
#include <cctype>

#include "host/config/feature_gates.h"
#include "host/config/go_syntax.h"
#include "host/config/plugin_options.h"

namespace mortise::config {
namespace {

StringList unique_sorted(StringList values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

Result<Data> one_of(std::string_view text, std::initializer_list<std::string_view> valid) {
  for (const std::string_view choice : valid) {
    if (text == choice) return Data(std::string(text));
  }
  return invalid("invalid value");
}

Result<Data> v2_stages(std::string_view text) {
  for (const std::string& stage : split(text, ',')) {
    const bool known = stage == "write-only" || stage == "write-only-skip-check" ||
                       stage == "write-only-drop-data" || stage == "gone";
    if (!known) return invalid("invalid value " + quote(stage));
  }
  return Data(std::string(text));
}

template <typename T>
Result<Data> to_data(Result<T> result) {
  if (!result.ok()) return result.status();
  return Data(std::move(result).value());
}

Result<Data> parse_u32(std::string_view text) {
  const auto value = parse_uint(text, 32);
  if (value.ok()) return Data(value.value());
  const bool range = value.status().message() == "value out of range";
  return invalid("strconv.ParseUint: parsing " + quote(text) + ": " +
                 (range ? "value out of range" : "invalid syntax"));
}

// The flag layer says only "parse error" of a duration, whatever is wrong with it.
Result<Data> parse_flag_duration(std::string_view text) {
  const auto value = parse_duration(text);
  if (!value.ok()) return invalid("parse error");
  return Data(value.value());
}

Result<Data> parse_url_set(std::string_view text, const Data& current) {
  if (text.empty()) return current;
  auto urls = parse_urls(split(text, ','));
  if (!urls.ok()) return urls.status();
  UrlList list = std::move(urls).value();
  list.erase(std::unique(list.begin(), list.end()), list.end());
  return Data(std::move(list));
}

Result<Data> parse_origins(std::string_view text) {
  if (text == "*") return Data(std::string(text));
  const auto urls = parse_urls(split(text, ','));
  if (!urls.ok()) return urls.status();
  return Data(join(url_texts(urls.value()), ","));
}

Result<Data> parse_gates(std::string_view text, const Data& current) {
  GateMap gates = std::get<GateMap>(current);
  MORTISE_RETURN_IF_ERROR(parse_feature_gates(text, gates));
  return Data(std::move(gates));
}

Result<Data> parse_data(Kind kind, std::string_view text, const Data& current) {
  switch (kind) {
    case Kind::kString: return Data(std::string(text));
    case Kind::kBool: return to_data(parse_bool(text));
    case Kind::kInt: return to_data(parse_int(text));
    case Kind::kUint: return to_data(parse_uint(text));
    case Kind::kUint32: return parse_u32(text);
    case Kind::kDuration: return parse_flag_duration(text);
    case Kind::kUrls: return parse_url_set(text, current);
    case Kind::kOrigins: return parse_origins(text);
    case Kind::kList: return Data(split(text, ','));
    case Kind::kSet:
    case Kind::kHostSet: return Data(unique_sorted(split(text, ',')));
    case Kind::kClusterState: return one_of(text, {"new", "existing"});
    case Kind::kFallback: return one_of(text, {"exit", "proxy"});
    case Kind::kV2Stages: return v2_stages(text);
    case Kind::kGates: return parse_gates(text, current);
    case Kind::kOptions: return to_data(parse_plugin_options(text));
    case Kind::kIgnored: return Data(std::string());
  }
  return internal_error("an option of unknown kind");
}

Data empty_data(Kind kind) {
  switch (kind) {
    case Kind::kUrls: return UrlList();
    case Kind::kList:
    case Kind::kSet:
    case Kind::kHostSet: return StringList();
    case Kind::kGates: return GateMap();
    default: return std::string();
  }
}

Data default_data(const Option& option) {
  const Data empty = empty_data(option.kind);
  if (option.default_text.empty()) return empty;
  auto data = parse_data(option.kind, option.default_text, empty);
  MORTISE_CHECK(data.ok(), option.name);
  return data.value();
}

const std::vector<Data>& defaults() {
  static const std::vector<Data> kDefaults = [] {
    std::vector<Data> all;
    for (const Option& option : options()) all.push_back(default_data(option));
    return all;
  }();
  return kDefaults;
}

int find_if_index(bool (*matches)(const Option&, std::string_view), std::string_view key) {
  const auto table = options();
  for (size_t i = 0; i < table.size(); ++i) {
    if (matches(table[i], key)) return static_cast<int>(i);
  }
  return -1;
}

}  // namespace

int find_option(std::string_view name) {
  return find_if_index([](const Option& o, std::string_view key) { return o.name == key; }, name);
}

int find_option_by_yaml(std::string_view path) {
  if (path.empty()) return -1;
  return find_if_index([](const Option& o, std::string_view key) { return o.yaml == key; }, path);
}

bool is_flag(const Option& option) { return option.group != Group::kFileOnly; }

bool is_boolean_flag(const Option& option) {
  return option.kind == Kind::kBool || option.kind == Kind::kIgnored;
}

std::string_view group_title(Group group) {
  switch (group) {
    case Group::kMember: return "Member";
    case Group::kClustering: return "Clustering";
    case Group::kSecurity: return "Security";
    case Group::kAuth: return "Auth";
    case Group::kMonitoring: return "Profiling and monitoring";
    case Group::kLogging: return "Logging";
    case Group::kTracing: return "Distributed tracing";
    case Group::kTuning: return "Features and tuning";
    case Group::kUnsafe: return "Unsafe";
    case Group::kPlugins: return "Plugins";
    case Group::kOther: return "Other";
    case Group::kIgnored: return "Flags of the past";
    case Group::kFileOnly: return "Configuration file only";
  }
  return "";
}

std::string variable_name(std::string_view prefix, std::string_view option_name) {
  std::string name = std::string(prefix) + "_";
  for (const char c : option_name) {
    name += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return name;
}

Values::Values() : data_(defaults()), sources_(data_.size(), Source::kDefault) {}

Status Values::set_text(int index, std::string_view text, Source source) {
  const Option& option = options()[static_cast<size_t>(index)];
  Result<Data> parsed = parse_data(option.kind, text, data(index));
  if (!parsed.ok()) return parsed.status();
  set_data(index, parsed.value(), source);
  return {};
}

void Values::set_data(int index, Data data, Source source) {
  data_[static_cast<size_t>(index)] = std::move(data);
  mark(index, source);
}

bool Values::is_set(std::string_view name) const {
  return source(checked_index(name)) != Source::kDefault;
}

bool Values::is_default(int index) const {
  return data(index) == defaults()[static_cast<size_t>(index)];
}

int Values::checked_index(std::string_view name) {
  const int index = find_option(name);
  MORTISE_CHECK(index >= 0, name);
  return index;
}

}  // namespace mortise::config
