// One prefix whose oldest key is the leader, and those who observe it.
//
// While there is a leader its key is followed by the store's events; when it goes, the store is
// asked once for all observers who comes next.
//
// On the keeper's thread. A Status that is not ok means that the store failed.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <unordered_set>

#include "host/lock/key_scan.h"
#include "host/lock/observer.h"
#include "host/mvcc/events.h"
#include "host/rpc/header.h"

namespace mortise::lock {

using HeaderFn = std::function<rpc::Header(int64_t revision)>;

// A LeaderResponse.
ByteBuffer leader_response(const rpc::Header& header, std::string_view key_value);

class Election {
 public:
  // `handled`: the revision up to which events have been handled.
  Election(const store::Store* store, std::string prefix, const HeaderFn* header,
           const int64_t* handled)
      : store_(store), prefix_(std::move(prefix)), header_(header), handled_revision_(handled) {}
  const std::string& prefix() const { return prefix_; }

  // `revision` is the store's when the observer came.
  void add(Observer* observer, int64_t revision);
  void remove(Observer* observer) { observers_.erase(observer); }
  bool empty() const { return observers_.empty(); }

  void on_event(const mvcc::Event& event);
  void missed_events() { state_ = State::kUnknown; }
  // Sends the leader if the observer has not seen it and can take it.
  void show(Observer* observer);
  // Is what is known here older than the observer may see?
  bool is_late_for(const Observer& observer) const {
    return known_revision() < observer.from_revision;
  }
  // Is it unknown who leads?
  bool has_work() const { return state_ == State::kUnknown; }
  // A piece of finding it out.
  Status work();

 private:
  enum class State : uint8_t { kUnknown, kNobody, kLeader };
  int64_t known_revision() const {
    return std::max({read_revision_, *handled_revision_, leader_revision_});
  }
  void set_leader(std::string_view key, std::string_view key_value, int64_t revision);
  void show_all();
  Status finish_scan(bool in_one_round);

  const store::Store* const store_;
  const std::string prefix_;
  const HeaderFn* const header_;
  const int64_t* const handled_revision_;
  std::unordered_set<Observer*> observers_;

  State state_ = State::kUnknown;
  std::string leader_key_;
  std::string leader_;           // Its KeyValue.
  int64_t leader_revision_ = 0;  // At which that was so.
  uint64_t version_ = 0;         // Counts what observers were to see.
  int64_t read_revision_ = 0;    // Of the store when it was asked; older events say nothing.

  std::unique_ptr<KeyScan> scan_;
  std::string oldest_;  // KeyValue of the oldest key that the scan has met.
  int64_t oldest_revision_ = 0;
  bool first_round_ = false;
};

}  // namespace mortise::lock
