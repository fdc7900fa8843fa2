// One stream, server-side or bidirectional: messages both ways, each way as far as the other side's
// credit goes, and one status at the end.
//
// Towards the host: all calls for a stream are made on the loop, so they are serial, and through
// the gate, so none is made once on_end has begun. The host's events come on any thread and are
// brought to the loop, those that come together as one. Towards the client: what HTTP/2's windows
// allow, out of a queue that the window granted to the host bounds.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "mortise/sdk/bytes.h"
#include "mortise/sdk/transport_parts.h"
#include "plugins/transport_grpc/call.h"
#include "plugins/transport_grpc/message_reader.h"

namespace mortise::transport_grpc {

class StreamCall final : public Call {
 public:
  StreamCall(Connection& connection, int32_t id, const mortise_method& method,
             const RequestHead& head);
  // Once, before anything else.
  void open(const RequestHead& head);

  void on_data(std::string_view bytes) override;
  void on_frame_end(bool input_ended) override;
  void on_written(size_t bytes) override;
  void on_deadline() override;

 private:
  struct Events {
    std::vector<sdk::Buffer> messages;
    uint64_t credit_bytes = 0;
    bool ended = false;
    Status status;
  };

  ~StreamCall() override;
  void on_detached() override;
  void cancel_host() override;
  void complete() override;

  static const mortise_stream_events kEvents;
  static void MORTISE_ABI on_message(void* context, mortise_buffer message);
  static void MORTISE_ABI on_credit(void* context, uint64_t bytes);
  static void MORTISE_ABI on_end(void* context, mortise_rpc_code code,
                                 mortise_bytes status_message);
  template <class Change>
  void add_event(Change&& change);

  void add_credit(uint64_t bytes);
  // Hands on what the host takes; what is left stays in `bytes`.
  void feed(std::string_view& bytes);
  void feed_kept();
  void hand_on();
  void keep(std::string_view bytes);
  void drop_kept();
  void end_of_input();
  // Ends the stream with a status of this side's own: the host is told that the client is gone.
  void fail(Status status);
  void finish(Status status);
  void advance();

  MessageReader reader_;
  // The credit is negative after a message that was larger than what was left of it.
  int64_t credit_bytes_ = 0;
  std::string kept_;          // What came without credit, at most the stream's window.
  bool input_ended_ = false;  // The client has said all,
  bool input_done_ = false;   // and this side has heard all that it wants to.
  bool responded_ = false;
  uint64_t owed_bytes_ = 0;  // Written, and not granted to the host again yet.
  mortise_stream* host_stream_ = nullptr;
  sdk::HostGate gate_;

  std::mutex mutex_;
  Events events_;           // Guarded by mutex_.
  bool scheduled_ = false;  // Guarded by mutex_.
};

}  // namespace mortise::transport_grpc
