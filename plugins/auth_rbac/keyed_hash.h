// HMAC-SHA256 with a key that is made at random and never leaves the object.
//
// Tables of secrets are keyed by it: what is compared are hashes that nobody outside can compute or
// steer, so neither the table's memory nor the time of a look-up tells anything about a secret.
// Any thread. make() fails only if the machine gives no randomness.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <string_view>

namespace mortise::auth_rbac {

using Digest = std::array<unsigned char, 32>;

struct DigestHash {
  size_t operator()(const Digest& d) const {
    size_t out = 0;
    std::memcpy(&out, d.data(), sizeof(out));
    return out;
  }
};
// Constant in time.
struct DigestEqual {
  bool operator()(const Digest& a, const Digest& b) const;
};

class KeyedHash {
 public:
  static std::unique_ptr<KeyedHash> make();
  ~KeyedHash();
  KeyedHash(const KeyedHash&) = delete;
  KeyedHash& operator=(const KeyedHash&) = delete;

  // Of the parts and their sizes, so that no two lists of parts look alike.
  Digest of(std::initializer_list<std::string_view> parts) const;

 private:
  KeyedHash() = default;
  std::array<unsigned char, 64> inner_{};
  std::array<unsigned char, 64> outer_{};
};

}  // namespace mortise::auth_rbac
