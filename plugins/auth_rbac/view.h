// What decisions are made by: whether auth is on, its revision, all users and roles, and for each
// user what they may read and write, ready to be searched.
//
// A View is immutable. The apply loop makes the next one from the one before, sharing what did not
// change, and puts it into a ViewSlot; threads that decide keep the newest one they have seen, and
// look at one number to know that it is the newest. So a decision takes no lock and counts no
// references. An old view lives until each thread that used it has decided again or ended.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mortise/sdk/auth.h"
#include "plugins/auth_rbac/intervals.h"
#include "plugins/auth_rbac/permission_tree.h"
#include "plugins/auth_rbac/records.h"

namespace mortise::auth_rbac {

inline constexpr std::string_view kRoot = "root";  // The user and the role.

struct Permissions {
  Intervals read;
  Intervals write;
  ReversedRanges reversed;
};

struct User {
  UserRecord record;
  bool root = false;
  std::shared_ptr<const Permissions> permissions;  // Shared by users of the same roles.
};

// Sorted by name; copying one copies pointers.
template <class Item>
using Directory = std::vector<std::shared_ptr<const Item>>;

class View {
 public:
  bool enabled = false;
  uint64_t revision = 1;

  const User* user(std::string_view name) const;
  const RoleRecord* role(std::string_view name) const;
  const Directory<User>& users() const { return users_; }
  const Directory<RoleRecord>& roles() const { return roles_; }

  // Changes of a view that nobody else has yet.
  void put_user(UserRecord record);
  void remove_user(std::string_view name);
  void put_role(RoleRecord record);  // And what its holders may do.
  void remove_role(std::string_view name);
  // All at once, for many: records in any order.
  void rebuild(std::vector<UserRecord> users, std::vector<RoleRecord> roles);

  sdk::RpcStatus authorize(std::string_view user, uint64_t auth_revision,
                           std::span<const mortise_access> list) const;

 private:
  std::shared_ptr<const Permissions> permissions_of(const std::vector<std::string>& roles) const;
  std::shared_ptr<const User> make_user(UserRecord record) const;
  sdk::RpcStatus check(const User* user, std::string_view name, uint64_t auth_revision,
                       const mortise_access& access) const;

  Directory<User> users_;
  Directory<RoleRecord> roles_;
};

class ViewSlot {
 public:
  ViewSlot();
  void set(std::shared_ptr<const View> view);
  // The newest view; valid until this thread asks a slot again.
  const View& get() const;
  std::shared_ptr<const View> share() const;

 private:
  const uint64_t id_;  // No two slots of a process have the same, ever.
  std::atomic<uint64_t> version_{1};
  mutable std::mutex mutex_;
  std::shared_ptr<const View> view_;
};

}  // namespace mortise::auth_rbac
