#include "host/apply/alarms.h"

#include "host/wire/codec.h"

namespace mortise::apply {

std::string encode_alarm(const Alarm& alarm) {
  std::string out;
  wire::append_varint_field(&out, 1, alarm.member_id);
  wire::append_varint_field(&out, 2, static_cast<uint64_t>(alarm.type));
  return out;
}

bool decode_alarm(std::string_view bytes, Alarm* alarm) {
  *alarm = Alarm();
  wire::FieldReader reader(bytes);
  wire::Field f;
  while (reader.next(&f)) {
    if (f.is_varint(1)) alarm->member_id = f.varint;
    if (f.is_varint(2)) alarm->type = static_cast<int32_t>(f.varint);
  }
  return !reader.failed();
}

Status Alarms::load(const store::Reader& reader) {
  MORTISE_ASSIGN_OR_RETURN(auto cursor, reader.cursor(store::kAlarms));
  MORTISE_RETURN_IF_ERROR(cursor.seek({}, {}));
  std::lock_guard lock(mutex_);
  alarms_.clear();
  std::string_view row, value;
  while (cursor.next(&row, &value)) {
    Alarm alarm;
    if (!decode_alarm(row, &alarm)) return corruption("a stored alarm is malformed");
    alarms_.insert(alarm);
  }
  update_active();
  return cursor.status();
}

void Alarms::update_active() {
  uint32_t active = 0;
  for (const Alarm& alarm : alarms_) active |= 1u << (alarm.type & 31);
  active_.store(active, std::memory_order_release);
  bool corrupt = local_id_ != 0 && alarms_.contains(Alarm{local_id_, kAlarmCorrupt});
  local_is_corrupt_.store(corrupt, std::memory_order_release);
}

bool Alarms::is_raised(const Alarm& alarm) const {
  std::lock_guard lock(mutex_);
  return alarms_.contains(alarm);
}

std::vector<Alarm> Alarms::list(int32_t type) const {
  std::lock_guard lock(mutex_);
  std::vector<Alarm> out;
  for (const Alarm& alarm : alarms_) {
    if (type == kAlarmNone || alarm.type == type) out.push_back(alarm);
  }
  return out;
}

bool Alarms::activate(const Alarm& alarm) {
  std::lock_guard lock(mutex_);
  bool changed = alarms_.insert(alarm).second;
  update_active();
  return changed;
}

bool Alarms::deactivate(const Alarm& alarm) {
  std::lock_guard lock(mutex_);
  bool changed = alarms_.erase(alarm) > 0;
  update_active();
  return changed;
}

}  // namespace mortise::apply
