#include "host/raft/membership.h"

#include <iterator>

namespace mortise::raft {
namespace {

void insert(std::vector<NodeId>* sorted, NodeId id) {
  const auto at = std::lower_bound(sorted->begin(), sorted->end(), id);
  if (at == sorted->end() || *at != id) sorted->insert(at, id);
}

void erase(std::vector<NodeId>* sorted, NodeId id) {
  const auto at = std::lower_bound(sorted->begin(), sorted->end(), id);
  if (at != sorted->end() && *at == id) sorted->erase(at);
}

void erase_incoming(ConfState* conf, NodeId id) {
  erase(&conf->voters, id);
  erase(&conf->learners, id);
  erase(&conf->learners_next, id);
}

void make_learner(ConfState* conf, NodeId id) {
  if (contains(conf->learners, id)) return;
  erase_incoming(conf, id);
  // An outgoing voter keeps its vote until the joint configuration is left.
  insert(contains(conf->voters_outgoing, id) ? &conf->learners_next : &conf->learners, id);
}

Status apply_singles(ConfState* conf, const std::vector<SingleChange>& changes) {
  for (const SingleChange& change : changes) {
    if (change.node == kNoNode) continue;
    switch (change.type) {
      case ChangeType::kAddNode:
        erase_incoming(conf, change.node);
        insert(&conf->voters, change.node);
        break;
      case ChangeType::kAddLearner: make_learner(conf, change.node); break;
      case ChangeType::kRemoveNode: erase_incoming(conf, change.node); break;
      case ChangeType::kUpdateNode: break;
      default: return invalid("membership change of unknown type");
    }
  }
  if (conf->voters.empty()) return invalid("membership change removes all voters");
  return Status();
}

size_t difference_size(const std::vector<NodeId>& a, const std::vector<NodeId>& b) {
  std::vector<NodeId> out;
  std::set_symmetric_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(out));
  return out.size();
}

Result<ConfState> leave_joint(ConfState conf) {
  if (!is_joint(conf)) return invalid("membership is not joint and cannot leave it");
  for (const NodeId id : conf.learners_next) insert(&conf.learners, id);
  conf.learners_next.clear();
  conf.voters_outgoing.clear();
  conf.auto_leave = false;
  return conf;
}

VoteResult tally_half(const std::vector<NodeId>& voters, const std::map<NodeId, bool>& votes) {
  if (voters.empty()) return VoteResult::kWon;
  size_t granted = 0;
  size_t missing = 0;
  for (const NodeId id : voters) {
    const auto vote = votes.find(id);
    if (vote == votes.end()) {
      ++missing;
    } else if (vote->second) {
      ++granted;
    }
  }
  const size_t majority = voters.size() / 2 + 1;
  if (granted >= majority) return VoteResult::kWon;
  return granted + missing >= majority ? VoteResult::kPending : VoteResult::kLost;
}

void sort_unique(std::vector<NodeId>* ids) {
  std::sort(ids->begin(), ids->end());
  ids->erase(std::unique(ids->begin(), ids->end()), ids->end());
}

}  // namespace

std::vector<NodeId> all_voters(const ConfState& conf) {
  std::vector<NodeId> out = conf.voters;
  out.insert(out.end(), conf.voters_outgoing.begin(), conf.voters_outgoing.end());
  sort_unique(&out);
  return out;
}

std::vector<NodeId> all_members(const ConfState& conf) {
  std::vector<NodeId> out = all_voters(conf);
  out.insert(out.end(), conf.learners.begin(), conf.learners.end());
  sort_unique(&out);
  return out;
}

VoteResult tally(const ConfState& conf, const std::map<NodeId, bool>& votes) {
  if (conf.voters.empty()) return VoteResult::kLost;
  const VoteResult incoming = tally_half(conf.voters, votes);
  const VoteResult outgoing = tally_half(conf.voters_outgoing, votes);
  if (incoming == outgoing) return incoming;
  if (incoming == VoteResult::kLost || outgoing == VoteResult::kLost) return VoteResult::kLost;
  return VoteResult::kPending;
}

Result<ConfState> normalize(ConfState conf) {
  sort_unique(&conf.voters);
  sort_unique(&conf.learners);
  sort_unique(&conf.voters_outgoing);
  sort_unique(&conf.learners_next);
  if (contains(conf.voters, kNoNode) || contains(conf.voters_outgoing, kNoNode) ||
      contains(conf.learners, kNoNode)) {
    return invalid("membership contains the id 0");
  }
  if (conf.voters.empty() && !all_members(conf).empty()) {
    return invalid("membership has members but no voters");
  }
  for (const NodeId id : conf.learners) {
    if (is_voter(conf, id)) {
      return invalid("member " + std::to_string(id) + " is both voter and learner");
    }
  }
  for (const NodeId id : conf.learners_next) {
    if (!contains(conf.voters_outgoing, id) || contains(conf.voters, id)) {
      return invalid("member " + std::to_string(id) + " is a next learner but no outgoing voter");
    }
  }
  if (!is_joint(conf) && conf.auto_leave) {
    return invalid("membership is to leave joint by itself but is not joint");
  }
  return conf;
}

Result<ConfState> changed(const ConfState& conf, const MembershipChange& change) {
  if (leaves_joint(change)) return leave_joint(conf);
  ConfState next = conf;
  if (change.v2 && (change.transition != Transition::kAuto || change.changes.size() > 1)) {
    if (is_joint(conf)) return invalid("membership is already joint");
    if (conf.voters.empty()) return invalid("membership without voters cannot become joint");
    next.voters_outgoing = conf.voters;
    MORTISE_RETURN_IF_ERROR(apply_singles(&next, change.changes));
    next.auto_leave = change.transition != Transition::kJointExplicit;
    return next;
  }
  if (is_joint(conf)) return invalid("membership is joint; a simple change is not allowed");
  MORTISE_RETURN_IF_ERROR(apply_singles(&next, change.changes));
  if (difference_size(conf.voters, next.voters) > 1) {
    return invalid("more than one voter changed without a joint membership");
  }
  return next;
}

}  // namespace mortise::raft
