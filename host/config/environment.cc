#include "host/config/environment.h"

#include <set>

#include "host/config/go_syntax.h"
#include "host/config/secrets.h"

namespace mortise::config {
namespace {

using Environment = std::map<std::string, std::string>;

constexpr std::string_view kVersionVariable = "ETCD_VERSION";

class Reader {
 public:
  Reader(const Environment& environment, Values& values)
      : environment_(environment), values_(values) {}

  EnvironmentParse run() {
    drop_version();
    const auto table = options();
    for (size_t i = 0; i < table.size(); ++i) {
      if (!is_flag(table[i]) || table[i].name == "version") continue;
      const int index = static_cast<int>(i);
      const bool on_command_line = values_.source(index) == Source::kFlag;
      read(index, variable_name("ETCD", table[i].name), on_command_line);
      if (table[i].ours) read(index, variable_name("MORTISE", table[i].name), on_command_line);
    }
    report_rest();
    return std::move(parse_);
  }

 private:
  // Container images are known to set it for their own use.
  void drop_version() {
    const auto found = environment_.find(std::string(kVersionVariable));
    if (found == environment_.end() || found->second.empty()) return;
    parse_.unset_variables.push_back(found->first);
    parse_.logs.push_back({"warn",
                           "cannot set special environment variable",
                           {{"key", found->first}, {"value", found->second}}});
    used_.insert(found->first);
  }

  void read(int index, const std::string& variable, bool on_command_line) {
    if (on_command_line) {
      shadowed_.insert(variable);
      return;
    }
    const auto found = environment_.find(variable);
    if (found == environment_.end() || found->second.empty()) return;
    used_.insert(variable);
    if (values_.source(index) == Source::kEnvironment) {
      const std::string_view name = options()[static_cast<size_t>(index)].name;
      parse_.status = invalid(variable_name("ETCD", name) + " and " + variable +
                              " are both set; use one of them");
      return;
    }
    const Status set = values_.set_text(index, found->second, Source::kEnvironment);
    if (!set.ok()) {
      parse_.status = invalid("invalid value " + quote(found->second) + " for " + variable + ": " +
                              set.message());
      return;
    }
    parse_.logs.push_back({"info",
                           "recognized and used environment variable",
                           {{"variable-name", variable},
                            {"variable-value", without_secrets(variable, found->second)}}});
  }

  void report_rest() {
    for (const auto& [name, value] : environment_) {
      if (used_.count(name) != 0) continue;
      if (shadowed_.count(name) != 0) {
        parse_.conflict = true;
        parse_.logs.push_back(
            {"fatal",
             "conflicting environment variable is shadowed by corresponding command-line "
             "flag (either unset environment variable or disable flag))",
             {{"environment-variable", name}}});
        return;
      }
      if (name.starts_with("ETCD_") || name.starts_with("MORTISE_")) {
        parse_.logs.push_back(
            {"warn",
             "unrecognized environment variable",
             {{"environment-variable", name + "=" + without_secrets(name, value)}}});
      }
    }
  }

  const Environment& environment_;
  Values& values_;
  std::set<std::string> used_;
  std::set<std::string> shadowed_;
  EnvironmentParse parse_;
};

}  // namespace

EnvironmentParse apply_environment(const Environment& environment, Values& values) {
  return Reader(environment, values).run();
}

}  // namespace mortise::config
