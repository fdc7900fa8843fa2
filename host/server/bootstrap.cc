#include "host/server/bootstrap.h"

#include <algorithm>

#include "host/raft/membership_codec.h"

namespace mortise::server {

Result<Beginning> found_cluster(const config::Config& config, const config::ResolveHost& resolve) {
  MORTISE_ASSIGN_OR_RETURN(auto members, config::founding_members(config, resolve));
  Beginning beginning;
  beginning.is_new = true;
  std::vector<uint64_t> ids;
  for (const config::InitialMember& initial : members) {
    membership::Member member;
    member.name = initial.name;
    member.peer_urls = config::url_texts(initial.urls);
    member.id = membership::bootstrap_member_id(member.peer_urls, config.initial_cluster_token);
    if (member.name == config.name) beginning.member_id = member.id;
    ids.push_back(member.id);
    beginning.founders.push_back(std::move(member));
  }
  std::sort(beginning.founders.begin(), beginning.founders.end(),
            [](const auto& a, const auto& b) { return a.id < b.id; });
  beginning.cluster_id = membership::bootstrap_cluster_id(std::move(ids));
  return beginning;
}

Status write_founding_entries(wal::Wal* wal, const std::vector<membership::Member>& founders) {
  wal::BatchBuffer batch;
  uint64_t index = 0;
  for (const membership::Member& member : founders) {
    raft::MembershipChange change;
    change.changes = {{raft::ChangeType::kAddNode, member.id}};
    change.context = membership::encode_change_context({member, /*is_promote=*/false});
    const std::string data = raft::encode_membership(change);
    batch.add_entry({1, ++index, static_cast<uint8_t>(raft::EntryType::kConfChange), data});
  }
  batch.set_hard_state({1, 0, index});
  return wal->append(batch);
}

}  // namespace mortise::server
