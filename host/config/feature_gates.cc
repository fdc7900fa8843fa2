#include "host/config/feature_gates.h"

#include <algorithm>

#include "host/config/config.h"
#include "host/config/go_syntax.h"

namespace mortise::config {
namespace {

enum class Stage : uint8_t { kAlpha, kBeta };

struct Gate {
  std::string_view name;
  bool default_on;
  Stage stage;
};

// CompactHashCheck and InitialCorruptCheck, which compare members with each other, are on here and
// off in etcd. TxnModeWriteWithSharedBuffer chooses between two ways to one result, so both values
// hold; a defragmentation holds up no call, so StopGRPCServiceOnDefrag has nobody to send away. A
// checkpoint of a lease is always stored, with LeaseCheckpointPersist or without, as in etcd
// from 3.6 on.
constexpr Gate kGates[] = {
    {"CompactHashCheck", true, Stage::kAlpha},
    {"FastLeaseKeepAlive", true, Stage::kBeta},
    {"InitialCorruptCheck", true, Stage::kAlpha},
    {"LeaseCheckpoint", false, Stage::kAlpha},
    {"LeaseCheckpointPersist", false, Stage::kAlpha},
    {"PriorityRequest", false, Stage::kAlpha},
    {"SetMemberLocalAddr", false, Stage::kAlpha},
    {"StopGRPCServiceOnDefrag", false, Stage::kAlpha},
    {"TxnModeWriteWithSharedBuffer", true, Stage::kBeta},
};
constexpr std::string_view kAllAlpha = "AllAlpha";
constexpr std::string_view kAllBeta = "AllBeta";

bool is_known(std::string_view name) {
  return name == kAllAlpha || name == kAllBeta ||
         std::any_of(std::begin(kGates), std::end(kGates),
                     [&](const Gate& g) { return g.name == name; });
}

std::string describe(std::string_view name, Stage stage, bool default_on) {
  return std::string(name) + "=true|false (" + (stage == Stage::kAlpha ? "ALPHA" : "BETA") +
         " - default=" + (default_on ? "true" : "false") + ")";
}

}  // namespace

Status parse_feature_gates(std::string_view text, std::map<std::string, bool>& gates) {
  std::map<std::string, bool> parsed;
  for (const std::string& pair : split(text, ',')) {
    if (pair.empty()) continue;
    const size_t equals = pair.find('=');
    const std::string name(trim(std::string_view(pair).substr(0, equals)));
    if (equals == std::string::npos) return invalid("missing bool value for " + name);
    const std::string value(trim(std::string_view(pair).substr(equals + 1)));
    const auto on = parse_bool(value);
    if (!on.ok()) {
      return invalid("invalid value of " + name + "=" + value +
                     ", err: strconv.ParseBool: parsing " + quote(value) + ": invalid syntax");
    }
    parsed[name] = on.value();
  }
  for (const auto& [name, on] : parsed) {
    if (!is_known(name)) return invalid("unrecognized feature gate: " + name);
  }
  for (const auto& [name, on] : parsed) gates[name] = on;
  return {};
}

std::map<std::string, bool> effective_feature_gates(const std::map<std::string, bool>& gates) {
  std::map<std::string, bool> effective;
  for (const Gate& gate : kGates) {
    const auto own = gates.find(std::string(gate.name));
    const auto all = gates.find(std::string(gate.stage == Stage::kAlpha ? kAllAlpha : kAllBeta));
    effective[std::string(gate.name)] = own != gates.end()   ? own->second
                                        : all != gates.end() ? all->second
                                                             : gate.default_on;
  }
  return effective;
}

std::vector<std::string> describe_feature_gates() {
  std::vector<std::string> lines = {describe(kAllAlpha, Stage::kAlpha, false),
                                    describe(kAllBeta, Stage::kBeta, false)};
  for (const Gate& gate : kGates) lines.push_back(describe(gate.name, gate.stage, gate.default_on));
  std::sort(lines.begin(), lines.end());
  return lines;
}

std::string_view feature_gate_stage(std::string_view name) {
  const auto* gate = std::find_if(std::begin(kGates), std::end(kGates),
                                  [name](const Gate& g) { return g.name == name; });
  const bool is_beta =
      name == kAllBeta || (gate != std::end(kGates) && gate->stage == Stage::kBeta);
  return is_beta ? "BETA" : "ALPHA";
}

}  // namespace mortise::config
