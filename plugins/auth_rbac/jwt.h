// JSON Web Tokens: made for users who log in, or made by somebody else with a key that is known
// here.
//
// A token names its user, the auth revision it was made at, and when it ends. The algorithm is the
// configured one, always. Keys are read again when their files change: a look at the files once a
// second at most; files that hold no key leave the old one in use.
//
// Any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "mortise/sdk/auth.h"
#include "plugins/auth_rbac/jwt_key.h"
#include "plugins/auth_rbac/token_options.h"

namespace mortise::auth_rbac {

inline constexpr size_t kJwtBytesMax = 16'384;
inline constexpr size_t kKeyFileBytesMax = 1'048'576;

using WallClock = std::function<int64_t()>;  // Seconds since 1970.
int64_t wall_now();

class Jwt {
 public:
  static sdk::Status create(sdk::Host host, const TokenOptions& options, std::unique_ptr<Jwt>& out,
                            WallClock clock = wall_now);

  sdk::RpcStatus sign(std::string_view user, uint64_t auth_revision, std::string& token);
  // False: not a token of ours, or not at this time.
  bool verify(std::string_view token, std::string& user, uint64_t& auth_revision);
  // Takes a millisecond, or more.
  bool signing_is_slow() const;
  // Looks at the files now.
  void reload();

 private:
  struct Files;
  Jwt(sdk::Host host, const JwtAlgorithm& algorithm, std::string public_file,
      std::string private_file, std::chrono::nanoseconds ttl, WallClock clock);
  sdk::Status read_keys(std::shared_ptr<const JwtKey>& out, std::string& stamp) const;
  std::shared_ptr<const JwtKey> key();
  void reload_now_and_then();

  const sdk::Host host_;
  const JwtAlgorithm& algorithm_;
  const std::string public_file_;
  const std::string private_file_;
  const std::chrono::nanoseconds ttl_;
  const WallClock clock_;
  std::atomic<int64_t> next_look_ns_{0};
  std::mutex mutex_;
  std::shared_ptr<const JwtKey> key_;
  std::string stamp_;  // Of the files that key_ is from.
};

}  // namespace mortise::auth_rbac
