// A call to a method that nobody serves: answered with Unimplemented.
#pragma once

#include "plugins/transport_grpc/call.h"

namespace mortise::transport_grpc {

class UnknownCall final : public CallBase {
 public:
  // Asks the library for the next such call. Before the server's start or on the thread of
  // `worker`.
  static void request(ServerContext& context, Worker& worker);

 private:
  UnknownCall(ServerContext& context, Worker& worker);
  ~UnknownCall() override;

  void on_request(bool ok);
  void on_answered(bool ok);

  grpc_call_details details_;
  int cancelled_ = 0;
  Operation<UnknownCall, &UnknownCall::on_request> request_op_{this};
  Operation<UnknownCall, &UnknownCall::on_answered> answer_op_{this};
};

}  // namespace mortise::transport_grpc
