// What all kinds of calls share: their place in the connection, and their end.
//
// Life. A call lives until the client is through with it, because its stream is closed, and so is
// the host, because its last word has come. Whichever is second destroys it, on the loop.
#pragma once

#include "mortise/abi/rpc.h"
#include "plugins/transport_common/loop.h"
#include "plugins/transport_grpc/deadlines.h"
#include "plugins/transport_grpc/request_head.h"
#include "plugins/transport_grpc/session.h"

namespace mortise::transport_grpc {

class Connection;

class Call : public SessionStream, public transport_common::Completion, public Deadlined {
 public:
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  void on_closed() final;
  // Every second or so.
  virtual void sweep(Clock::time_point) {}

 protected:
  Call(Connection& connection, int32_t id, const mortise_method& method, const RequestHead& head);
  virtual ~Call();

  // The client is gone: what belongs to it goes too.
  virtual void on_detached() = 0;
  // Tells the host, if it wants to hear that.
  virtual void cancel_host() = 0;

  mortise_caller make_caller(const RequestHead& head) const;
  // Nobody waits for what the host is doing.
  void leave_host();
  // The host's last word. False if the call is no more.
  bool host_ended();
  void start_deadline(uint64_t timeout_ns);
  void end_deadline();
  void refuse(const Status& status);

  Connection& connection_;
  const mortise_method& method_;
  const std::string_view content_type_;  // Of the answer.
  bool attached_ = true;                 // To the client.
  bool with_host_ = false;

 private:
  friend class Connection;
  bool left_ = false;
  Call* previous_ = nullptr;
  Call* next_ = nullptr;
};

}  // namespace mortise::transport_grpc
