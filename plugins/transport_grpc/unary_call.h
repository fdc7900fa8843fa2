// One unary call: one message in, one answer of the host out.
#pragma once

#include <atomic>
#include <string>

#include "mortise/sdk/bytes.h"
#include "mortise/sdk/transport_parts.h"
#include "plugins/transport_grpc/call.h"
#include "plugins/transport_grpc/message_reader.h"

namespace mortise::transport_grpc {

class UnaryCall final : public Call {
 public:
  // A request that comes slower than this, in the long run, is given up.
  static constexpr std::chrono::seconds kRequestTimeMax{30};
  static constexpr uint64_t kRequestBytesPerMs = 4;

  UnaryCall(Connection& connection, int32_t id, const mortise_method& method,
            const RequestHead& head);
  // The host may have it now. Once, for a call that had to wait.
  void dispatch();

  void on_data(std::string_view bytes) override;
  void on_frame_end(bool input_ended) override;
  void on_written(size_t bytes) override;
  void on_deadline() override;
  void sweep(Clock::time_point now) override;

 private:
  // Who sees to the answer: dispatch(), if it came before the host's call() had returned, or else
  // the loop, to which the thread that brings it hands it over.
  enum State : uint8_t { kCalling, kReturned, kAnswered };

  ~UnaryCall() override = default;
  void on_detached() override;
  void cancel_host() override;
  void complete() override;
  static void MORTISE_ABI done(void* context, mortise_rpc_code code, mortise_bytes status_message,
                               mortise_buffer body);

  bool cancellable() const { return (method_.flags & MORTISE_METHOD_CANCELLABLE) != 0; }
  void start();
  void fail(const Status& status);
  void answer();

  MessageReader reader_;
  mortise_caller caller_;
  const std::string token_;
  const std::string client_api_version_;
  const Clock::time_point began_;
  bool receiving_ = true;
  bool has_message_ = false;
  bool waiting_ = false;  // To be admitted.
  bool answered_ = false;
  mortise_call* host_call_ = nullptr;
  sdk::HostGate gate_;

  std::atomic<State> state_{kCalling};
  Status status_;
  sdk::Buffer body_;
};

}  // namespace mortise::transport_grpc
