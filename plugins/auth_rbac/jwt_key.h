// A key that signs JWTs, or only verifies them, bound to one algorithm for ever.
//
// A token cannot choose: the key's type and the algorithm are checked against each other when the
// key is made, so that no public key ever serves as an HMAC secret and no token as its own proof.
// Immutable; any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "mortise/sdk/status.h"
#include "plugins/auth_rbac/secret.h"

struct evp_pkey_st;
struct evp_md_st;

namespace mortise::auth_rbac {

enum class KeyFamily { kHmac, kRsa, kRsaPss, kEc, kEd25519 };

struct JwtAlgorithm {
  const char* name;  // "RS256", as in a token's header.
  KeyFamily family;
  const char* digest;  // Of OpenSSL; null for Ed25519.
  int curve_bits;      // For kEc.
};

// Null if there is none of that name; "none" is none.
const JwtAlgorithm* find_algorithm(std::string_view name);

class JwtKey {
 public:
  // PEM for all families but kHmac, where `private_text` is the secret itself. One of the two may
  // be empty. The errors are etcd's.
  static sdk::Status make(const JwtAlgorithm& algorithm, std::string_view public_text,
                          std::string_view private_text, std::shared_ptr<const JwtKey>& out);

  const JwtAlgorithm& algorithm() const { return algorithm_; }
  bool can_sign() const { return can_sign_; }
  // Raw signatures as in a token. sign(): empty if the library fails.
  std::string sign(std::string_view text) const;
  bool verify(std::string_view text, std::string_view signature) const;

 private:
  struct FreeKey {
    void operator()(evp_pkey_st* key) const;
  };
  using KeyPtr = std::unique_ptr<evp_pkey_st, FreeKey>;

  JwtKey(const JwtAlgorithm& algorithm, KeyPtr key, Secret secret, bool can_sign)
      : algorithm_(algorithm),
        key_(std::move(key)),
        secret_(std::move(secret)),
        can_sign_(can_sign) {}
  static KeyPtr read_private(std::string_view pem);
  static KeyPtr read_public(std::string_view pem);
  std::string hmac(std::string_view text) const;
  bool verify_with_key(std::string_view text, std::string_view signature) const;

  const JwtAlgorithm& algorithm_;
  const KeyPtr key_;
  const Secret secret_;
  const bool can_sign_;
};

}  // namespace mortise::auth_rbac
