// The steps of a contender: lease, key, turn, answer.
#include "host/lock/engine.h"
#include "host/lock/key_scan.h"
#include "host/lock/requests.h"
#include "host/wire/raft_request.h"

namespace mortise::lock {
namespace {

using Step = Contender::Step;

// Deletions of those who give up that are proposed at a time: all clients of a crowd may go at
// once.
constexpr size_t kDeletionsMax = 256;

class ProposalWaiter : public apply::Waiter {
 public:
  ProposalWaiter(std::shared_ptr<Inbox> inbox, uint64_t id) : inbox_(std::move(inbox)), id_(id) {}
  void complete(apply::ApplyResult result) override {
    inbox_->push(ProposedItem{id_, std::move(result)});
  }

 private:
  const std::shared_ptr<Inbox> inbox_;
  const uint64_t id_;
};

}  // namespace

// As the client itself would, and as whoever it is by then. etcd's txn that makes the key looks for
// the oldest key of the prefix, so its client must be allowed to, too.
void Engine::propose(Contender* contender, uint32_t field, const std::string& request) {
  RpcStatus status;
  wire::Author author;
  if (auth::Warrant* warrant = contender->claim.warrant.get()) {
    auth::Needs needs;
    const std::string prefix = prefix_of(contender->claim.name);
    const std::string end = prefix_end(prefix);
    auth::needs_of_proposal(field, request, &needs);
    if (contender->step == Step::kKey) needs.add(MORTISE_ACCESS_READ, prefix, end);
    status = warrant->permit(needs);
    author = warrant->author();
  }
  if (status.ok()) {
    return options_.propose(field, request, author,
                            std::make_unique<ProposalWaiter>(inbox_, contender->id));
  }
  apply::ApplyResult refused;
  refused.rpc = status;
  inbox_->push(ProposedItem{contender->id, std::move(refused)});
}

RpcStatus Engine::may_read(const Contender& contender) const {
  auth::Warrant* warrant = contender.claim.warrant.get();
  if (warrant == nullptr) return RpcStatus();
  auth::Needs needs;
  const std::string prefix = prefix_of(contender.claim.name);
  const std::string end = prefix_end(prefix);
  needs.add(MORTISE_ACCESS_READ, prefix, end);
  return warrant->permit(needs);
}

Status Engine::on(StartItem& item) {
  Contender* contender = item.contender.get();
  contenders_[contender->id] = std::move(item.contender);
  if (contenders_.size() > options_.contenders_max) {
    finish(contender, rpc_errors::kTooManyRequests);
    return Status();
  }
  return enter(contender);
}

// Users, roles and tokens may have come to another member only a moment ago.
Status Engine::enter(Contender* contender) {
  const auth::Warrant* warrant = contender->claim.warrant.get();
  if (warrant == nullptr || !warrant->authority().enabled() || options_.is_linearizable()) {
    return begin(contender);
  }
  contender->step = Step::kEnter;
  options_.when_linearizable([inbox = inbox_, id = contender->id](const RpcStatus& status) {
    inbox->push(ConfirmedItem{id, status});
  });
  return Status();
}

Status Engine::begin(Contender* contender) {
  if (contender->claim.lease != 0) return claim_key(contender);
  contender->claim.lease = options_.new_lease_id();
  contender->step = Step::kLease;
  propose(contender, wire::kRaftLeaseGrant, grant_lease(contender->claim.lease));
  return Status();
}

Status Engine::claim_key(Contender* contender) {
  const Claim& claim = contender->claim;
  contender->key = key_of(claim.name, claim.lease);
  contender->step = Step::kKey;
  MORTISE_ASSIGN_OR_RETURN(Contest * contest, contest_of(claim));
  contest->expect(contender->id, contender->key);
  if (contest->has_work()) busy_contests_.insert(contest);
  propose(contender, wire::kRaftTxn, create_key(contender->key, claim.value, claim.lease));
  return Status();
}

Status Engine::on(ProposedItem& item) {
  auto at = contenders_.find(item.id);
  if (at == contenders_.end()) return Status();
  Contender* contender = at->second.get();
  if (contender->step == Step::kGiveUp) {
    --deletions_under_way_;
    finish(contender, contender->failure);
    start_deletions();
    return Status();
  }
  if (!item.result.rpc.ok() && contender->step != Step::kProclaim) {
    finish(contender, item.result.rpc);
    return Status();
  }
  switch (contender->step) {
    case Step::kLease:
      if (!contender->canceled) return claim_key(contender);
      finish(contender, rpc_errors::kContextCanceled);
      return Status();
    case Step::kKey: return key_claimed(contender, item.result);
    default: return value_replaced(contender, item.result);
  }
}

Status Engine::key_claimed(Contender* contender, const apply::ApplyResult& result) {
  KeyFound found;
  MORTISE_CHECK(parse_created(result.body.view(), &found), "the answer to a txn is malformed");
  contender->revision = result.revision;
  contender->create_revision = found.created ? result.revision : found.create_revision;
  if (contender->canceled) {
    // A key that was there before belongs to another call as well.
    if (found.created) {
      give_up(contender, rpc_errors::kContextCanceled);
    } else {
      finish(contender, rpc_errors::kContextCanceled);
    }
    return Status();
  }
  std::string value = std::exchange(contender->claim.value, {});
  if (contender->claim.kind == ContestKind::kLock || found.created || found.value == value) {
    return wait_for_turn(contender);
  }
  contender->step = Step::kProclaim;
  propose(contender, wire::kRaftTxn,
          update_key(contender->key, contender->create_revision, value, contender->claim.lease));
  return Status();
}

Status Engine::value_replaced(Contender* contender, const apply::ApplyResult& result) {
  RpcStatus status = result.rpc;
  if (status.ok() && !txn_succeeded(result.body.view())) status = rpc_errors::kElectionNotLeader;
  if (status.ok() && contender->canceled) status = rpc_errors::kContextCanceled;
  if (status.ok()) return wait_for_turn(contender);
  give_up(contender, status);
  return Status();
}

Status Engine::wait_for_turn(Contender* contender) {
  contender->step = Step::kTurn;
  Contest* contest = find_contest(*contender);
  contest->join(contender->id, contender->create_revision);
  return settle(contest);
}

// A candidate is told of its txn, as etcd does; a lock's holder of the moment at which it holds it.
Status Engine::has_turn(Contender* contender, const Contest& contest) {
  if (RpcStatus refused = may_read(*contender); !refused.ok()) {
    give_up(contender, refused);
    return Status();
  }
  if (contender->claim.kind == ContestKind::kElection || contest.was_first_at_once(contender->id)) {
    finish(contender, RpcStatus());
    return Status();
  }
  if (options_.is_linearizable()) return hold_lock(contender);
  contender->step = Step::kConfirm;
  options_.when_linearizable([inbox = inbox_, id = contender->id](const RpcStatus& status) {
    inbox->push(ConfirmedItem{id, status});
  });
  return Status();
}

Status Engine::on(ConfirmedItem& item) {
  auto at = contenders_.find(item.id);
  if (at == contenders_.end()) return Status();
  if (at->second->step == Step::kEnter) {
    if (item.status.ok() && !at->second->canceled) return begin(at->second.get());
    RpcStatus failure = item.status.ok() ? RpcStatus(rpc_errors::kContextCanceled) : item.status;
    finish(at->second.get(), failure);
    return Status();
  }
  if (at->second->step != Step::kConfirm) return Status();
  if (item.status.ok()) return hold_lock(at->second.get());
  give_up(at->second.get(), item.status);
  return Status();
}

Status Engine::hold_lock(Contender* contender) {
  MORTISE_ASSIGN_OR_RETURN(auto found, find_key(*store_, contender->key));
  bool is_held = found->kv.create_revision == contender->create_revision;
  contender->revision = found->revision;
  finish(contender, is_held ? RpcStatus() : rpc_errors::kSessionExpired);
  return Status();
}

Status Engine::on(CancelItem& item) {
  auto at = contenders_.find(item.id);
  if (at == contenders_.end()) return Status();
  Contender* contender = at->second.get();
  contender->canceled = true;
  if (contender->step == Step::kTurn || contender->step == Step::kConfirm) {
    give_up(contender, rpc_errors::kContextCanceled);
  }
  return Status();
}

void Engine::give_up(Contender* contender, const RpcStatus& status) {
  contender->step = Step::kGiveUp;
  contender->failure = status;
  leave_contest(contender);
  deletions_.push_back(contender->id);
  start_deletions();
}

void Engine::start_deletions() {
  while (deletions_under_way_ < kDeletionsMax && !deletions_.empty()) {
    Contender* contender = contenders_.at(deletions_.front()).get();
    deletions_.pop_front();
    ++deletions_under_way_;
    propose_deletion(contender);
  }
}

void Engine::propose_deletion(Contender* contender) {
  propose(contender, wire::kRaftTxn, delete_key(contender->key, contender->create_revision));
}

void Engine::finish(Contender* contender, const RpcStatus& status) {
  Turn turn;
  turn.status = status;
  turn.key = std::move(contender->key);
  turn.create_revision = contender->create_revision;
  turn.lease = contender->claim.lease;
  turn.revision = contender->revision;
  leave_contest(contender);
  auto node = contenders_.extract(contender->id);
  node.mapped()->done(std::move(turn));
}

}  // namespace mortise::lock
