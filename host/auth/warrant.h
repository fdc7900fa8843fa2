// What the client of a stream, or of a call that waits long, may do as time goes by: its
// credentials count anew with each request, and what it has begun goes on while the user that it
// was then may.
//
// One thread at a time. The authority outlives it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "host/auth/authority.h"

namespace mortise::auth {

class Warrant {
 public:
  using AppliedFn = std::function<uint64_t()>;
  Warrant(const Authority* authority, AppliedFn applied_index,
          std::shared_ptr<const Credentials> credentials)
      : authority_(authority),
        applied_index_(std::move(applied_index)),
        credentials_(std::move(credentials)) {}

  // A new request. Tokens that ran out do not count any more.
  RpcStatus permit(const Needs& needs);
  // What was permitted before: tokens may have run out since. `changed_users` were deleted, or have
  // to log in again. Who was not asked, as authentication was off, is asked now.
  RpcStatus still_permits(const Needs& needs, const std::vector<std::string>& changed_users);
  // In whose name requests are logged, as of the last permit().
  wire::Author author() const { return author_of(who_); }
  const mortise_identity& identity() const { return who_; }
  const Authority& authority() const { return *authority_; }

 private:
  const Authority* const authority_;
  const AppliedFn applied_index_;
  const std::shared_ptr<const Credentials> credentials_;
  mortise_identity who_ = make_identity({}, 0);
  bool known_ = false;
};

}  // namespace mortise::auth
