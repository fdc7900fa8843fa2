#include <algorithm>

#include "host/config/feature_gates.h"
#include "host/config/go_syntax.h"
#include "host/config/validate.h"

namespace mortise::config {
namespace {

// --cert-file, or the key of the file where it has another name there.
std::string shown_name(const Values& values, int index) {
  const Option& option = options()[static_cast<size_t>(index)];
  if (!is_flag(option)) return std::string(option.yaml);
  const std::string flag = "--" + std::string(option.name);
  if (values.source(index) != Source::kFile || option.yaml == option.name) return flag;
  return std::string(option.yaml) + " (" + flag + ")";
}

void refuse(const Values& values, std::string_view name, const std::string& value,
            std::string_view reason, StringList& refused) {
  refused.push_back(shown_name(values, find_option(name)) + (value.empty() ? "" : "=" + value) +
                    " is not supported yet: " + std::string(reason));
}

// Values that mean the default, written in another way.
bool means_default(const Option& option, const Data& data) {
  if (option.name == "backend-bbolt-freelist-type") return std::get<std::string>(data).empty();
  return false;
}

}  // namespace

void warn_without_effect(const Values& values, std::vector<LogLine>& logs) {
  const auto table = options();
  for (size_t i = 0; i < table.size(); ++i) {
    const int index = static_cast<int>(i);
    if (table[i].support != Support::kNoEffect || values.is_default(index)) continue;
    if (means_default(table[i], values.data(index))) continue;
    logs.push_back(
        {"warn",
         "an option has no effect in this server",
         {{"option", shown_name(values, index)}, {"reason", std::string(table[i].note)}}});
  }
}

Status refuse_not_yet(const Values& values) {
  StringList refused;
  const auto table = options();
  for (size_t i = 0; i < table.size(); ++i) {
    const int index = static_cast<int>(i);
    if (table[i].support != Support::kNotYet || values.is_default(index)) continue;
    if (means_default(table[i], values.data(index))) continue;
    refuse(values, table[i].name, "", table[i].note, refused);
  }
  if (refused.empty()) return {};
  return invalid(join(refused, "; "));
}

}  // namespace mortise::config
