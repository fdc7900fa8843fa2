#include "plugins/auth_rbac/view.h"

#include <algorithm>
#include <map>
#include <utility>

#include "plugins/auth_rbac/errors.h"

namespace mortise::auth_rbac {
namespace {

std::string_view name_of(const User& user) { return user.record.name; }
std::string_view name_of(const RoleRecord& role) { return role.name; }

template <class Item>
auto place(const Directory<Item>& all, std::string_view name) {
  return std::lower_bound(
      all.begin(), all.end(), name,
      [](const std::shared_ptr<const Item>& i, std::string_view n) { return name_of(*i) < n; });
}

template <class Item>
const Item* find(const Directory<Item>& all, std::string_view name) {
  const auto it = place(all, name);
  return it != all.end() && name_of(**it) == name ? it->get() : nullptr;
}

template <class Item>
void put(Directory<Item>& all, std::shared_ptr<const Item> item) {
  const auto it = place(all, name_of(*item));
  if (it != all.end() && name_of(**it) == name_of(*item)) {
    all[static_cast<size_t>(it - all.begin())] = std::move(item);
  } else {
    all.insert(it, std::move(item));
  }
}

template <class Item>
void remove(Directory<Item>& all, std::string_view name) {
  const auto it = place(all, name);
  if (it != all.end() && name_of(**it) == name) all.erase(it);
}

bool may(const Permissions& granted, bool write, std::string_view key, std::string_view range_end) {
  if (ends_before_it_begins(key, range_end)) [[unlikely]] {
    return write ? granted.reversed.may_write(key, range_end)
                 : granted.reversed.may_read(key, range_end);
  }
  return (write ? granted.write : granted.read).covers(key, range_end);
}

bool holds(const UserRecord& user, std::string_view role) {
  return std::find(user.roles.begin(), user.roles.end(), role) != user.roles.end();
}

}  // namespace

const User* View::user(std::string_view name) const { return find(users_, name); }
const RoleRecord* View::role(std::string_view name) const { return find(roles_, name); }

std::shared_ptr<const Permissions> View::permissions_of(
    const std::vector<std::string>& roles) const {
  std::vector<Interval> read, write;
  std::vector<std::shared_ptr<const RoleRecord>> records;
  for (const std::string& name : roles) {
    const auto it = place(roles_, name);
    if (it == roles_.end() || (*it)->name != name) continue;
    const RoleRecord* record = it->get();
    records.push_back(*it);
    for (const Permission& p : record->permissions) {
      const auto type = static_cast<PermissionType>(p.type);
      const bool both = type == PermissionType::kReadWrite;
      if (both || type == PermissionType::kRead) read.push_back(to_interval(p.key, p.range_end));
      if (both || type == PermissionType::kWrite) write.push_back(to_interval(p.key, p.range_end));
    }
  }
  return std::shared_ptr<const Permissions>(new Permissions{
      Intervals(std::move(read)), Intervals(std::move(write)), ReversedRanges(std::move(records))});
}

std::shared_ptr<const User> View::make_user(UserRecord record) const {
  auto made = std::make_shared<User>();
  made->permissions = permissions_of(record.roles);
  made->root = std::binary_search(record.roles.begin(), record.roles.end(), kRoot);
  made->record = std::move(record);
  return made;
}

void View::put_user(UserRecord record) { put(users_, make_user(std::move(record))); }
void View::remove_user(std::string_view name) { remove(users_, name); }

void View::put_role(RoleRecord record) {
  const std::string name = record.name;
  put(roles_, std::make_shared<const RoleRecord>(std::move(record)));
  std::map<std::vector<std::string>, std::shared_ptr<const Permissions>> made;
  for (auto& user : users_) {
    if (!holds(user->record, name)) continue;
    auto& permissions = made[user->record.roles];
    if (permissions == nullptr) permissions = permissions_of(user->record.roles);
    auto changed = std::make_shared<User>(*user);
    changed->permissions = permissions;
    user = std::move(changed);
  }
}

void View::remove_role(std::string_view name) { remove(roles_, name); }

void View::rebuild(std::vector<UserRecord> users, std::vector<RoleRecord> roles) {
  users_.clear();
  roles_.clear();
  for (RoleRecord& role : roles) {
    roles_.push_back(std::make_shared<const RoleRecord>(std::move(role)));
  }
  const auto by_name = [](const auto& a, const auto& b) { return name_of(*a) < name_of(*b); };
  std::sort(roles_.begin(), roles_.end(), by_name);
  std::map<std::vector<std::string>, std::shared_ptr<const Permissions>> made;
  for (UserRecord& record : users) {
    auto& permissions = made[record.roles];
    if (permissions == nullptr) permissions = permissions_of(record.roles);
    auto user = std::make_shared<User>();
    user->permissions = permissions;
    user->root = std::binary_search(record.roles.begin(), record.roles.end(), kRoot);
    user->record = std::move(record);
    users_.push_back(std::move(user));
  }
  std::sort(users_.begin(), users_.end(), by_name);
}

sdk::RpcStatus View::check(const User* user, std::string_view name, uint64_t auth_revision,
                           const mortise_access& access) const {
  const std::string_view key = sdk::view(access.key);
  switch (access.kind) {
    case MORTISE_ACCESS_READ:
    case MORTISE_ACCESS_WRITE: {
      if (auth_revision == 0) return refuse(kUserEmpty);
      if (auth_revision < revision) return refuse(kStaleRevision);
      if (user == nullptr) return refuse(kPermissionDenied);
      if (user->root) return granted();
      const bool writes = access.kind == MORTISE_ACCESS_WRITE;
      return may(*user->permissions, writes, key, sdk::view(access.range_end))
                 ? granted()
                 : refuse(kPermissionDenied);
    }
    case MORTISE_ACCESS_ADMIN:
    case MORTISE_ACCESS_ROLE:
      if (name.empty()) return refuse(kUserEmpty);
      if (user == nullptr) return refuse(kUserNotFound);
      if (user->root) return granted();
      if (access.kind == MORTISE_ACCESS_ROLE && holds(user->record, key)) return granted();
      return refuse(kPermissionDenied);
    case MORTISE_ACCESS_LOGGED_IN:
      return name.empty() || auth_revision == 0 ? refuse(kUserEmpty) : granted();
    default: return refuse(kPermissionDenied);
  }
}

sdk::RpcStatus View::authorize(std::string_view name, uint64_t auth_revision,
                               std::span<const mortise_access> list) const {
  if (!enabled) return granted();
  const User* who = user(name);
  for (const mortise_access& access : list) {
    sdk::RpcStatus status = check(who, name, auth_revision, access);
    if (status.code != sdk::kRpcOk) return status;
  }
  return granted();
}

namespace {

std::atomic<uint64_t> slots_made{0};

struct Seen {
  uint64_t slot = 0;
  uint64_t version = 0;
  std::shared_ptr<const View> view;
};

}  // namespace

ViewSlot::ViewSlot() : id_(++slots_made), view_(std::make_shared<const View>()) {}

void ViewSlot::set(std::shared_ptr<const View> view) {
  const std::lock_guard lock(mutex_);
  view_ = std::move(view);
  version_.fetch_add(1, std::memory_order_release);
}

const View& ViewSlot::get() const {
  thread_local Seen seen;
  if (seen.slot != id_ || seen.version != version_.load(std::memory_order_acquire)) [[unlikely]] {
    const std::lock_guard lock(mutex_);
    seen = Seen{id_, version_.load(std::memory_order_relaxed), view_};
  }
  return *seen.view;
}

std::shared_ptr<const View> ViewSlot::share() const {
  const std::lock_guard lock(mutex_);
  return view_;
}

}  // namespace mortise::auth_rbac
