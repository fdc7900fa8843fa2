// Options from environment variables: ETCD_<NAME> for every flag, MORTISE_<NAME> too for ours.
// Internal to host/config. Pure.
#pragma once

#include <map>
#include <string>

#include "host/config/config.h"
#include "host/config/options.h"

namespace mortise::config {

struct EnvironmentParse {
  // A variable repeats a flag of the command line. The last line of `logs` says so, at fatal level.
  bool conflict = false;
  Status status;  // A value that does not parse.
  std::vector<LogLine> logs;
  std::vector<std::string> unset_variables;
};

EnvironmentParse apply_environment(const std::map<std::string, std::string>& environment,
                                   Values& values);

}  // namespace mortise::config
