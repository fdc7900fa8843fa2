#include "plugins/transport_grpc/call.h"

#include <algorithm>

#include "mortise/sdk/bytes.h"
#include "plugins/transport_grpc/connection.h"
#include "plugins/transport_grpc/worker.h"

namespace mortise::transport_grpc {

Call::Call(Connection& connection, int32_t id, const mortise_method& method,
           const RequestHead& head)
    : SessionStream(id),
      connection_(connection),
      method_(method),
      content_type_(head.content_type()) {
  connection_.context().calls.add();
  connection_.add_call(*this);
}

Call::~Call() {
  end_deadline();
  transport_common::LiveCount& calls = connection_.context().calls;
  connection_.remove_call(*this);
  calls.drop();
}

mortise_caller Call::make_caller(const RequestHead& head) const {
  mortise_caller caller{};
  caller.struct_size = sizeof(caller);
  caller.flags = head.caller_flags();
  caller.remote = sdk::bytes(connection_.remote());
  caller.token = sdk::bytes(head.token());
  caller.tls_common_name = sdk::bytes(connection_.common_name());
  caller.client_api_version = sdk::bytes(head.client_api_version());
  caller.timeout_ns = head.timeout_ns();
  return caller;
}

void Call::on_closed() {
  attached_ = false;
  end_deadline();
  on_detached();
  outgoing().clear();
  if (with_host_) {
    leave_host();
  } else {
    delete this;
  }
}

void Call::leave_host() {
  if (!with_host_ || left_) return;
  left_ = true;
  connection_.call_left();
  cancel_host();
}

bool Call::host_ended() {
  with_host_ = false;
  if (left_) {
    left_ = false;
    connection_.left_call_ended();
  }
  if (attached_) return true;
  delete this;
  return false;
}

void Call::start_deadline(uint64_t timeout_ns) {
  if (timeout_ns == 0) return;
  // Further away the clock might overflow.
  constexpr std::chrono::nanoseconds kLongest = std::chrono::hours(24 * 365 * 100);
  const std::chrono::nanoseconds timeout(static_cast<int64_t>(timeout_ns));
  connection_.worker().deadlines.add(*this, Clock::now() + std::min(timeout, kLongest));
}

void Call::end_deadline() { connection_.worker().deadlines.remove(*this); }

void Call::refuse(const Status& status) {
  connection_.submitted(connection_.session().refuse(id(), "200", content_type_, status));
}

}  // namespace mortise::transport_grpc
