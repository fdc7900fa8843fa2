// A call that competes for a lock or an election, on its way: a lease, a key under that lease, its
// turn.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "host/auth/warrant.h"
#include "host/base/rpc_error.h"

namespace mortise::lock {

enum class ContestKind : uint8_t { kLock, kElection };

struct Claim {
  ContestKind kind = ContestKind::kLock;
  std::string name;
  int64_t lease = 0;                       // 0: a new one.
  std::string value;                       // Of an election's candidate.
  std::shared_ptr<auth::Warrant> warrant;  // What its client may do; null: anything.
};

struct Turn {
  RpcStatus status;
  std::string key;
  int64_t create_revision = 0;  // Of the key.
  int64_t lease = 0;
  int64_t revision = 0;  // For the response's header.
};
using TurnFn = std::function<void(Turn turn)>;

struct Contender {
  enum class Step : uint8_t {
    kEnter,     // Waits until users and roles are known as of now.
    kLease,     // Its lease is being granted.
    kKey,       // Its key is being created.
    kProclaim,  // It had a key with another value, which is being replaced.
    kTurn,      // Waits for older keys to go.
    kConfirm,   // They have gone; waits until it may look whether its own is there.
    kGiveUp,    // Its key is being deleted.
  };

  uint64_t id = 0;
  Claim claim;
  TurnFn done;
  Step step = Step::kLease;
  bool canceled = false;
  std::string key;
  int64_t create_revision = 0;
  int64_t revision = 0;  // Of the answer to the txn that made or found the key.
  RpcStatus failure;     // The answer of one that gives up.
};

}  // namespace mortise::lock
