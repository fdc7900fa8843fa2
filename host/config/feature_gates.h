// etcd's feature gates: names, stages, defaults.
// Internal to host/config. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "host/base/status.h"

namespace mortise::config {

// Adds the pairs of "Name=bool,Name=bool" to `gates`. The text of an error is etcd's.
Status parse_feature_gates(std::string_view text, std::map<std::string, bool>& gates);

// Every single gate with the value it has after `gates`: an explicit value wins over AllAlpha and
// AllBeta, those win over the default.
std::map<std::string, bool> effective_feature_gates(const std::map<std::string, bool>& gates);

// "Name=true|false (ALPHA - default=false)", sorted.
std::vector<std::string> describe_feature_gates();

}  // namespace mortise::config
