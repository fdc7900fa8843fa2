#include "plugins/auth_rbac/simple_tokens.h"

#include <openssl/rand.h>

#include <charconv>
#include <utility>

namespace mortise::auth_rbac {
namespace {

constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
constexpr size_t kPrefixLetters = 16;
constexpr int kSecondChancesMax = 32;  // For one new token, which bounds the time it takes.
constexpr int kSweepMax = 8;           // Dead tokens that one new token removes.

}  // namespace

struct SimpleTokens::Owner {
  std::string user;
  std::list<TokenPtr> tokens;  // Oldest first.
};

struct SimpleTokens::Token {
  Digest digest;
  std::shared_ptr<Owner> owner;
  std::atomic<int64_t> ends_ns;
  int64_t queued_ns = 0;  // ends_ns when it came into the list.
  std::list<TokenPtr>::iterator in_all;
  std::list<TokenPtr>::iterator in_owner;
};

std::chrono::nanoseconds steady_now() {
  return std::chrono::steady_clock::now().time_since_epoch();
}

SimpleTokens::SimpleTokens(const KeyedHash& hash, std::chrono::seconds time_to_live, Clock clock,
                           size_t tokens_max, size_t per_user_max)
    : hash_(hash),
      time_to_live_(time_to_live),
      clock_(std::move(clock)),
      tokens_max_(tokens_max),
      per_user_max_(per_user_max) {}

SimpleTokens::~SimpleTokens() { end_all(); }

std::string SimpleTokens::make_prefix() {
  char letters[kPrefixLetters];
  // Bytes from the last, incomplete round of letters would make the first ones more likely.
  constexpr unsigned kFair = 256 / kLetters.size() * kLetters.size();
  for (size_t have = 0; have < kPrefixLetters;) {
    unsigned char random[2 * kPrefixLetters];
    if (RAND_priv_bytes(random, sizeof(random)) != 1) return {};
    for (const unsigned char r : random) {
      if (r < kFair && have < kPrefixLetters) letters[have++] = kLetters[r % kLetters.size()];
    }
  }
  return std::string(letters, kPrefixLetters);
}

bool SimpleTokens::index_of(std::string_view token, uint64_t& index) {
  const size_t dot = token.find('.');
  if (dot == std::string_view::npos) return false;
  const std::string_view digits = token.substr(dot + 1);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
  return error == std::errc() && end == digits.data() + digits.size();
}

int64_t SimpleTokens::deadline() const { return (clock_() + time_to_live_).count(); }

bool SimpleTokens::find(std::string_view token, std::string& user) {
  const Digest digest = hash_.of({token});
  Shard& shard = shard_of(digest);
  const int64_t now = clock_().count();
  const std::lock_guard lock(shard.mutex);
  const auto it = shard.tokens.find(digest);
  if (it == shard.tokens.end() || it->second->ends_ns < now) return false;
  it->second->ends_ns = now + time_to_live_.count();
  user = it->second->owner->user;
  return true;
}

void SimpleTokens::remove(TokenPtr token) {
  {
    Shard& shard = shard_of(token->digest);
    const std::lock_guard lock(shard.mutex);
    shard.tokens.erase(token->digest);
  }
  all_.erase(token->in_all);
  token->owner->tokens.erase(token->in_owner);
  if (token->owner->tokens.empty()) owners_.erase(token->owner->user);
}

void SimpleTokens::make_room() {
  const int64_t now = clock_().count();
  for (int i = 0; i < kSweepMax && !all_.empty() && all_.front()->ends_ns < now; ++i) {
    remove(all_.front());
  }
  int chances = kSecondChancesMax;
  while (all_.size() >= tokens_max_) {
    const TokenPtr& oldest = all_.front();
    const int64_t ends = oldest->ends_ns;
    if (ends <= oldest->queued_ns || ends < now || chances-- <= 0) {
      remove(oldest);
      continue;
    }
    oldest->queued_ns = ends;
    all_.splice(all_.end(), all_, all_.begin());
  }
}

void SimpleTokens::add(std::string_view user, std::string_view token) {
  make_room();
  auto& owner = owners_[std::string(user)];
  if (owner == nullptr) {
    owner = std::make_shared<Owner>();
    owner->user = user;
  }
  const std::shared_ptr<Owner> kept = owner;  // remove() may forget the owner of the last token.
  if (kept->tokens.size() >= per_user_max_ && per_user_max_ > 1) remove(kept->tokens.front());
  auto made = std::make_shared<Token>();
  made->digest = hash_.of({token});
  made->owner = kept;
  made->queued_ns = deadline();
  made->ends_ns = made->queued_ns;
  Shard& shard = shard_of(made->digest);
  {
    const std::lock_guard lock(shard.mutex);
    if (!shard.tokens.emplace(made->digest, made).second) return;
  }
  made->in_all = all_.insert(all_.end(), made);
  made->in_owner = kept->tokens.insert(kept->tokens.end(), made);
}

void SimpleTokens::end_user(std::string_view user) {
  const auto it = owners_.find(std::string(user));
  if (it == owners_.end()) return;
  const std::shared_ptr<Owner> owner = it->second;
  while (!owner->tokens.empty()) remove(owner->tokens.front());
}

void SimpleTokens::end_all() {
  while (!all_.empty()) remove(all_.front());
}

}  // namespace mortise::auth_rbac
