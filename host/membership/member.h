// Members of the cluster and their ids, computed as etcd computes them, so that a node started with
// the same flags is the same member of the same cluster.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "host/base/status.h"

namespace mortise::membership {

struct Member {
  uint64_t id = 0;
  std::string name;  // Empty until the member has published its attributes.
  std::vector<std::string> peer_urls;
  std::vector<std::string> client_urls;
  bool is_learner = false;
};

// The first 8 bytes of SHA-1 over the sorted peer URLs and the cluster token, big endian.
uint64_t bootstrap_member_id(std::vector<std::string> peer_urls, std::string_view cluster_token);
// The id of a member that is added at this time, in seconds since 1970.
uint64_t added_member_id(std::vector<std::string> peer_urls, int64_t unix_seconds);
// Over the ids of the founding members, ascending.
uint64_t bootstrap_cluster_id(std::vector<uint64_t> member_ids);

// Lower-case hex without padding, as ids stand in URLs and logs.
std::string hex_id(uint64_t id);

// As Go's encoding/json writes it, which escapes what could end a script in HTML.
std::string go_json(const nlohmann::ordered_json& json);

// etcdserverpb.Member.
std::string encode_member(const Member& member);
bool decode_member(std::string_view bytes, Member* member);

// As etcd's JSON has members: in membership changes, its database and the answer to /members.
std::string member_json(const Member& member);
std::string members_json(const std::vector<Member>& members);  // With a line break at the end.
// Of the answer to /members. kInvalid if it is something else.
Result<std::vector<Member>> parse_members_json(std::string_view json);

// What a membership change in the log says of the member: the JSON of etcd's ConfChange context.
struct ChangeContext {
  Member member;
  bool is_promote = false;
};
std::string encode_change_context(const ChangeContext& context);
Result<ChangeContext> decode_change_context(std::string_view json);

}  // namespace mortise::membership
