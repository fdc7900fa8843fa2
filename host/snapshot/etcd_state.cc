#include "host/snapshot/etcd_state.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

namespace mortise::snapshot {
namespace {

using nlohmann::json;

constexpr int kStorageMinorMax = 7;  // Of version 3.

Status malformed(const std::string& what) {
  return corruption("the snapshot's " + what + " is malformed");
}

// Calls visit(key, value) for each row; a bucket that is not there has none.
template <typename Visit>
Status visit_bucket(const bbolt::File& file, std::string_view name, const Visit& visit) {
  auto cursor = file.find(name);
  if (!cursor.ok() && cursor.status().code() == StatusCode::kNotFound) return Status();
  if (!cursor.ok()) return cursor.status();
  bbolt::Row row;
  while (cursor->next(&row)) {
    if (row.is_bucket) return malformed("bucket \"" + std::string(name) + "\"");
    MORTISE_RETURN_IF_ERROR(visit(row.key, row.value));
  }
  return cursor->status();
}

Status read_u64(std::string_view key, std::string_view value, uint64_t* out) {
  if (value.size() != 8) return malformed(std::string(key));
  *out = mvcc::get_u64_be(value.data());
  return Status();
}

Status read_main(std::string_view key, std::string_view value, int64_t* out) {
  mvcc::Revision revision;
  bool tombstone;
  if (!mvcc::decode_revision(value, &revision, &tombstone) || tombstone || revision.main < 0) {
    return malformed(std::string(key));
  }
  *out = revision.main;
  return Status();
}

bool read_ids(const json& object, const char* name, std::vector<raft::NodeId>* out) {
  if (!object.contains(name) || object[name].is_null()) return true;
  if (!object[name].is_array()) return false;
  for (const json& id : object[name]) {
    if (!id.is_number_unsigned()) return false;
    out->push_back(id.get<uint64_t>());
  }
  return true;
}

Status read_conf_state(std::string_view text, std::optional<raft::ConfState>* out) {
  json object = json::parse(text, nullptr, /*allow_exceptions=*/false);
  raft::ConfState state;
  bool good = object.is_object() && read_ids(object, "voters", &state.voters) &&
              read_ids(object, "learners", &state.learners) &&
              read_ids(object, "voters_outgoing", &state.voters_outgoing) &&
              read_ids(object, "learners_next", &state.learners_next);
  if (!good) return malformed("confState");
  state.auto_leave = object.contains("auto_leave") && object["auto_leave"] == true;
  *out = std::move(state);
  return Status();
}

// "3.6.0" and later ones of a minor version that is known; older etcds do not write it.
Status check_storage_version(std::string_view version) {
  int minor = 0;
  const char* end = version.data() + version.size();
  bool good = version.starts_with("3.") &&
              std::from_chars(version.data() + 2, end, minor).ec == std::errc();
  if (!good) return malformed("storageVersion");
  if (minor <= kStorageMinorMax) return Status();
  return invalid("the snapshot has storage version " + std::string(version) +
                 "; 3.7 is the newest that can be read");
}

Status read_meta(const bbolt::File& file, EtcdState* state) {
  return visit_bucket(file, "meta", [&](std::string_view key, std::string_view value) -> Status {
    if (key == "consistent_index") return read_u64(key, value, &state->position.index);
    if (key == "term") return read_u64(key, value, &state->position.term);
    if (key == "confState") return read_conf_state(value, &state->conf_state);
    if (key == "storageVersion") {
      state->storage_version = value;
      return check_storage_version(value);
    }
    if (key == "scheduledCompactRev") return read_main(key, value, &state->scheduled_compaction);
    if (key == "finishedCompactRev") return read_main(key, value, &state->finished_compaction);
    return Status();
  });
}

Status read_cluster(const bbolt::File& file, EtcdState* state) {
  return visit_bucket(file, "cluster", [&](std::string_view key, std::string_view value) -> Status {
    if (key == "clusterVersion") state->cluster_version = value;
    if (key != "downgrade") return Status();
    json object = json::parse(value, nullptr, /*allow_exceptions=*/false);
    if (!object.is_object()) return malformed("downgrade");
    bool enabled = object.contains("enabled") && object["enabled"] == true;
    if (!enabled) return Status();
    if (!object.contains("target-version") || !object["target-version"].is_string()) {
      return malformed("downgrade");
    }
    state->downgrade_target = object["target-version"].get<std::string>();
    return Status();
  });
}

bool read_texts(const json& object, const char* name, std::vector<std::string>* out) {
  if (!object.contains(name) || object[name].is_null()) return true;
  if (!object[name].is_array()) return false;
  for (const json& text : object[name]) {
    if (!text.is_string()) return false;
    out->push_back(text.get<std::string>());
  }
  return true;
}

bool read_hex(std::string_view text, uint64_t* id) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *id, 16);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

Status read_members(const bbolt::File& file, EtcdState* state) {
  MORTISE_RETURN_IF_ERROR(
      visit_bucket(file, "members", [&](std::string_view key, std::string_view value) -> Status {
        json object = json::parse(value, nullptr, /*allow_exceptions=*/false);
        membership::Member member;
        if (!object.is_object() || !read_hex(key, &member.id) || !object.contains("id") ||
            object["id"] != member.id || !read_texts(object, "peerURLs", &member.peer_urls) ||
            !read_texts(object, "clientURLs", &member.client_urls)) {
          return malformed("member " + std::string(key));
        }
        if (object.contains("name") && object["name"].is_string()) member.name = object["name"];
        member.is_learner = object.contains("isLearner") && object["isLearner"] == true;
        state->members.push_back(std::move(member));
        return Status();
      }));
  return visit_bucket(file, "members_removed",
                      [&](std::string_view key, std::string_view) -> Status {
                        uint64_t id;
                        if (!read_hex(key, &id)) return malformed("list of removed members");
                        state->removed_members.push_back(id);
                        return Status();
                      });
}

Status read_alarms(const bbolt::File& file, EtcdState* state) {
  return visit_bucket(file, "alarm", [&](std::string_view key, std::string_view) -> Status {
    apply::Alarm alarm;
    if (!apply::decode_alarm(key, &alarm)) return malformed("alarm");
    state->alarms.push_back(alarm);
    return Status();
  });
}

Status read_auth(const bbolt::File& file, EtcdState* state) {
  for (const AuthBucket& bucket : kAuthBuckets) {
    MORTISE_RETURN_IF_ERROR(
        visit_bucket(file, bucket.name, [&](std::string_view key, std::string_view value) {
          state->auth.emplace(auth_row(bucket.name, key), value);
          return Status();
        }));
  }
  auto enabled = state->auth.find(auth_row("auth", "authEnabled"));
  state->auth_enabled = enabled != state->auth.end() && enabled->second == std::string(1, '\1');
  if (state->auth.size() == 1 && state->auth.begin()->first == auth_row("auth", "authRevision") &&
      state->auth.begin()->second == first_auth_revision()) {
    state->auth.clear();
  }
  return Status();
}

}  // namespace

Result<EtcdState> read_etcd_state(const bbolt::File& file) {
  EtcdState state;
  MORTISE_RETURN_IF_ERROR(read_meta(file, &state));
  MORTISE_RETURN_IF_ERROR(read_cluster(file, &state));
  MORTISE_RETURN_IF_ERROR(read_members(file, &state));
  MORTISE_RETURN_IF_ERROR(read_alarms(file, &state));
  MORTISE_RETURN_IF_ERROR(read_auth(file, &state));
  return state;
}

raft::ConfState conf_state_of(const std::vector<membership::Member>& members) {
  raft::ConfState state;
  for (const membership::Member& member : members) {
    (member.is_learner ? state.learners : state.voters).push_back(member.id);
  }
  std::sort(state.voters.begin(), state.voters.end());
  std::sort(state.learners.begin(), state.learners.end());
  return state;
}

}  // namespace mortise::snapshot
