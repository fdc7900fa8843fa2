// The requests that contenders and leaders log, and what their answers say.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mortise::lock {

constexpr int64_t kSessionTtlSeconds = 60;  // Of a lease that a call grants for itself.

// "name/"
std::string prefix_of(std::string_view name);
// "name/694d7e3b1c2f0a05"
std::string key_of(std::string_view name, int64_t lease);

std::string grant_lease(int64_t lease);
// Creates the key, or finds it.
std::string create_key(const std::string& key, const std::string& value, int64_t lease);
// Gives the key a new value if it is still the one created at that revision.
std::string update_key(const std::string& key, int64_t create_revision, const std::string& value,
                       int64_t lease);
// Deletes it, if it is still that one.
std::string delete_key(const std::string& key, int64_t create_revision);

// Of the answer to create_key().
struct KeyFound {
  bool created = false;
  int64_t create_revision = 0;  // If it was not created.
  std::string value;
};
bool parse_created(std::string_view txn_response, KeyFound* out);
// Of the others: was it still that key?
bool txn_succeeded(std::string_view txn_response);

}  // namespace mortise::lock
