#include "host/membership/cluster.h"

#include "host/membership/versions.h"

namespace mortise::membership {
namespace {

Status load_roster(const store::Reader& reader, Roster* roster) {
  MORTISE_ASSIGN_OR_RETURN(auto cursor, reader.cursor(store::kMembers));
  MORTISE_RETURN_IF_ERROR(cursor.seek({}, {}));
  std::string_view row, value;
  while (cursor.next(&row, &value)) {
    if (value.empty() && row.size() == 8) {
      uint64_t id = 0;
      for (char c : row) id = id << 8 | static_cast<uint8_t>(c);
      roster->removed.insert(id);
      continue;
    }
    Member member;
    if (value.empty() || !decode_member(value, &member)) {
      return corruption("a stored member is malformed");
    }
    roster->members[member.id] = member;
  }
  return cursor.status();
}

}  // namespace

std::string member_row(uint64_t id) {
  id = __builtin_bswap64(id);
  return std::string(reinterpret_cast<const char*>(&id), 8);
}

Status Cluster::load(const store::Reader& reader) {
  Roster after, before;
  MORTISE_RETURN_IF_ERROR(load_roster(reader, &after));
  bool found;
  std::string_view value;
  MORTISE_RETURN_IF_ERROR(reader.get(store::kMeta, kClusterVersionKey, &found, &value));
  std::string version(found ? value : "");
  MORTISE_RETURN_IF_ERROR(reader.get(store::kMeta, kDowngradeKey, &found, &value));
  {
    std::lock_guard lock(mutex_);
    before = std::exchange(roster_, after);
    version_ = std::move(version);
    downgrade_target_ = found ? value : "";
  }
  tell(before, after);
  return Status();
}

void Cluster::tell(const Roster& before, const Roster& after) const {
  for (const auto& [id, member] : before.members) {
    if (!after.members.contains(id) && observer_.removed) observer_.removed(id);
  }
  for (const auto& [id, member] : after.members) {
    auto known = before.members.find(id);
    if (known == before.members.end()) {
      if (observer_.added) observer_.added(member);
    } else if (known->second.peer_urls != member.peer_urls && observer_.urls_updated) {
      observer_.urls_updated(member);
    }
  }
}

std::vector<Member> Cluster::members() const {
  std::lock_guard lock(mutex_);
  std::vector<Member> out;
  for (const auto& [id, member] : roster_.members) out.push_back(member);
  return out;
}

std::optional<Member> Cluster::member(uint64_t id) const {
  std::lock_guard lock(mutex_);
  auto it = roster_.members.find(id);
  if (it == roster_.members.end()) return std::nullopt;
  return it->second;
}

bool Cluster::is_removed(uint64_t id) const {
  std::lock_guard lock(mutex_);
  return roster_.removed.contains(id);
}

Roster Cluster::roster() const {
  std::lock_guard lock(mutex_);
  return roster_;
}

std::string Cluster::version() const {
  std::lock_guard lock(mutex_);
  return version_;
}

std::string Cluster::storage_version() const {
  std::string version = this->version();
  return version == kOldestVersion.text() ? "3.5.0" : version;
}

std::string Cluster::downgrade_target() const {
  std::lock_guard lock(mutex_);
  return downgrade_target_;
}

void Cluster::put(const Member& member) {
  bool is_new;
  bool moved = false;
  {
    std::lock_guard lock(mutex_);
    auto [known, inserted] = roster_.members.try_emplace(member.id, member);
    is_new = inserted;
    if (!inserted) {
      moved = known->second.peer_urls != member.peer_urls;
      known->second = member;
    }
  }
  if (is_new && observer_.added) observer_.added(member);
  if (moved && observer_.urls_updated) observer_.urls_updated(member);
}

void Cluster::remove(uint64_t id) {
  {
    std::lock_guard lock(mutex_);
    roster_.members.erase(id);
    roster_.removed.insert(id);
  }
  if (observer_.removed) observer_.removed(id);
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
