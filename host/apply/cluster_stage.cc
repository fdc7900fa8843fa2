// Alarms, what members publish, cluster version, downgrades.
#include "host/apply/applier.h"
#include "host/membership/versions.h"

namespace mortise::apply {
namespace {

enum AlarmAction : int32_t { kGet = 0, kActivate = 1, kDeactivate = 2 };

Status unreadable(std::string_view what) {
  return corruption("a logged " + std::string(what) + " request is malformed");
}

LogFields alarm_fields(const Alarm& alarm) {
  return {{"alarm", std::string(alarm.type == kAlarmNoSpace ? "NOSPACE" : "CORRUPT")},
          {"from", membership::hex_id(alarm.member_id)}};
}

void append_ids(std::string* out, uint32_t field, const std::vector<raft::NodeId>& ids) {
  for (raft::NodeId id : ids) {
    // Repeated and unpacked, so zero is written too.
    char buffer[20];
    char* p = wire::write_varint(wire::write_tag(buffer, field, wire::Type::kVarint), id);
    out->append(buffer, static_cast<size_t>(p - buffer));
  }
}

}  // namespace

Status Applier::apply_alarm(std::string_view request, ApplyResult* result) {
  int32_t action = kGet;
  Alarm alarm;
  wire::FieldReader reader(request);
  wire::Field f;
  while (reader.next(&f)) {
    if (f.is_varint(1)) action = static_cast<int32_t>(f.varint);
    if (f.is_varint(2)) alarm.member_id = f.varint;
    if (f.is_varint(3)) alarm.type = static_cast<int32_t>(f.varint);
  }
  if (reader.failed()) return unreadable("alarm");
  std::vector<Alarm> shown;
  if (action == kGet) {
    shown = alarms_->list(alarm.type);
  } else if (action == kActivate && alarm.type != kAlarmNone) {
    if (alarms_->activate(alarm)) writer_.put_row(store::kAlarms, encode_alarm(alarm), {});
    shown.push_back(alarm);
    hooks_.log("warn", "alarm raised", alarm_fields(alarm));
  } else if (action == kDeactivate) {
    if (alarms_->deactivate(alarm)) {
      writer_.remove_row(store::kAlarms, encode_alarm(alarm));
      shown.push_back(alarm);
      hooks_.log("warn", "alarm disarmed", alarm_fields(alarm));
    }
  }
  std::string body;
  for (const Alarm& a : shown) wire::append_bytes_field(&body, 2, encode_alarm(a));
  result->body.append(body);
  return Status();
}

Status Applier::apply_cluster_version(std::string_view request) {
  MORTISE_ASSIGN_OR_RETURN(auto published, membership::decode_cluster_version(request));
  set_cluster_version(published.cluster_version);
  return Status();
}

void Applier::set_cluster_version(const std::string& version) {
  const std::string before = membership::shown_version(cluster_->version());
  const std::string after = membership::shown_version(version);
  if (before.empty()) {
    hooks_.log("info", "set initial cluster version", log_fields({{"cluster-version", after}}));
  } else {
    hooks_.log("info", "updated cluster version", log_fields({{"from", before}, {"to", after}}));
  }
  hooks_.log("info", "enabled capabilities for version", log_fields({{"cluster-version", after}}));
  cluster_->set_version(version);
  writer_.put_row(store::kMeta, membership::kClusterVersionKey, version);
}

// The cluster version follows; the leader proposes it.
Status Applier::apply_downgrade_info(std::string_view request) {
  bool enabled = false;
  std::string version;
  wire::FieldReader reader(request);
  wire::Field f;
  while (reader.next(&f)) {
    if (f.is_varint(1)) enabled = f.varint != 0;
    if (f.is_bytes(2)) version = f.bytes;
  }
  if (reader.failed()) return unreadable("downgrade");
  if (!enabled) version.clear();
  cluster_->set_downgrade_target(version);
  if (enabled) {
    writer_.put_row(store::kMeta, membership::kDowngradeKey, version);
  } else {
    writer_.remove_row(store::kMeta, membership::kDowngradeKey);
  }
  hooks_.log("info", enabled ? "downgrade enabled" : "downgrade ended",
             log_fields({{"target-version", version}}));
  return Status();
}

Status Applier::apply_member_attributes(std::string_view request) {
  MORTISE_ASSIGN_OR_RETURN(auto published, membership::decode_attributes(request));
  set_attributes(published);
  return Status();
}

void Applier::set_attributes(const membership::Published& published) {
  auto member = cluster_->member(published.member_id);
  if (!member) return;
  member->name = published.name;
  member->client_urls = published.client_urls;
  cluster_->put(*member);
  writer_.put_row(store::kMembers, membership::member_row(member->id),
                  membership::encode_member(*member));
}

// How members up to 3.5 publish; nothing else of the old API is kept.
void Applier::apply_v2(std::string_view request) {
  auto published = membership::decode_v2_request(request);
  if (published.member_id != 0) set_attributes(published);
  if (!published.cluster_version.empty()) set_cluster_version(published.cluster_version);
}

// raftpb.ConfState.
std::string encode_conf_state(const raft::ConfState& state) {
  std::string out;
  append_ids(&out, 1, state.voters);
  append_ids(&out, 2, state.learners);
  append_ids(&out, 3, state.voters_outgoing);
  append_ids(&out, 4, state.learners_next);
  wire::append_varint_field(&out, 5, state.auto_leave ? 1 : 0);
  return out;
}

Result<raft::ConfState> read_conf_state(const store::Reader& reader) {
  raft::ConfState state;
  bool found;
  std::string_view value;
  MORTISE_RETURN_IF_ERROR(reader.get(store::kMeta, kConfStateKey, &found, &value));
  if (!found) return state;
  wire::FieldReader fields(value);
  wire::Field f;
  while (fields.next(&f)) {
    if (f.is_varint(1)) state.voters.push_back(f.varint);
    if (f.is_varint(2)) state.learners.push_back(f.varint);
    if (f.is_varint(3)) state.voters_outgoing.push_back(f.varint);
    if (f.is_varint(4)) state.learners_next.push_back(f.varint);
    if (f.is_varint(5)) state.auto_leave = f.varint != 0;
  }
  if (fields.failed()) return corruption("the stored membership is malformed");
  return state;
}

}  // namespace mortise::apply
