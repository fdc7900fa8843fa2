// One prefix over which contenders compete, each with a key of its own: whoever has the oldest key
// has its turn. It follows the store's events, so that it knows at each event who has no older key,
// and asks the store only when it begins and when it cannot know: events were missed, or somebody
// comes with a key that was there before.
//
// On the keeper's thread. A Status that is not ok means that the store failed.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "host/lock/key_scan.h"
#include "host/lock/line.h"
#include "host/mvcc/events.h"

namespace mortise::lock {

class Contest {
 public:
  Contest(const store::Store* store, std::string prefix)
      : store_(store), prefix_(std::move(prefix)) {}

  // Before anybody joins.
  Status begin();
  const std::string& prefix() const { return prefix_; }

  // The contender is about to create `key`, unless it is there.
  void expect(uint64_t id, const std::string& key);
  // Its key is there, created at `revision`.
  void join(uint64_t id, int64_t revision);
  // Did it have no older key when its key was created?
  bool was_first_at_once(uint64_t id) const;
  void leave(uint64_t id);
  bool empty() const { return contenders_.empty(); }

  void on_event(const mvcc::Event& event);
  // Events were missed: the keys are counted anew.
  void missed_events() { count_due_ = true; }
  // Is there something to do before first() can say anything?
  bool has_work() const { return count_due_ || awaited_ != nullptr || scan_ != nullptr; }
  // A piece of it; `handled` is the revision up to which events have been handled.
  Status work(int64_t handled);

  // Who has no older key, in order; nobody while there is work.
  std::vector<uint64_t> first() const;

 private:
  struct Contender {
    std::string key;
    std::optional<Line::Place> place;
    bool was_first_at_once = false;
  };
  using Expected = std::unordered_multimap<std::string, uint64_t>;
  void take_places(const mvcc::Event& event);
  void forget_expected(const std::string& key, uint64_t id);
  void start_count();
  Status count_round();

  const store::Store* const store_;
  const std::string prefix_;
  std::unordered_map<uint64_t, Contender> contenders_;
  Expected expected_;  // Contenders without a place, by key.
  Line line_;

  int64_t counted_revision_ = 0;      // The keys of older events are in the line's counts.
  bool count_due_ = false;            // The counts are wrong.
  std::unique_ptr<KeyScan> awaited_;  // To be counted once all events that it knows are handled.
  std::unique_ptr<KeyScan> scan_;     // Being counted.
};

}  // namespace mortise::lock
