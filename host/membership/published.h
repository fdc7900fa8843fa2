// What members tell of themselves and of the cluster in entries of the log: names, client URLs, the
// cluster's version. Versions of etcd up to 3.5 say it in the requests of its old API (v2), as
// writes to keys of that API, whose values are JSON.
//
// Used when such entries are applied, and when the directory of an etcd is taken over. Pure
// functions.
#pragma once

#include <string>
#include <string_view>

#include "host/base/status.h"
#include "host/membership/member.h"

namespace mortise::membership {

struct Published {
  uint64_t member_id = 0;  // 0: nothing about a member.
  std::string name;
  std::vector<std::string> client_urls;
  std::string cluster_version;  // Empty: nothing about it.
};

// ClusterMemberAttrSetRequest; kCorruption.
Result<Published> decode_attributes(std::string_view request);
// ClusterVersionSetRequest; kCorruption.
Result<Published> decode_cluster_version(std::string_view request);
// etcdserverpb.Request. What it says that members do not publish, or not in this way, is nothing.
Published decode_v2_request(std::string_view request);

// The values of a member's two keys in the old API; false if they are malformed.
bool read_v2_attributes(std::string_view json, Member* member);
bool read_v2_raft_attributes(std::string_view json, Member* member);

}  // namespace mortise::membership
