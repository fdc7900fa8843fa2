// Checks passwords.
//
// A password that was right lately is answered at once, on the caller's thread. All others wait for
// the bcrypt threads, where addresses take turns: who sends many checks, or names that nobody has,
// holds up nobody else. Each address has at most kChecksOfAddressMax of them, and where there is no
// room for one, the newest of the address with the most goes. Equal pairs of user and password
// share one check. A name that is no user's is checked against a hash that nothing matches, so that
// it takes as long as a wrong password.
//
// Threads: any. login() answers exactly once, also when the object ends: that is why the
// HashThreads have to end before it does.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "mortise/sdk/auth.h"
#include "plugins/auth_rbac/failure_limits.h"
#include "plugins/auth_rbac/hash_threads.h"
#include "plugins/auth_rbac/keyed_hash.h"
#include "plugins/auth_rbac/secret.h"
#include "plugins/auth_rbac/turn_queue.h"
#include "plugins/auth_rbac/verified_passwords.h"
#include "plugins/auth_rbac/view.h"

namespace mortise::auth_rbac {

inline constexpr size_t kLoginsWaitingMax = 8192;
inline constexpr size_t kLoginsOfAddressMax = 2048;  // Several may wait for one check.
inline constexpr size_t kChecksOfAddressMax = 256;

// The token of a user who has logged in; stays empty if the log brings it.
using MakeToken =
    std::function<sdk::RpcStatus(std::string_view user, uint64_t auth_revision, std::string& out)>;

class Logins {
 public:
  Logins(sdk::Host host, const KeyedHash& hash, HashThreads& threads, const ViewSlot& view,
         int bcrypt_cost, MakeToken make_token, bool make_token_is_slow);

  void login(std::string_view user, std::string_view password, std::string_view remote,
             sdk::LoginDone done);
  VerifiedPasswords& verified() { return verified_; }

 private:
  struct Waiter {
    sdk::LoginDone done;
    std::string address;
  };
  struct Check {
    Digest id;
    std::string user;
    Secret password;
    std::string remote;
    std::string address;
    std::vector<Waiter> waiting;
  };
  using CheckPtr = std::shared_ptr<Check>;
  // What one address has under way.
  struct Load {
    size_t logins = 0;
    size_t checks = 0;
  };

  // These three under the mutex. What is pushed out has to be given up afterwards.
  bool enter(const CheckPtr& check, const sdk::LoginDone& done, CheckPtr& pushed_out);
  bool queue(const CheckPtr& check, CheckPtr& pushed_out);
  std::vector<sdk::LoginDone> leave(const Check& check);
  void give_up(const Check& check);
  void run_next(bool stopping);
  void run(Check& check, bool stopping);
  sdk::RpcStatus verify(const Check& check, const View& view);
  void answer_known(std::string_view user, uint64_t auth_revision, sdk::LoginDone done);
  void answer(const sdk::RpcStatus& status, std::string_view user, uint64_t auth_revision,
              const std::vector<sdk::LoginDone>& waiting);

  const sdk::Host host_;
  const KeyedHash& hash_;
  HashThreads& threads_;
  const ViewSlot& view_;
  const std::string nobodys_hash_;
  const MakeToken make_token_;
  const bool make_token_is_slow_;
  VerifiedPasswords verified_;
  FailureLimits limits_;
  sdk::Metric cached_, checked_, failed_, refused_;

  std::mutex mutex_;
  std::unordered_map<Digest, CheckPtr, DigestHash, DigestEqual> checks_;
  TurnQueue<CheckPtr> queue_;  // By address; a task of the threads for each.
  std::unordered_map<std::string, Load> loads_;
  size_t waiting_ = 0;
};

}  // namespace mortise::auth_rbac
