#include "plugins/auth_rbac/verified_passwords.h"

namespace mortise::auth_rbac {

bool VerifiedPasswords::knows(const UserRecord& user, std::string_view password) {
  const Digest digest = digest_of(user, password);
  const std::lock_guard lock(mutex_);
  const auto it = users_.find(user.name);
  if (it == users_.end() || !DigestEqual()(it->second.digest, digest)) return false;
  ages_.splice(ages_.end(), ages_, it->second.age);
  return true;
}

void VerifiedPasswords::add(const UserRecord& user, std::string_view password) {
  const Digest digest = digest_of(user, password);
  const std::lock_guard lock(mutex_);
  const auto [it, added] = users_.try_emplace(user.name);
  it->second.digest = digest;
  if (added) it->second.age = ages_.insert(ages_.end(), user.name);
  if (users_.size() <= users_max_) return;
  users_.erase(ages_.front());
  ages_.pop_front();
}

void VerifiedPasswords::forget(std::string_view user) {
  const std::lock_guard lock(mutex_);
  const auto it = users_.find(std::string(user));
  if (it == users_.end()) return;
  ages_.erase(it->second.age);
  users_.erase(it);
}

void VerifiedPasswords::clear() {
  const std::lock_guard lock(mutex_);
  users_.clear();
  ages_.clear();
}

}  // namespace mortise::auth_rbac
