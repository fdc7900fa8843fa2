#include "host/apply/result.h"

namespace mortise::apply {

void WaitList::add(uint64_t id, std::unique_ptr<Waiter> waiter, Clock::time_point deadline) {
  Shard& s = shard(id);
  std::lock_guard lock(s.mutex);
  s.entries[id] = Entry{std::move(waiter), deadline};
}

std::unique_ptr<Waiter> WaitList::take(uint64_t id) {
  Shard& s = shard(id);
  std::lock_guard lock(s.mutex);
  auto it = s.entries.find(id);
  if (it == s.entries.end()) return nullptr;
  auto waiter = std::move(it->second.waiter);
  s.entries.erase(it);
  return waiter;
}

std::vector<WaitList::Expired> WaitList::take_expired(Clock::time_point now) {
  std::vector<Expired> out;
  for (Shard& s : shards_) {
    std::lock_guard lock(s.mutex);
    for (auto it = s.entries.begin(); it != s.entries.end();) {
      if (it->second.deadline > now) {
        ++it;
        continue;
      }
      out.push_back({std::move(it->second.waiter), it->second.deadline});
      it = s.entries.erase(it);
    }
  }
  return out;
}

std::vector<std::unique_ptr<Waiter>> WaitList::take_all() {
  std::vector<std::unique_ptr<Waiter>> out;
  for (Expired& entry : take_expired(Clock::time_point::max())) {
    out.push_back(std::move(entry.waiter));
  }
  return out;
}

size_t WaitList::size() const {
  size_t n = 0;
  for (const Shard& s : shards_) {
    std::lock_guard lock(s.mutex);
    n += s.entries.size();
  }
  return n;
}

}  // namespace mortise::apply
