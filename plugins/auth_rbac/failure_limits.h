// How many wrong passwords may be tried, and how fast.
//
// Each (user, address) and each user has a bucket: a try takes one from both, a right password
// gives it back, and time fills them up. Empty buckets refuse until the next one is there, which is
// a second at most. So a guesser at one address empties their own bucket and leaves the user's
// nearly full for others, and nobody is ever locked out for longer than it takes to refill one try;
// passwords that were right lately do not come here at all.
//
// Any thread. Bounded: the bucket that has not been used for longest makes room.
#pragma once

#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "plugins/auth_rbac/keyed_hash.h"
#include "plugins/auth_rbac/simple_tokens.h"

namespace mortise::auth_rbac {

inline constexpr double kLoginTriesOfAddressMax = 20;
inline constexpr double kLoginTriesOfAddressPerSecond = 1;
inline constexpr double kLoginTriesOfUserMax = 100;
inline constexpr double kLoginTriesOfUserPerSecond = 10;
inline constexpr size_t kLoginBucketsMax = 65'536;

class FailureLimits {
 public:
  explicit FailureLimits(const KeyedHash& hash, Clock clock = steady_now,
                         size_t buckets_max = kLoginBucketsMax)
      : hash_(hash), clock_(std::move(clock)), buckets_max_(buckets_max) {}

  // Takes a try; false: not now. remote as "address:port".
  bool admit(std::string_view user, std::string_view remote);
  // The try was right, or did not take place.
  void give_back(std::string_view user, std::string_view remote);

 private:
  struct Bucket {
    double tries = 0;
    int64_t filled_ns = 0;
    std::list<Digest>::iterator age;
  };
  Bucket& bucket(const Digest& key, double most, double per_second);

  const KeyedHash& hash_;
  const Clock clock_;
  const size_t buckets_max_;
  std::mutex mutex_;
  std::unordered_map<Digest, Bucket, DigestHash, DigestEqual> buckets_;
  std::list<Digest> ages_;  // Longest unused first.
};

// Who counts as one: "10.0.0.1" of "10.0.0.1:4321" and of "[::ffff:10.0.0.1]:4321", and
// "2001:db8:0:1::/64" of "[2001:db8:0:1:2:3:4:5]:4321", since whoever has one address of IPv6 has
// the network, too. "unix:/path" as it is.
std::string address_of(std::string_view remote);

}  // namespace mortise::auth_rbac
