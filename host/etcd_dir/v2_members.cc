#include "host/etcd_dir/v2_members.h"

#include <charconv>
#include <nlohmann/json.hpp>

#include "host/membership/published.h"

namespace mortise::etcd_dir {
namespace {

using nlohmann::json;

const json* find(const json* object, const char* name) {
  if (object == nullptr || !object->is_object()) return nullptr;
  auto it = object->find(name);
  return it == object->end() ? nullptr : &*it;
}

const json* child(const json* node, const char* name) { return find(find(node, "Children"), name); }

// Of a node that is a file; empty for others.
std::string value_of(const json* node) {
  const json* value = find(node, "Value");
  return value != nullptr && value->is_string() ? value->get<std::string>() : std::string();
}

bool read_id(const std::string& text, uint64_t* id) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *id, 16);
  return error == std::errc() && end == text.data() + text.size() && *id != 0;
}

bool read_member(const std::string& name, const json& node, membership::Member* member) {
  if (!read_id(name, &member->id)) return false;
  if (!membership::read_v2_raft_attributes(value_of(child(&node, "raftAttributes")), member)) {
    return false;
  }
  const json* attributes = child(&node, "attributes");
  return attributes == nullptr || membership::read_v2_attributes(value_of(attributes), member);
}

Status malformed() { return corruption("the members in it are malformed"); }

}  // namespace

Result<Membership> read_v2_members(std::string_view text) {
  const json tree = json::parse(text, nullptr, /*allow_exceptions=*/false);
  const json* cluster = child(find(&tree, "Root"), "0");
  if (cluster == nullptr) return malformed();
  Membership out;
  out.cluster_version = value_of(child(cluster, "version"));
  const json* members = find(child(cluster, "members"), "Children");
  if (members != nullptr && members->is_object()) {
    for (const auto& [name, node] : members->items()) {
      membership::Member member;
      if (!read_member(name, node, &member)) return malformed();
      out.roster.members[member.id] = std::move(member);
    }
  }
  const json* removed = find(child(cluster, "removed_members"), "Children");
  if (removed != nullptr && removed->is_object()) {
    for (const auto& [name, node] : removed->items()) {
      uint64_t id = 0;
      if (!read_id(name, &id)) return malformed();
      out.roster.removed.insert(id);
    }
  }
  return out;
}

}  // namespace mortise::etcd_dir
