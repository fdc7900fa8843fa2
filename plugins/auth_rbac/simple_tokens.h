// The simple tokens of this member: which exist, whose they are, when they end.
//
// A token is 16 random letters, a dot, and the index of the entry that brought it. It lives for the
// time to live after its last use. Only keyed hashes of tokens are kept.
//
// Threads: find() and make_prefix() any; all else the apply loop. Tokens of a user that go beyond
// kSimpleTokensPerUserMax, and tokens beyond kSimpleTokensMax in all, end the oldest: one that has
// been used since it came is given a second chance.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "plugins/auth_rbac/keyed_hash.h"

namespace mortise::auth_rbac {

inline constexpr size_t kSimpleTokensMax = 262'144;
inline constexpr size_t kSimpleTokensPerUserMax = 32'768;

using Clock = std::function<std::chrono::nanoseconds()>;  // Monotonic.
std::chrono::nanoseconds steady_now();

class SimpleTokens {
 public:
  SimpleTokens(const KeyedHash& hash, std::chrono::seconds time_to_live, Clock clock = steady_now,
               size_t tokens_max = kSimpleTokensMax, size_t per_user_max = kSimpleTokensPerUserMax);
  ~SimpleTokens();

  // The random letters; empty if the machine gives no randomness.
  static std::string make_prefix();
  // The index in a token; false if it does not look like one.
  static bool index_of(std::string_view token, uint64_t& index);

  // Whose token is it? It is renewed. False: it is not known, or its time is up.
  bool find(std::string_view token, std::string& user);

  void add(std::string_view user, std::string_view token);
  void end_user(std::string_view user);
  void end_all();
  size_t size() const { return all_.size(); }

 private:
  struct Owner;
  struct Token;
  using TokenPtr = std::shared_ptr<Token>;
  struct Shard {
    std::mutex mutex;
    std::unordered_map<Digest, TokenPtr, DigestHash, DigestEqual> tokens;
  };
  static constexpr size_t kShards = 16;

  Shard& shard_of(const Digest& digest) { return shards_[digest[31] % kShards]; }
  void remove(TokenPtr token);
  void make_room();
  int64_t deadline() const;

  const KeyedHash& hash_;
  const std::chrono::nanoseconds time_to_live_;
  const Clock clock_;
  const size_t tokens_max_;
  const size_t per_user_max_;
  Shard shards_[kShards];
  std::list<TokenPtr> all_;  // Oldest first.
  std::unordered_map<std::string, std::shared_ptr<Owner>> owners_;
};

}  // namespace mortise::auth_rbac
