// One HTTP/2 connection: its socket, its session and its calls, within limits.
//
// Everything runs on the worker's loop. A connection counts references: one while it is open, one
// for each of its calls, as the host may work on these when the client is long gone.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/transport_common/output.h"
#include "plugins/transport_common/poller.h"
#include "plugins/transport_common/worker.h"
#include "plugins/transport_grpc/call.h"
#include "plugins/transport_grpc/keepalive.h"
#include "plugins/transport_grpc/request_head.h"
#include "plugins/transport_grpc/session.h"

namespace mortise::transport_grpc {

class UnaryCall;
class Worker;
struct Context;

class Connection final : public SessionEvents,
                         public transport_common::Pollable,
                         public transport_common::Watched {
 public:
  // Time for the client to say what it is, and to close after all is said.
  static constexpr std::chrono::seconds kSettingsTimeMax{10};
  static constexpr std::chrono::seconds kLingerMax{2};

  // The fd is the connection's.
  static void begin(Worker& worker, int fd, std::string remote, std::string common_name);

  // For calls.
  Worker& worker() { return worker_; }
  Context& context() { return context_; }
  Session& session() { return session_; }
  std::string_view remote() const { return remote_; }
  std::string_view common_name() const { return common_name_; }
  void add_call(Call& call);
  void remove_call(Call& call);
  // There may be something to send. What was submitted is to be told here: `false` ends it all.
  void submitted(bool ok);
  // The client has left a call that the host works on; and the host is done with it.
  void call_left() { ++left_calls_; }
  void left_call_ended();
  // Answers of unary calls that their client has not taken.
  void add_unread(size_t bytes) { unread_bytes_ += bytes; }
  void drop_unread(size_t bytes);
  // True if the host may have a further call now; else the call is told later.
  bool admit(UnaryCall& call);
  void forget(UnaryCall& call);  // It waits no more.

  // For the worker.
  bool mark_flush();  // False if it is marked already.
  void flush();
  void ref() { ++references_; }
  void unref();

  void on_ready(bool readable, bool writable, bool broken) override;
  void sweep(Clock::time_point now) override;
  void begin_drain() override;
  void give_up() override;
  void close() override;

  void on_field(std::string_view name, std::string_view value) override;
  SessionStream* on_request(int32_t id) override;
  void on_ping() override;
  void on_end_known() override;
  void on_settings() override { settings_seen_ = true; }
  void on_message_sent() override { ping_guard_.forgive(); }

 private:
  enum class Phase : uint8_t {
    kOpen,
    kLinger,  // All is said; until the client closes.
    kClosed
  };

  Connection(Worker& worker, int fd, std::string remote, std::string common_name);
  ~Connection();

  void open();
  void read();
  bool send();
  void pull();
  bool admit_waiting();
  void leave_calls();
  void go_away();
  void end();
  void leave();
  void linger();
  bool wants_read() const;
  void update_interest();

  Worker& worker_;
  Context& context_;
  const int fd_;
  const std::string remote_;
  const std::string common_name_;
  Session session_;
  transport_common::Output out_;
  RequestHead head_;
  PingGuard ping_guard_;
  Keepalive keepalive_;
  Clock::time_point since_;  // When the phase began, or the end.
  Clock::time_point last_read_;
  uint32_t references_ = 1;
  Phase phase_ = Phase::kOpen;
  bool settings_seen_ = false;
  bool flush_marked_ = false;
  bool blocked_ = false;  // The socket takes nothing.
  bool end_wanted_ = false;
  bool unaware_ = false;    // The client has been told of the drain, but may not have heard it.
  bool gone_away_ = false;  // Streams after last_request_ are none.
  bool ending_ = false;     // The session is over; what is in out_ is still sent.
  bool reads_ = true;       // What the poller watches for.
  bool watches_writable_ = false;
  Call* first_call_ = nullptr;
  int32_t last_request_ = 0;
  size_t lingered_bytes_ = 0;
  uint64_t left_calls_ = 0;
  uint64_t unread_bytes_ = 0;
  std::vector<UnaryCall*> waiting_;  // For admit().
};

}  // namespace mortise::transport_grpc
