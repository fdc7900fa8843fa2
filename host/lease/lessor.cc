#include "host/lease/lessor.h"

#include "host/wire/codec.h"

namespace mortise::lease {
namespace {

std::string id_bytes(uint64_t id) {
  id = __builtin_bswap64(id);
  return std::string(reinterpret_cast<const char*>(&id), 8);
}

}  // namespace

std::string encode_lease(int64_t id, int64_t ttl) {
  std::string out;
  wire::append_varint_field(&out, 1, static_cast<uint64_t>(id));
  wire::append_varint_field(&out, 2, static_cast<uint64_t>(ttl));
  return out;
}

bool decode_lease(std::string_view bytes, int64_t* id, int64_t* ttl) {
  wire::FieldReader reader(bytes);
  wire::Field f;
  while (reader.next(&f)) {
    if (f.is_varint(1)) *id = static_cast<int64_t>(f.varint);
    if (f.is_varint(2)) *ttl = static_cast<int64_t>(f.varint);
  }
  return !reader.failed();
}

std::string lease_row(int64_t id) { return id_bytes(static_cast<uint64_t>(id)); }

Status attached_keys(const store::Reader& reader, int64_t id,
                     const std::function<void(std::string_view)>& visit) {
  MORTISE_ASSIGN_OR_RETURN(auto cursor, reader.cursor(store::kLeaseKeys, MORTISE_CURSOR_KEYS_ONLY));
  auto unsigned_id = static_cast<uint64_t>(id);
  std::string upper = unsigned_id == UINT64_MAX ? std::string() : id_bytes(unsigned_id + 1);
  MORTISE_RETURN_IF_ERROR(cursor.seek(id_bytes(unsigned_id), upper));
  std::string_view row, value;
  while (cursor.next(&row, &value)) visit(row.substr(8));
  return cursor.status();
}

Lessor::Lessor(int64_t min_ttl_seconds, std::function<Clock::time_point()> now)
    : min_ttl_seconds_(min_ttl_seconds), now_(std::move(now)) {}

Status Lessor::load(const store::Reader& reader) {
  MORTISE_ASSIGN_OR_RETURN(auto cursor, reader.cursor(store::kLeases));
  MORTISE_RETURN_IF_ERROR(cursor.seek({}, {}));
  std::lock_guard lock(mutex_);
  leases_.clear();
  by_expiry_.clear();
  std::string_view row, value;
  while (cursor.next(&row, &value)) {
    int64_t id = 0, ttl = 0;
    if (!decode_lease(value, &id, &ttl) || id == 0)
      return corruption("a stored lease is malformed");
    leases_[id].ttl = ttl;
  }
  return cursor.status();
}

RpcStatus Lessor::check_grant(int64_t id, int64_t ttl, int64_t* granted_ttl) const {
  if (id == 0) return rpc_errors::kLeaseNotFound;
  if (ttl > kTtlSecondsMax) return rpc_errors::kLeaseTtlTooLarge;
  if (exists(id)) return rpc_errors::kLeaseExists;
  *granted_ttl = std::max(ttl, min_ttl_seconds_);
  return RpcStatus();
}

Clock::time_point Lessor::full_time(int64_t ttl) const {
  return now_() + std::chrono::seconds(ttl);
}

void Lessor::set_expiry(int64_t id, Lease* lease, Clock::time_point expiry) {
  by_expiry_.erase({lease->expiry, id});
  lease->expiry = expiry;
  lease->not_before = expiry;
  by_expiry_.insert({expiry, id});
}

void Lessor::grant(int64_t id, int64_t granted_ttl) {
  std::lock_guard lock(mutex_);
  Lease& lease = leases_[id];
  lease.ttl = granted_ttl;
  if (primary_) set_expiry(id, &lease, full_time(granted_ttl));
}

std::vector<std::function<void()>> Lessor::revoke(int64_t id) {
  std::vector<std::function<void()>> waiters;
  std::lock_guard lock(mutex_);
  auto it = leases_.find(id);
  if (it == leases_.end()) return waiters;
  by_expiry_.erase({it->second.expiry, id});
  waiters.swap(it->second.waiters);
  leases_.erase(it);
  return waiters;
}

bool Lessor::exists(int64_t id) const {
  std::lock_guard lock(mutex_);
  return leases_.contains(id);
}

void Lessor::promote(std::chrono::milliseconds extend) {
  std::lock_guard lock(mutex_);
  primary_ = true;
  by_expiry_.clear();
  for (auto& [id, lease] : leases_) set_expiry(id, &lease, full_time(lease.ttl) + extend);
}

void Lessor::demote() {
  std::vector<std::function<void()>> waiters;
  {
    std::lock_guard lock(mutex_);
    primary_ = false;
    by_expiry_.clear();
    for (auto& [id, lease] : leases_) {
      lease.expiry = {};
      for (auto& waiter : lease.waiters) waiters.push_back(std::move(waiter));
      lease.waiters.clear();
    }
  }
  for (auto& waiter : waiters) waiter();
}

Lessor::Renewal Lessor::renew(int64_t id, int64_t* ttl, std::function<void()> revoked) {
  std::lock_guard lock(mutex_);
  auto it = leases_.find(id);
  if (it == leases_.end()) return Renewal::kUnknown;
  Lease& lease = it->second;
  if (lease.expiry <= now_()) {
    lease.waiters.push_back(std::move(revoked));
    return Renewal::kExpired;
  }
  set_expiry(id, &lease, full_time(lease.ttl));
  *ttl = lease.ttl;
  return Renewal::kRenewed;
}

std::optional<LeaseInfo> Lessor::info(int64_t id) const {
  std::lock_guard lock(mutex_);
  auto it = leases_.find(id);
  if (it == leases_.end()) return std::nullopt;
  LeaseInfo info{id, it->second.ttl, it->second.ttl};
  if (primary_) {
    auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(it->second.expiry - now_());
    info.remaining_ttl = left.count() / 1'000'000'000;
  }
  return info;
}

std::vector<int64_t> Lessor::by_remaining_time() const {
  std::lock_guard lock(mutex_);
  std::vector<int64_t> ids;
  ids.reserve(leases_.size());
  if (primary_) {
    for (const auto& [expiry, id] : by_expiry_) ids.push_back(id);
  } else {
    for (const auto& [id, lease] : leases_) ids.push_back(id);
    std::sort(ids.begin(), ids.end());
  }
  return ids;
}

std::vector<int64_t> Lessor::expired(size_t limit, std::chrono::milliseconds retry) {
  std::lock_guard lock(mutex_);
  std::vector<int64_t> ids;
  if (!primary_) return ids;
  Clock::time_point now = now_();
  for (const auto& [expiry, id] : by_expiry_) {
    if (expiry > now || ids.size() >= limit) break;
    Lease& lease = leases_.at(id);
    if (lease.not_before > now) continue;
    lease.not_before = now + retry;
    ids.push_back(id);
  }
  return ids;
}

}  // namespace mortise::lease
