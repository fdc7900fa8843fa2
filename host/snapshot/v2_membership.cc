#include "host/snapshot/v2_membership.h"

#include <nlohmann/json.hpp>

#include "host/membership/cluster.h"
#include "host/mvcc/revision.h"

namespace mortise::snapshot {
namespace {

using nlohmann::ordered_json;

ordered_json node(const std::string& path, const std::string& value, ordered_json children) {
  return {{"Path", path},       {"CreatedIndex", 0},
          {"ModifiedIndex", 0}, {"ExpireTime", "0001-01-01T00:00:00Z"},
          {"Value", value},     {"Children", std::move(children)}};
}
ordered_json file(const std::string& path, const std::string& value) {
  return node(path, value, nullptr);
}

std::string text(const ordered_json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

ordered_json member_node(const membership::Member& member) {
  const std::string path = "/0/members/" + membership::hex_id(member.id);
  ordered_json raft{{"peerURLs", member.peer_urls}};
  if (member.is_learner) raft["isLearner"] = true;
  ordered_json attributes = ordered_json::object();
  if (!member.name.empty()) attributes["name"] = member.name;
  if (!member.client_urls.empty()) attributes["clientURLs"] = member.client_urls;
  ordered_json children;
  children["raftAttributes"] = file(path + "/raftAttributes", text(raft));
  if (!attributes.empty()) children["attributes"] = file(path + "/attributes", text(attributes));
  return node(path, "", std::move(children));
}

Status add_members(const store::Reader& reader, ordered_json* cluster) {
  MORTISE_ASSIGN_OR_RETURN(auto cursor, reader.cursor(store::kMembers));
  MORTISE_RETURN_IF_ERROR(cursor.seek({}, {}));
  ordered_json members = ordered_json::object();
  ordered_json removed = ordered_json::object();
  std::string_view row, value;
  while (cursor.next(&row, &value)) {
    if (value.empty() && row.size() == 8) {
      const std::string id = membership::hex_id(mvcc::get_u64_be(row.data()));
      removed[id] = file("/0/removed_members/" + id, "removed");
      continue;
    }
    membership::Member member;
    if (!membership::decode_member(value, &member)) {
      return corruption("a stored member is malformed");
    }
    members[membership::hex_id(member.id)] = member_node(member);
  }
  MORTISE_RETURN_IF_ERROR(cursor.status());
  (*cluster)["members"] = node("/0/members", "", std::move(members));
  (*cluster)["removed_members"] = node("/0/removed_members", "", std::move(removed));
  return Status();
}

}  // namespace

Result<std::string> v2_membership(const store::Reader& reader) {
  ordered_json cluster = ordered_json::object();
  MORTISE_RETURN_IF_ERROR(add_members(reader, &cluster));
  bool found;
  std::string_view version;
  MORTISE_RETURN_IF_ERROR(
      reader.get(store::kMeta, membership::kClusterVersionKey, &found, &version));
  if (found) cluster["version"] = file("/0/version", std::string(version));
  ordered_json top;
  top["0"] = node("/0", "", std::move(cluster));
  top["1"] = node("/1", "", ordered_json::object());
  ordered_json store{
      {"Root", node("/", "", std::move(top))}, {"CurrentIndex", 0}, {"CurrentVersion", 2}};
  return text(store);
}

}  // namespace mortise::snapshot
