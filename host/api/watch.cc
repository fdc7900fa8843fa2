// etcdserverpb.Watch
#include "host/api/methods.h"

namespace mortise::api {

rpc::ServerStream* watch_watch(const Context& context, const rpc::ClientStream& client,
                               std::shared_ptr<auth::Warrant> warrant, RpcStatus* refused) {
  rpc::ServerStream* stream = context.node->open_watch(client, std::move(warrant));
  if (stream == nullptr) *refused = rpc_errors::kStopped;
  return stream;
}

}  // namespace mortise::api
