#include "host/auth/warrant.h"

#include <algorithm>

namespace mortise::auth {

RpcStatus Warrant::permit(const Needs& needs) {
  who_ = make_identity({}, 0);
  if (!authority_->enabled()) return RpcStatus();
  RpcStatus status = authority_->identify(*credentials_, applied_index_(), &who_);
  if (!status.ok()) return status;
  known_ = true;
  RpcStatus judged = authority_->authorize(who_, needs);
  if (judged.message() != rpc_errors::kAuthOldRevision.message) return judged;
  // Users or roles have changed just now; a token that tells a revision stays old.
  status = authority_->identify(*credentials_, applied_index_(), &who_);
  return status.ok() ? authority_->authorize(who_, needs) : status;
}

RpcStatus Warrant::still_permits(const Needs& needs,
                                 const std::vector<std::string>& changed_users) {
  if (!authority_->enabled()) return RpcStatus();
  if (!known_) return permit(needs);
  if (std::find(changed_users.begin(), changed_users.end(), user_of(who_)) != changed_users.end()) {
    return rpc_errors::kInvalidAuthToken;
  }
  who_.auth_revision = authority_->revision();
  return authority_->authorize(who_, needs);
}

}  // namespace mortise::auth
