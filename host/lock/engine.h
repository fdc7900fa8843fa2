// The work of the keeper's thread: contenders and their contests, observers and their elections.
//
// Used by one thread. A Status that is not ok means that the store failed, and the engine must do
// nothing more but end_all().
//
// A contender's proposals and the cancels of its client come back as items, so it is always in one
// step. The changes of the store come as batches of events in the order of revisions, and each
// batch before what its proposals answered.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "host/lock/contender.h"
#include "host/lock/contest.h"
#include "host/lock/election.h"
#include "host/lock/inbox.h"
#include "host/lock/keeper.h"

namespace mortise::lock {

class Engine {
 public:
  // Borrowed parts outlive it; proposals that are under way at the end keep the inbox.
  Engine(const store::Store* store, const KeeperOptions* options, std::shared_ptr<Inbox> inbox);

  Status handle(Item& item);
  bool has_work() const { return !busy_contests_.empty() || !busy_elections_.empty(); }
  // A round for everybody who has some.
  Status work();
  // Takes them only to end them.
  void adopt(Item& item);
  void end_all(const RpcStatus& status);

 private:
  Status on(StartItem& item);
  Status on(ProposedItem& item);
  Status on(CancelItem& item);
  Status on(BatchItem& item);
  Status on(MissedItem& item);
  Status on(OpenedItem& item);
  Status on(RequestItem& item);
  Status on(ConfirmedItem& item);
  Status on(GrantedItem& item);
  Status on(GoneItem& item);
  Status on(RecheckItem& item);

  // contenders.cc: a contender's steps, in their order.
  Status enter(Contender* contender);
  Status begin(Contender* contender);
  Status claim_key(Contender* contender);
  Status key_claimed(Contender* contender, const apply::ApplyResult& result);
  Status value_replaced(Contender* contender, const apply::ApplyResult& result);
  Status wait_for_turn(Contender* contender);
  // May its client see the keys that it competes with?
  RpcStatus may_read(const Contender& contender) const;
  Status has_turn(Contender* contender, const Contest& contest);
  Status hold_lock(Contender* contender);
  // Leaves, deletes its key, and only then answers.
  void give_up(Contender* contender, const RpcStatus& status);
  void start_deletions();
  void finish(Contender* contender, const RpcStatus& status);
  void propose(Contender* contender, uint32_t field, const std::string& request);

  void propose_deletion(Contender* contender);

  // Whoever has its turn in this contest gets it.
  Status settle(Contest* contest);
  void leave_contest(Contender* contender);
  Result<Contest*> contest_of(const Claim& claim);
  Contest* find_contest(const Contender& contender);

  void end_observer(Observer* observer, const RpcStatus& status);
  void show_to_late();
  void on_event(const mvcc::Event& event, std::unordered_set<Contest*>* touched);
  // Events are followed while there is anybody whom they concern.
  void follow();
  // Forgets contests that all have left.
  void clean_up();

  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  template <typename T>
  using ByPrefix = std::unordered_map<std::string, std::unique_ptr<T>, Hash, std::equal_to<>>;

  const store::Store* const store_;
  const KeeperOptions& options_;
  const std::shared_ptr<Inbox> inbox_;

  std::unordered_map<uint64_t, std::unique_ptr<Contender>> contenders_;
  ByPrefix<Contest> contests_;
  std::unordered_set<Contest*> busy_contests_;
  std::vector<std::string> left_;   // Prefixes of contests that may be empty.
  std::deque<uint64_t> deletions_;  // Contenders that give up and whose turn to propose it is due.
  size_t deletions_under_way_ = 0;

  std::unordered_map<Observer*, std::shared_ptr<Observer>> observers_;
  ByPrefix<Election> elections_;
  std::unordered_set<Election*> busy_elections_;
  std::unordered_set<Observer*> late_;  // Came while events that they may have seen were under way.

  bool following_ = false;
  int64_t handled_revision_ = 0;  // Events up to it have been handled.
};

}  // namespace mortise::lock
