// bcrypt hashes as Go's library makes and takes them, so that stored passwords move between etcd
// and this plugin in both directions.
//
// Any thread; each call computes for as long as the cost says, and wipes what it held.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mortise::auth_rbac {

inline constexpr int kBcryptCostMin = 4;
inline constexpr int kBcryptCostMax = 31;
inline constexpr int kBcryptCostDefault = 10;
inline constexpr size_t kPasswordBytesMax = 72;  // bcrypt looks at no more.

// 60 bytes, "$2a$10$...", with a random salt; empty if the library fails. The password has no NUL.
std::string bcrypt_hash(std::string_view password, int cost);
// Does it have the form of one?
bool is_bcrypt_hash(std::string_view hash);
// Constant in time for hashes of one cost, whatever the password. False for what is no hash.
bool bcrypt_matches(std::string_view password, std::string_view hash);
// A hash that follows from its arguments alone.
std::string bcrypt_of_entry(uint64_t index, std::string_view name, std::string_view password);

}  // namespace mortise::auth_rbac
