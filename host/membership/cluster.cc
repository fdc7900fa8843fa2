#include "host/membership/cluster.h"

namespace mortise::membership {

std::string member_row(uint64_t id) {
  id = __builtin_bswap64(id);
  return std::string(reinterpret_cast<const char*>(&id), 8);
}

Status Cluster::load(const store::Reader& reader) {
  MORTISE_ASSIGN_OR_RETURN(auto cursor, reader.cursor(store::kMembers));
  MORTISE_RETURN_IF_ERROR(cursor.seek({}, {}));
  std::lock_guard lock(mutex_);
  members_.clear();
  version_.clear();
  downgrade_target_.clear();
  std::string_view row, value;
  while (cursor.next(&row, &value)) {
    Member member;
    if (!decode_member(value, &member)) return corruption("a stored member is malformed");
    members_[member.id] = member;
  }
  MORTISE_RETURN_IF_ERROR(cursor.status());
  bool found;
  MORTISE_RETURN_IF_ERROR(reader.get(store::kMeta, kClusterVersionKey, &found, &value));
  if (found) version_ = value;
  MORTISE_RETURN_IF_ERROR(reader.get(store::kMeta, kDowngradeKey, &found, &value));
  if (found) downgrade_target_ = value;
  return Status();
}

std::vector<Member> Cluster::members() const {
  std::lock_guard lock(mutex_);
  std::vector<Member> out;
  for (const auto& [id, member] : members_) out.push_back(member);
  return out;
}

std::optional<Member> Cluster::member(uint64_t id) const {
  std::lock_guard lock(mutex_);
  auto it = members_.find(id);
  if (it == members_.end()) return std::nullopt;
  return it->second;
}

std::string Cluster::version() const {
  std::lock_guard lock(mutex_);
  return version_;
}

std::string Cluster::downgrade_target() const {
  std::lock_guard lock(mutex_);
  return downgrade_target_;
}

void Cluster::put(const Member& member) {
  std::lock_guard lock(mutex_);
  members_[member.id] = member;
}

void Cluster::remove(uint64_t id) {
  std::lock_guard lock(mutex_);
  members_.erase(id);
}

void Cluster::set_version(std::string version) {
  std::lock_guard lock(mutex_);
  version_ = std::move(version);
}

void Cluster::set_downgrade_target(std::string version) {
  std::lock_guard lock(mutex_);
  downgrade_target_ = std::move(version);
}

}  // namespace mortise::membership
