#include "tests/sim/operator.h"

#include "host/membership/member.h"
#include "host/raft/membership.h"
#include "tests/sim/process.h"

namespace mortise::sim {
namespace {

constexpr Micros kPeriod = 300 * kMillisecond;

}  // namespace

Operator::Operator(Site* site, Machines* machines)
    : site_(site),
      env_(site->env),
      machines_(machines),
      random_(site->env->fork()),
      next_id_(site->founders.size() + 1) {}

void Operator::start() {
  env_->after(kPeriod, [this] {
    act();
    start();
  });
}

Machine* Operator::newest() const {
  Machine* best = nullptr;
  for (const auto& [id, machine] : *machines_) {
    if (!machine->up()) continue;
    if (best == nullptr || machine->process()->applied() > best->process()->applied()) {
      best = machine.get();
    }
  }
  return best;
}

void Operator::change() {
  Machine* at = newest();
  if (!idle() || paused_ || at == nullptr) return;
  const raft::ConfState& conf = at->process()->conf_state();
  const size_t voters = conf.voters.size();
  const bool shrink = voters > 3 || (voters == 3 && random_.percent(40));
  if (shrink) {
    removing_ = conf.voters[random_.below(voters)];
    add_afterwards_ = voters <= site_->founders.size();
  } else {
    adding_ = next_id_++;
    as_voter_ = random_.percent(30);
  }
}

void Operator::propose(raft::ChangeType type, raft::NodeId id, bool promote) {
  membership::ChangeContext context;
  context.member.id = id;
  context.member.name = "m" + std::to_string(id);
  context.member.peer_urls = {"http://m" + std::to_string(id)};
  context.member.is_learner = type == raft::ChangeType::kAddLearner;
  context.is_promote = promote;
  raft::MembershipChange change;
  change.id = site_->next_request_id++;
  change.changes = {{type, id}};
  if (type != raft::ChangeType::kRemoveNode) {
    change.context = membership::encode_change_context(context);
  }
  // Through a member of chance's choice; it may be lost, and is then tried again.
  for (const auto& [other, machine] : *machines_) {
    if (!machine->up() || machine->paused() || !random_.percent(40)) continue;
    env_->trace("operator: change " + std::to_string(static_cast<int>(type)) + " of member " +
                std::to_string(id) + " through " + std::to_string(other));
    (void)machine->process()->propose_membership(change);
    return;
  }
}

void Operator::stop_removed(const raft::ConfState& conf) {
  const std::vector<raft::NodeId> members = raft::all_members(conf);
  for (const auto& [id, machine] : *machines_) {
    if (raft::contains(members, id) || !machine->started()) continue;
    if (machine->health() == Health::kRemoved || !random_.percent(15)) continue;
    env_->after(0, [m = machine.get()] { m->remove(); });
  }
}

void Operator::go_on_adding(Machine* at, const raft::ConfState& conf) {
  const raft::NodeId id = *adding_;
  if (!raft::contains(raft::all_members(conf), id)) {
    propose(as_voter_ ? raft::ChangeType::kAddNode : raft::ChangeType::kAddLearner, id, false);
    return;
  }
  const auto found = machines_->find(id);
  if (found == machines_->end()) {
    (*machines_)[id] = std::make_unique<Machine>(site_, id, /*founder=*/false);
    env_->after(random_.below(2 * kSecond), [m = (*machines_)[id].get()] {
      if (m->health() == Health::kDown && !m->started()) m->start();
    });
    return;
  }
  Machine& machine = *found->second;
  if (!machine.up()) return;
  if (raft::contains(conf.voters, id)) {
    adding_.reset();
    ++changes_;
  } else if (machine.process()->applied() + 20 > at->process()->applied()) {
    propose(raft::ChangeType::kAddNode, id, true);
  }
}

void Operator::act() {
  Machine* at = newest();
  if (at == nullptr || at->process()->applied() < seen_applied_) return;
  seen_applied_ = at->process()->applied();
  const raft::ConfState conf = at->process()->conf_state();
  // The first entries are not applied yet: who is not in there is not removed.
  if (conf.voters.empty()) return;
  stop_removed(conf);
  if (removing_) {
    if (raft::contains(raft::all_members(conf), *removing_)) {
      propose(raft::ChangeType::kRemoveNode, *removing_, false);
      return;
    }
    removing_.reset();
    ++changes_;
    if (std::exchange(add_afterwards_, false)) {
      adding_ = next_id_++;
      as_voter_ = false;
    }
  } else if (adding_) {
    go_on_adding(at, conf);
  } else if (to_replace_) {
    removing_ = std::exchange(to_replace_, std::nullopt);
    add_afterwards_ = true;
  }
}

}  // namespace mortise::sim
