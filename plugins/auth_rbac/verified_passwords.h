// Passwords that were right lately, so that logging in again costs no bcrypt.
//
// Kept is one keyed hash for each user, over the name, the stored hash and the password: with
// another stored hash the same password is not known any more. Any thread. Bounded: who has not
// logged in for longest makes room.
#pragma once

#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "plugins/auth_rbac/keyed_hash.h"
#include "plugins/auth_rbac/records.h"

namespace mortise::auth_rbac {

inline constexpr size_t kVerifiedPasswordsMax = 16'384;

class VerifiedPasswords {
 public:
  explicit VerifiedPasswords(const KeyedHash& hash, size_t users_max = kVerifiedPasswordsMax)
      : hash_(hash), users_max_(users_max) {}

  bool knows(const UserRecord& user, std::string_view password);
  void add(const UserRecord& user, std::string_view password);
  void forget(std::string_view user);
  void clear();

 private:
  struct Entry {
    Digest digest;
    std::list<std::string>::iterator age;
  };
  Digest digest_of(const UserRecord& user, std::string_view password) const {
    return hash_.of({user.name, user.password, password});
  }

  const KeyedHash& hash_;
  const size_t users_max_;
  std::mutex mutex_;
  std::unordered_map<std::string, Entry> users_;
  std::list<std::string> ages_;  // Longest unused first.
};

}  // namespace mortise::auth_rbac
