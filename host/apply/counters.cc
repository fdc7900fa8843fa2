#include "host/apply/counters.h"

#include <algorithm>
#include <utility>

namespace mortise::apply {
namespace {

// By field number of InternalRaftRequest.
constexpr std::pair<uint32_t, std::string_view> kNames[] = {{3, "Range"},
                                                            {4, "Put"},
                                                            {5, "DeleteRange"},
                                                            {6, "Txn"},
                                                            {7, "Compaction"},
                                                            {8, "LeaseGrant"},
                                                            {9, "LeaseRevoke"},
                                                            {10, "Alarm"},
                                                            {11, "LeaseCheckpoint"},
                                                            {1000, "AuthEnable"},
                                                            {1011, "AuthDisable"},
                                                            {1012, "Authenticate"},
                                                            {1013, "AuthStatus"},
                                                            {1100, "AuthUserAdd"},
                                                            {1101, "AuthUserDelete"},
                                                            {1102, "AuthUserGet"},
                                                            {1103, "AuthUserChangePassword"},
                                                            {1104, "AuthUserGrantRole"},
                                                            {1105, "AuthUserRevokeRole"},
                                                            {1106, "AuthUserList"},
                                                            {1107, "AuthRoleList"},
                                                            {1200, "AuthRoleAdd"},
                                                            {1201, "AuthRoleDelete"},
                                                            {1202, "AuthRoleGet"},
                                                            {1203, "AuthRoleGrantPermission"},
                                                            {1204, "AuthRoleRevokePermission"},
                                                            {1300, "ClusterVersionSet"},
                                                            {1301, "ClusterMemberAttrSet"},
                                                            {1302, "DowngradeInfoSet"},
                                                            {9900, "DowngradeVersionTest"}};
static_assert(std::size(kNames) + 1 == kOps);

}  // namespace

size_t op_of(uint32_t field) {
  // Those of users come first, and put among the first.
  return static_cast<size_t>(
      std::find_if(std::begin(kNames), std::end(kNames),
                   [field](const auto& name) { return name.first == field; }) -
      std::begin(kNames));
}

std::string_view op_name(size_t op) { return op + 1 < kOps ? kNames[op].second : "Unknown"; }

}  // namespace mortise::apply
