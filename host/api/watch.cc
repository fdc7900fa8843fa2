// etcdserverpb.Watch
#include "host/api/methods.h"

namespace mortise::api {

rpc::ServerStream* watch_watch(const Context& context, const rpc::ClientStream& client,
                               RpcStatus* refused) {
  rpc::ServerStream* stream = context.node->open_watch(client);
  if (stream == nullptr) *refused = rpc_errors::kStopped;
  return stream;
}

}  // namespace mortise::api
