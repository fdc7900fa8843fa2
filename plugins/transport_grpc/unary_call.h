// One unary call: request in, one answer of the host out.
#pragma once

#include "plugins/transport_grpc/call.h"

namespace mortise::transport_grpc {

class UnaryCall final : public CallBase {
 public:
  // Asks the library for the next call of `method`. Before the server's start or on the thread of
  // `worker`.
  static void request(ServerContext& context, Worker& worker, const Methods::Method& method);

  // For the outbox, on the worker.
  int socket() const { return socket_; }
  void send_from_outbox();
  // True if the worker is awake and is going to send the answer.
  bool leave_to_worker() { return worker_.outbox.put(this); }

 private:
  // Of a call that is watched for its client's leaving. Decides who sends the answer: the worker,
  // if it came before call() had returned, so that it goes out with the watch in one batch; or else
  // the thread that brings it.
  enum State : uint8_t { kDispatching, kDispatched, kAnswered };

  UnaryCall(ServerContext& context, Worker& worker, const Methods::Method& method);
  ~UnaryCall() override;

  static void MORTISE_ABI done(void* context, mortise_rpc_code code, mortise_bytes status_message,
                               mortise_buffer body);

  // The host wants to hear if the client leaves, and that costs an operation of the library's.
  bool watched() const { return (method_.host->flags & MORTISE_METHOD_CANCELLABLE) != 0; }
  void on_request(bool ok);
  void on_close(bool ok);
  void on_sent(bool ok);
  void dispatch();
  void refuse(mortise_rpc_code code, std::string_view message);
  void answer(bool with_close);
  void send();

  const Methods::Method& method_;
  grpc_byte_buffer* request_ = nullptr;
  mortise_call* host_call_ = nullptr;
  int socket_ = Connections::kNone;
  int cancelled_ = 0;
  sdk::HostGate gate_;

  // The answer; whoever set it hands it to answer() through state_.
  std::atomic<State> state_{kDispatching};
  bool with_close_ = false;
  mortise_rpc_code code_ = 0;
  grpc_slice details_;
  grpc_byte_buffer* response_ = nullptr;

  Operation<UnaryCall, &UnaryCall::on_request> request_op_{this};
  Operation<UnaryCall, &UnaryCall::on_close> close_op_{this};
  Operation<UnaryCall, &UnaryCall::on_sent> sent_op_{this};
};

}  // namespace mortise::transport_grpc
