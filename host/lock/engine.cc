#include "host/lock/engine.h"

#include <algorithm>

#include "host/lock/requests.h"
#include "host/wire/raft_request.h"

namespace mortise::lock {
namespace {

// As what comes out of etcd's client inside the server: the text stays and the code goes.
RpcStatus inner_error(const RpcStatus& status) {
  return RpcStatus(RpcCode::kUnknown, status.message());
}

}  // namespace

Engine::Engine(const store::Store* store, const KeeperOptions* options,
               std::shared_ptr<Inbox> inbox)
    : store_(store), options_(*options), inbox_(std::move(inbox)) {}

Status Engine::handle(Item& item) {
  MORTISE_RETURN_IF_ERROR(std::visit([this](auto& i) { return on(i); }, item));
  clean_up();
  return Status();
}

// Events of the store

Status Engine::on(BatchItem& item) {
  std::unordered_set<Contest*> touched;
  for (const mvcc::Event& event : item.batch->events) on_event(event, &touched);
  handled_revision_ = std::max(handled_revision_, item.batch->last_revision);
  inbox_->batch_done(*item.batch);
  show_to_late();
  for (Contest* contest : touched) MORTISE_RETURN_IF_ERROR(settle(contest));
  return Status();
}

void Engine::on_event(const mvcc::Event& event, std::unordered_set<Contest*>* touched) {
  for (size_t end = event.key.find('/') + 1; end != 0; end = event.key.find('/', end) + 1) {
    std::string_view prefix = event.key.substr(0, end);
    auto contest = contests_.find(prefix);
    if (contest != contests_.end() && (event.is_create || event.is_delete)) {
      contest->second->on_event(event);
      touched->insert(contest->second.get());
    }
    auto election = elections_.find(prefix);
    if (election == elections_.end()) continue;
    election->second->on_event(event);
    if (election->second->has_work()) busy_elections_.insert(election->second.get());
  }
}

Status Engine::on(MissedItem& item) {
  handled_revision_ = std::max(handled_revision_, item.last_revision);
  for (auto& [prefix, contest] : contests_) {
    contest->missed_events();
    busy_contests_.insert(contest.get());
  }
  for (auto& [prefix, election] : elections_) {
    election->missed_events();
    busy_elections_.insert(election.get());
  }
  return Status();
}

void Engine::follow() {
  if (std::exchange(following_, true)) return;
  inbox_->follow(true);
  // What was visible before comes in no batch, and does not matter to who begins now.
  handled_revision_ = std::max(handled_revision_, options_.revision());
}

void Engine::clean_up() {
  for (const std::string& prefix : left_) {
    auto at = contests_.find(prefix);
    if (at == contests_.end() || !at->second->empty()) continue;
    busy_contests_.erase(at->second.get());
    contests_.erase(at);
  }
  left_.clear();
  if (!following_ || !contests_.empty() || !elections_.empty()) return;
  following_ = false;
  inbox_->follow(false);
}

Status Engine::work() {
  std::vector<Contest*> contests(busy_contests_.begin(), busy_contests_.end());
  for (Contest* contest : contests) {
    MORTISE_RETURN_IF_ERROR(contest->work(handled_revision_));
    MORTISE_RETURN_IF_ERROR(settle(contest));
  }
  for (auto at = busy_elections_.begin(); at != busy_elections_.end();) {
    MORTISE_RETURN_IF_ERROR((*at)->work());
    at = (*at)->has_work() ? std::next(at) : busy_elections_.erase(at);
  }
  clean_up();
  return Status();
}

// Contests

Result<Contest*> Engine::contest_of(const Claim& claim) {
  follow();
  std::string prefix = prefix_of(claim.name);
  auto at = contests_.find(prefix);
  if (at != contests_.end()) return at->second.get();
  auto contest = std::make_unique<Contest>(store_, prefix);
  MORTISE_RETURN_IF_ERROR(contest->begin());
  Contest* made = contest.get();
  contests_.emplace(std::move(prefix), std::move(contest));
  return made;
}

Contest* Engine::find_contest(const Contender& contender) {
  auto at = contests_.find(prefix_of(contender.claim.name));
  return at == contests_.end() ? nullptr : at->second.get();
}

Status Engine::settle(Contest* contest) {
  for (uint64_t id : contest->first()) {
    Contender* contender = contenders_.at(id).get();
    if (contender->step != Contender::Step::kTurn) continue;
    MORTISE_RETURN_IF_ERROR(has_turn(contender, *contest));
  }
  if (contest->has_work()) {
    busy_contests_.insert(contest);
  } else {
    busy_contests_.erase(contest);
  }
  return Status();
}

void Engine::leave_contest(Contender* contender) {
  Contest* contest = find_contest(*contender);
  if (contest == nullptr) return;
  contest->leave(contender->id);
  if (contest->empty()) left_.push_back(contest->prefix());
}

// Observers

Status Engine::on(OpenedItem& item) {
  Observer* observer = item.observer.get();
  observers_.emplace(observer, std::move(item.observer));
  observer->allow_request(options_.request_bytes_max);
  return Status();
}

Status Engine::on(RequestItem& item) {
  Observer* observer = item.observer.get();
  if (!observers_.contains(observer) || observer->election != nullptr) return Status();
  if (item.malformed) {
    end_observer(observer, rpc_errors::kMalformedStream);
    return Status();
  }
  if (!item.confirmed && !options_.is_linearizable()) {
    RequestItem again{item.observer, std::move(item.name), false, true, {}};
    options_.when_linearizable([inbox = inbox_, again](const RpcStatus& status) mutable {
      again.status = status;
      inbox->push(std::move(again));
    });
    return Status();
  }
  if (!item.status.ok()) {
    end_observer(observer, item.status);
    return Status();
  }
  if (observer->warrant != nullptr) {
    const std::string prefix = prefix_of(item.name);
    const std::string end = prefix_end(prefix);
    auth::Needs needs;
    needs.add(MORTISE_ACCESS_READ, prefix, end);
    if (RpcStatus refused = observer->warrant->permit(needs); !refused.ok()) {
      end_observer(observer, inner_error(refused));
      return Status();
    }
  }
  follow();
  auto& election = elections_[prefix_of(item.name)];
  if (election == nullptr) {
    election = std::make_unique<Election>(store_, prefix_of(item.name), &options_.header,
                                          &handled_revision_);
    busy_elections_.insert(election.get());
  }
  observer->election = election.get();
  election->add(observer, options_.revision());
  if (election->is_late_for(*observer)) late_.insert(observer);
  return Status();
}

Status Engine::on(RecheckItem& item) {
  std::vector<std::pair<Observer*, RpcStatus>> refused;
  for (auto& [observer, owner] : observers_) {
    if (observer->warrant == nullptr || observer->election == nullptr) continue;
    const std::string& prefix = observer->election->prefix();
    const std::string end = prefix_end(prefix);
    auth::Needs needs;
    needs.add(MORTISE_ACCESS_READ, prefix, end);
    RpcStatus status = observer->warrant->still_permits(needs, item.users);
    if (!status.ok()) refused.emplace_back(observer, status);
  }
  for (auto& [observer, status] : refused) end_observer(observer, inner_error(status));
  return Status();
}

Status Engine::on(GrantedItem& item) {
  item.observer->take_grants();
  if (item.observer->election != nullptr) item.observer->election->show(item.observer.get());
  return Status();
}

Status Engine::on(GoneItem& item) {
  end_observer(item.observer.get(), rpc_errors::kContextCanceled);
  return Status();
}

void Engine::show_to_late() {
  for (auto at = late_.begin(); at != late_.end();) {
    Observer* observer = *at;
    observer->election->show(observer);
    at = observer->election->is_late_for(*observer) ? std::next(at) : late_.erase(at);
  }
}

void Engine::end_observer(Observer* observer, const RpcStatus& status) {
  auto at = observers_.find(observer);
  if (at == observers_.end()) return;
  std::shared_ptr<Observer> kept = std::move(at->second);
  observers_.erase(at);
  late_.erase(observer);
  Election* election = std::exchange(observer->election, nullptr);
  if (election != nullptr) {
    election->remove(observer);
    if (election->empty()) {
      busy_elections_.erase(election);
      elections_.erase(elections_.find(election->prefix()));
    }
  }
  observer->end(status);
}

// The end

void Engine::adopt(Item& item) {
  if (auto* start = std::get_if<StartItem>(&item); start != nullptr && start->contender) {
    uint64_t id = start->contender->id;
    contenders_[id] = std::move(start->contender);
  } else if (auto* opened = std::get_if<OpenedItem>(&item); opened != nullptr && opened->observer) {
    Observer* observer = opened->observer.get();
    observers_.emplace(observer, std::move(opened->observer));
  }
}

void Engine::end_all(const RpcStatus& status) {
  for (auto& [id, contender] : contenders_) {
    if (contender->step == Contender::Step::kTurn) deletions_.push_back(id);
  }
  for (uint64_t id : deletions_) propose_deletion(contenders_.at(id).get());
  for (auto& [id, contender] : contenders_) contender->done(Turn{.status = status});
  contenders_.clear();
  deletions_.clear();
  while (!observers_.empty()) end_observer(observers_.begin()->first, status);
}

}  // namespace mortise::lock
