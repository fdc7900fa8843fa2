// Alarms of the cluster: which member has raised what. Changed by the apply thread, read by any.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "host/base/status.h"
#include "host/store/store.h"

namespace mortise::apply {

enum AlarmType : int32_t { kAlarmNone = 0, kAlarmNoSpace = 1, kAlarmCorrupt = 2 };

struct Alarm {
  uint64_t member_id = 0;
  int32_t type = kAlarmNone;
  friend auto operator<=>(const Alarm&, const Alarm&) = default;
};

// etcdserverpb.AlarmMember; also the name of the alarm's row.
std::string encode_alarm(const Alarm& alarm);
bool decode_alarm(std::string_view bytes, Alarm* alarm);

class Alarms {
 public:
  // Of the member that local_is_corrupt() speaks of. Before anything else.
  void set_local(uint64_t member_id) { local_id_ = member_id; }
  Status load(const store::Reader& reader);
  bool is_active(AlarmType type) const {
    return (active_.load(std::memory_order_acquire) & (1u << type)) != 0;
  }
  // Has CORRUPT been raised for this very member?
  bool local_is_corrupt() const { return local_is_corrupt_.load(std::memory_order_acquire); }
  bool is_raised(const Alarm& alarm) const;
  // Of one type, or all if kAlarmNone; ordered by member.
  std::vector<Alarm> list(int32_t type) const;
  // Whether something changed.
  bool activate(const Alarm& alarm);
  bool deactivate(const Alarm& alarm);

 private:
  void update_active();
  mutable std::mutex mutex_;
  std::set<Alarm> alarms_;
  std::atomic<uint32_t> active_{0};
  std::atomic<bool> local_is_corrupt_{false};
  uint64_t local_id_ = 0;
};

}  // namespace mortise::apply
