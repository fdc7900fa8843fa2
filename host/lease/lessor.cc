#include "host/lease/lessor.h"

#include <algorithm>

namespace mortise::lease {
namespace {

// Moves an entry of a queue without giving its memory back.
template <typename Queue>
void move_in(Queue* queue, Clock::time_point from, Clock::time_point to, int64_t id) {
  auto node = queue->extract({from, id});
  if (node.empty()) {
    queue->insert({to, id});
    return;
  }
  node.value() = {to, id};
  queue->insert(std::move(node));
}

}  // namespace

Lessor::Lessor(LessorOptions options) : options_(std::move(options)) {}

Status Lessor::load(const store::Reader& reader) {
  MORTISE_ASSIGN_OR_RETURN(auto cursor, reader.cursor(store::kLeases));
  MORTISE_RETURN_IF_ERROR(cursor.seek({}, {}));
  std::lock_guard lock(mutex_);
  leases_.clear();
  by_due_.clear();
  by_checkpoint_.clear();
  revoked_.clear();
  std::string_view row, value;
  while (cursor.next(&row, &value)) {
    LeaseRecord stored;
    if (!decode_lease(value, &stored) || stored.id == 0)
      return corruption("a stored lease is malformed");
    Lease& lease = leases_[stored.id];
    lease.ttl = std::max(stored.ttl, options_.min_ttl_seconds);
    lease.remaining_ttl = stored.remaining_ttl;
  }
  return cursor.status();
}

RpcStatus Lessor::check_grant(int64_t id, int64_t ttl, int64_t* granted_ttl) const {
  if (id == 0) return rpc_errors::kLeaseNotFound;
  if (ttl > kTtlSecondsMax) return rpc_errors::kLeaseTtlTooLarge;
  if (exists(id)) return rpc_errors::kLeaseExists;
  *granted_ttl = std::max(ttl, options_.min_ttl_seconds);
  return RpcStatus();
}

void Lessor::set_due(int64_t id, Lease* lease, Clock::time_point due) {
  move_in(&by_due_, lease->due, due, id);
  lease->due = due;
}

// None if the lease has little time left.
void Lessor::schedule_checkpoint(int64_t id, Lease* lease, int64_t seconds_left) {
  if (!options_.makes_checkpoints || seconds_left <= kCheckpointInterval.count()) {
    by_checkpoint_.erase({lease->checkpoint, id});
    lease->checkpoint = {};
    return;
  }
  Clock::time_point at = options_.now() + kCheckpointInterval;
  move_in(&by_checkpoint_, lease->checkpoint, at, id);
  lease->checkpoint = at;
}

void Lessor::grant(int64_t id, int64_t granted_ttl) {
  std::lock_guard lock(mutex_);
  Lease& lease = leases_[id];
  lease = Lease();
  lease.ttl = granted_ttl;
  counters_.granted.add_alone();
  counters_.granted_ttls.observe_alone(static_cast<uint64_t>(granted_ttl));
  if (!is_primary_) return;
  lease.expiry = from_now(granted_ttl);
  set_due(id, &lease, lease.expiry);
  schedule_checkpoint(id, &lease, granted_ttl);
}

std::optional<LeaseRecord> Lessor::checkpoint(int64_t id, int64_t remaining_ttl) {
  std::lock_guard lock(mutex_);
  auto it = leases_.find(id);
  if (it == leases_.end() || it->second.is_revoked) return std::nullopt;
  it->second.remaining_ttl = remaining_ttl;
  return LeaseRecord{id, it->second.ttl, remaining_ttl};
}

void Lessor::revoke(int64_t id) {
  std::lock_guard lock(mutex_);
  auto it = leases_.find(id);
  if (it == leases_.end() || it->second.is_revoked) return;
  by_due_.erase({it->second.due, id});
  by_checkpoint_.erase({it->second.checkpoint, id});
  it->second.is_revoked = true;
  counters_.revoked.add_alone();
  revoked_.push_back(id);
}

void Lessor::show_revocations() {
  std::vector<std::function<void()>> waiters;
  {
    std::lock_guard lock(mutex_);
    for (int64_t id : revoked_) {
      auto it = leases_.find(id);
      // It may have been granted anew since.
      if (it != leases_.end() && it->second.is_revoked) leases_.erase(it);
      auto waiting = waiters_.extract(id);
      if (waiting.empty()) continue;
      std::move(waiting.mapped().begin(), waiting.mapped().end(), std::back_inserter(waiters));
    }
    revoked_.clear();
  }
  for (auto& waiter : waiters) waiter();
}

bool Lessor::exists(int64_t id) const {
  std::lock_guard lock(mutex_);
  auto it = leases_.find(id);
  return it != leases_.end() && !it->second.is_revoked;
}

size_t Lessor::count() const {
  std::lock_guard lock(mutex_);
  return leases_.size();
}

// Leases that were granted over days must not all run out in the second in which a leader's term
// and their TTL end. Of those that fall into a window, a second at first, the ones beyond
// kExpiriesPerSecond are put off, and the window grows with them.
void Lessor::spread_expiries(std::vector<Leases::value_type*>* leases) {
  std::sort(leases->begin(), leases->end(),
            [](const auto* a, const auto* b) { return a->second.expiry < b->second.expiry; });
  constexpr std::chrono::nanoseconds kSecond = std::chrono::seconds(1);
  Clock::time_point window = leases->front()->second.expiry;
  Clock::time_point window_end = window + kSecond;
  int64_t expiries = 0;
  for (auto* entry : *leases) {
    Clock::time_point expiry = entry->second.expiry;
    if (expiry > window_end) {
      window = expiry;
      window_end = window + kSecond;
      expiries = 1;
      continue;
    }
    if (++expiries <= kExpiriesPerSecond) continue;
    auto put_off = kSecond * expiries / kExpiriesPerSecond - (expiry - window);
    window_end = window + put_off;
    entry->second.expiry = expiry + put_off;
  }
}

void Lessor::promote(std::chrono::milliseconds extend) {
  std::lock_guard lock(mutex_);
  is_primary_ = true;
  by_due_.clear();
  by_checkpoint_.clear();
  std::vector<Leases::value_type*> leases;
  leases.reserve(leases_.size());
  Clock::time_point now = options_.now();
  for (auto& entry : leases_) {
    if (entry.second.is_revoked) continue;
    entry.second.expiry = now + std::chrono::seconds(entry.second.time_left()) + extend;
    entry.second.checkpoint = {};
    leases.push_back(&entry);
  }
  if (leases.size() >= kSpreadFrom) spread_expiries(&leases);
  for (auto* entry : leases) {
    entry->second.due = entry->second.expiry;
    by_due_.insert(by_due_.end(), {entry->second.due, entry->first});
    schedule_checkpoint(entry->first, &entry->second, entry->second.time_left());
  }
}

void Lessor::demote() {
  std::unordered_map<int64_t, std::vector<std::function<void()>>> waiters;
  {
    std::lock_guard lock(mutex_);
    is_primary_ = false;
    by_due_.clear();
    by_checkpoint_.clear();
    waiters.swap(waiters_);
  }
  for (auto& [id, waiting] : waiters) {
    for (auto& waiter : waiting) waiter();
  }
}

Lessor::Renewal Lessor::renew(int64_t id, int64_t* ttl, std::function<void()> revoked) {
  std::lock_guard lock(mutex_);
  if (!is_primary_) return Renewal::kNotPrimary;
  auto it = leases_.find(id);
  if (it == leases_.end()) return Renewal::kUnknown;
  Lease& lease = it->second;
  if (lease.is_revoked || lease.expiry <= options_.now()) {
    waiters_[id].push_back(std::move(revoked));
    return Renewal::kExpired;
  }
  if (lease.remaining_ttl > 0) return Renewal::kCheckpointed;
  lease.expiry = from_now(lease.ttl);
  set_due(id, &lease, lease.expiry);
  if (lease.checkpoint == Clock::time_point()) schedule_checkpoint(id, &lease, lease.ttl);
  *ttl = lease.ttl;
  counters_.renewed.add_alone();
  return Renewal::kRenewed;
}

std::optional<LeaseInfo> Lessor::info(int64_t id) const {
  std::lock_guard lock(mutex_);
  auto it = leases_.find(id);
  if (it == leases_.end()) return std::nullopt;
  LeaseInfo info{it->second.ttl, it->second.time_left(), is_primary_};
  if (is_primary_) {
    info.remaining_ttl =
        std::chrono::duration_cast<std::chrono::seconds>(it->second.expiry - options_.now())
            .count();
  }
  return info;
}

std::vector<int64_t> Lessor::by_remaining_time() const {
  std::vector<std::pair<Clock::time_point, int64_t>> leases;
  {
    std::lock_guard lock(mutex_);
    leases.reserve(leases_.size());
    for (const auto& [id, lease] : leases_) {
      leases.emplace_back(is_primary_ ? lease.expiry : Clock::time_point(), id);
    }
  }
  std::sort(leases.begin(), leases.end());
  std::vector<int64_t> ids;
  ids.reserve(leases.size());
  for (const auto& [expiry, id] : leases) ids.push_back(id);
  return ids;
}

std::vector<int64_t> Lessor::expired(size_t limit, std::chrono::milliseconds retry) {
  std::lock_guard lock(mutex_);
  std::vector<int64_t> ids;
  if (!is_primary_) return ids;
  Clock::time_point now = options_.now();
  while (!by_due_.empty() && by_due_.begin()->first <= now && ids.size() < limit) {
    int64_t id = by_due_.begin()->second;
    set_due(id, &leases_.at(id), now + retry);
    ids.push_back(id);
  }
  return ids;
}

std::vector<LeaseRecord> Lessor::due_checkpoints(size_t limit) {
  std::lock_guard lock(mutex_);
  std::vector<LeaseRecord> checkpoints;
  Clock::time_point now = options_.now();
  while (!by_checkpoint_.empty() && by_checkpoint_.begin()->first <= now &&
         checkpoints.size() < limit) {
    int64_t id = by_checkpoint_.begin()->second;
    Lease& lease = leases_.at(id);
    int64_t left = std::chrono::ceil<std::chrono::seconds>(lease.expiry - now).count();
    if (left > 0 && left < lease.ttl) checkpoints.push_back({id, lease.ttl, left});
    // A lease that was just renewed has nothing to say yet; its turn comes again.
    schedule_checkpoint(id, &lease, left);
  }
  return checkpoints;
}

}  // namespace mortise::lease
