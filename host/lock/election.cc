#include "host/lock/election.h"

#include <limits>

#include "host/wire/codec.h"

namespace mortise::lock {

ByteBuffer leader_response(const rpc::Header& header, std::string_view key_value) {
  std::string body;
  wire::append_bytes_field(&body, 2, key_value);
  ByteBuffer response(rpc::kHeaderFieldBytesMax + body.size());
  rpc::append_header(header, &response);
  response.append(body);
  return response;
}

void Election::add(Observer* observer, int64_t revision) {
  observer->from_revision = revision;
  observers_.insert(observer);
  show(observer);
}

void Election::set_leader(std::string_view key, std::string_view key_value, int64_t revision) {
  state_ = State::kLeader;
  leader_key_ = key;
  leader_ = key_value;
  leader_revision_ = revision;
  ++version_;
}

void Election::show(Observer* observer) {
  if (state_ != State::kLeader || observer->seen_version == version_ || !observer->ready()) return;
  if (is_late_for(*observer)) return;
  // Who has seen all before gets an event; to others it is as if they asked now.
  bool follows = observer->seen_version != 0 && observer->seen_version + 1 == version_;
  int64_t revision = follows ? leader_revision_ : known_revision();
  observer->seen_version = version_;
  observer->send(leader_response((*header_)(revision), leader_));
}

void Election::show_all() {
  for (Observer* observer : observers_) show(observer);
}

void Election::on_event(const mvcc::Event& event) {
  if (state_ == State::kUnknown || event.revision.main <= read_revision_) return;
  if (state_ == State::kLeader && event.key != leader_key_) return;
  if (event.is_delete) {
    if (state_ == State::kLeader) state_ = State::kUnknown;
    return;
  }
  set_leader(event.key, event.key_value, event.revision.main);
  show_all();
}

Status Election::work() {
  if (state_ != State::kUnknown) return Status();
  first_round_ = scan_ == nullptr;
  if (first_round_) {
    MORTISE_ASSIGN_OR_RETURN(scan_, KeyScan::open(*store_, prefix_));
    oldest_.clear();
    oldest_revision_ = std::numeric_limits<int64_t>::max();
  }
  bool done = false;
  auto visit = [this](const wire::KeyValue& kv, std::string_view stored) {
    if (kv.create_revision >= oldest_revision_) return;
    oldest_revision_ = kv.create_revision;
    oldest_ = stored;
  };
  MORTISE_RETURN_IF_ERROR(scan_->step(kScanKeysPerRound, visit, &done));
  return done ? finish_scan(first_round_) : Status();
}

// Events that came since the scan began were not looked at. A key that was the oldest then still is
// if it is there, since no older one can come.
Status Election::finish_scan(bool in_one_round) {
  int64_t revision = scan_->revision();
  scan_ = nullptr;
  if (oldest_.empty()) {
    // Only an empty scan ends like this, in its first round.
    state_ = State::kNobody;
    read_revision_ = revision;
    return Status();
  }
  wire::KeyValue kv;
  MORTISE_CHECK(wire::decode_key_value(oldest_, &kv), "a KeyValue cannot be read again");
  if (in_one_round) {
    read_revision_ = revision;
    set_leader(kv.key, oldest_, revision);
    show_all();
    return Status();
  }
  MORTISE_ASSIGN_OR_RETURN(auto found, find_key(*store_, kv.key));
  if (found->stored.empty() || found->kv.create_revision != oldest_revision_) return Status();
  read_revision_ = found->revision;
  set_leader(found->kv.key, found->stored, found->revision);
  show_all();
  return Status();
}

}  // namespace mortise::lock
