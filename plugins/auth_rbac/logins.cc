#include "plugins/auth_rbac/logins.h"

#include <utility>

#include "plugins/auth_rbac/bcrypt.h"
#include "plugins/auth_rbac/errors.h"

namespace mortise::auth_rbac {
namespace {

using sdk::RpcStatus;

// A setting of that cost and then no hash: no password gives that.
std::string hash_of_nobody(int cost) {
  const std::string number = std::to_string(cost);
  return "$2a$" + std::string(2 - number.size(), '0') + number + "$" + std::string(53, '.');
}

}  // namespace

Logins::Logins(sdk::Host host, const KeyedHash& hash, HashThreads& threads, const ViewSlot& view,
               int bcrypt_cost, MakeToken make_token, bool make_token_is_slow)
    : host_(host),
      hash_(hash),
      threads_(threads),
      view_(view),
      nobodys_hash_(hash_of_nobody(bcrypt_cost)),
      make_token_(std::move(make_token)),
      make_token_is_slow_(make_token_is_slow),
      verified_(hash),
      limits_(hash) {
  const auto counter = [&](const char* result) {
    return host_.counter("mortise_auth_logins_total", "Attempts to log in with a password.",
                         {{"result", result}});
  };
  cached_ = counter("cached");
  checked_ = counter("checked");
  failed_ = counter("failed");
  refused_ = counter("refused");
}

void Logins::login(std::string_view user, std::string_view password, std::string_view remote,
                   sdk::LoginDone done) {
  {
    const View& view = view_.get();
    if (!view.enabled) return done(refuse(kNotEnabled), {}, 0);
    const User* known = view.user(user);
    if (known != nullptr && known->record.no_password()) {
      return done(refuse(kNoPasswordUser), {}, 0);
    }
    if (known != nullptr && verified_.knows(known->record, password)) {
      return answer_known(user, view.revision, done);
    }
  }
  auto check = std::make_shared<Check>();
  check->id = hash_.of({"login", user, password});
  check->user = user;
  check->password = Secret(password);
  check->remote = remote;
  check->address = address_of(remote);
  CheckPtr pushed_out;
  bool entered = false;
  {
    const std::lock_guard lock(mutex_);
    entered = enter(check, done, pushed_out);
  }
  if (pushed_out != nullptr) give_up(*pushed_out);
  if (entered) return;
  refused_.add();
  done(refuse(kTooManyLogins), {}, 0);
}

void Logins::answer_known(std::string_view user, uint64_t auth_revision, sdk::LoginDone done) {
  cached_.add();
  if (!make_token_is_slow_) return answer(granted(), user, auth_revision, {done});
  const auto task = [this, name = std::string(user), auth_revision, done](bool stopping) {
    answer(stopping ? refuse(kStopping) : granted(), name, auth_revision, {done});
  };
  if (threads_.run(HashThreads::kSign, task)) return;
  refused_.add();
  done(refuse(kTooManyLogins), {}, 0);
}

bool Logins::enter(const CheckPtr& check, const sdk::LoginDone& done, CheckPtr& pushed_out) {
  Load& load = loads_[check->address];
  const auto same = checks_.find(check->id);
  const bool shares = same != checks_.end();
  bool full = waiting_ >= kLoginsWaitingMax || load.logins >= kLoginsOfAddressMax;
  if (!full && !shares) {
    full = load.checks >= kChecksOfAddressMax || !limits_.admit(check->user, check->remote);
    if (!full && !queue(check, pushed_out)) {
      limits_.give_back(check->user, check->remote);
      full = true;
    }
  }
  if (full) {
    if (load.logins == 0 && load.checks == 0) loads_.erase(check->address);
    return false;
  }
  const CheckPtr& joined = shares ? same->second : check;
  joined->waiting.push_back({done, check->address});
  ++waiting_;
  ++load.logins;
  if (shares) return true;
  ++load.checks;
  checks_.emplace(check->id, check);
  return true;
}

bool Logins::queue(const CheckPtr& check, CheckPtr& pushed_out) {
  const bool has_task =
      threads_.run(HashThreads::kCheck, [this](bool stopping) { run_next(stopping); });
  if (!has_task && !queue_.make_room_for(check->address, pushed_out)) return false;
  queue_.push(check->address, check);
  return true;
}

std::vector<sdk::LoginDone> Logins::leave(const Check& check) {
  const auto it = checks_.find(check.id);
  const CheckPtr held = std::move(it->second);
  checks_.erase(it);
  waiting_ -= held->waiting.size();
  const auto less = [this](const std::string& address, size_t logins, size_t checks) {
    const auto load = loads_.find(address);
    load->second.logins -= logins;
    load->second.checks -= checks;
    if (load->second.logins == 0 && load->second.checks == 0) loads_.erase(load);
  };
  std::vector<sdk::LoginDone> all;
  for (const Waiter& waiter : held->waiting) {
    all.push_back(waiter.done);
    less(waiter.address, 1, 0);
  }
  less(held->address, 0, 1);
  return all;
}

void Logins::give_up(const Check& check) {
  limits_.give_back(check.user, check.remote);
  std::vector<sdk::LoginDone> waiting;
  {
    const std::lock_guard lock(mutex_);
    waiting = leave(check);
  }
  for (size_t i = 0; i < waiting.size(); ++i) refused_.add();
  answer(refuse(kTooManyLogins), check.user, 0, waiting);
}

void Logins::run_next(bool stopping) {
  CheckPtr check;
  {
    const std::lock_guard lock(mutex_);
    check = queue_.pop();
  }
  run(*check, stopping);
}

RpcStatus Logins::verify(const Check& check, const View& view) {
  if (!view.enabled) return refuse(kNotEnabled);
  const User* user = view.user(check.user);
  if (user != nullptr && user->record.no_password()) return refuse(kNoPasswordUser);
  if (user != nullptr && verified_.knows(user->record, check.password.view())) return granted();
  const bool has_hash = user != nullptr && is_bcrypt_hash(user->record.password);
  const std::string& hash = has_hash ? user->record.password : nobodys_hash_;
  if (!bcrypt_matches(check.password.view(), hash) || !has_hash) {
    if (user != nullptr) {
      host_.log(MORTISE_LOG_INFO, "invalid password", {{"user-name", check.user}});
    }
    return refuse(kAuthFailed);
  }
  verified_.add(user->record, check.password.view());
  return granted();
}

void Logins::run(Check& check, bool stopping) {
  const std::shared_ptr<const View> view = view_.share();
  const RpcStatus status = stopping ? refuse(kStopping) : verify(check, *view);
  if (status.code == kAuthFailed.code) {
    failed_.add();
  } else {
    limits_.give_back(check.user, check.remote);
    if (status.code == sdk::kRpcOk) checked_.add();
  }
  std::vector<sdk::LoginDone> waiting;
  {
    const std::lock_guard lock(mutex_);
    waiting = leave(check);
  }
  answer(status, check.user, view->revision, waiting);
}

void Logins::answer(const RpcStatus& status, std::string_view user, uint64_t auth_revision,
                    const std::vector<sdk::LoginDone>& waiting) {
  for (const sdk::LoginDone& done : waiting) {
    std::string token;
    RpcStatus made = status;
    if (made.code == sdk::kRpcOk) made = make_token_(user, auth_revision, token);
    done(made, token, auth_revision);
  }
}

}  // namespace mortise::auth_rbac
