// One stream, server-side or bidirectional: messages both ways, each way as far as the other side's
// credit goes, and one status at the end.
//
// Towards the host: all calls for a stream are made by the worker, so they are serial, and through
// the gate, so none is made once on_end has begun. Towards the client: one write at a time, taken
// from a queue that is bounded by the window granted to the host; the status follows the last
// message.
#pragma once

#include <deque>
#include <mutex>

#include "mortise/sdk/bytes.h"
#include "plugins/transport_grpc/call.h"

namespace mortise::transport_grpc {

class StreamCall final : public CallBase {
 public:
  // Asks the library for the next call of `method`. Before the server's start or on the thread of
  // `worker`.
  static void request(ServerContext& context, Worker& worker, const Methods::Method& method);

 private:
  enum class Next { kNothing, kMessage, kStatus };

  StreamCall(ServerContext& context, Worker& worker, const Methods::Method& method);
  ~StreamCall() override;

  static void MORTISE_ABI on_message(void* context, mortise_buffer message);
  static void MORTISE_ABI on_credit(void* context, uint64_t bytes);
  static void MORTISE_ABI on_end(void* context, mortise_rpc_code code,
                                 mortise_bytes status_message);
  static const mortise_stream_events kEvents;

  void on_request(bool ok);
  void on_close(bool ok);
  void on_read(bool ok);
  void on_written(bool ok);
  void on_status_sent(bool ok);

  void open();
  void read_if_wanted();
  void take_message(grpc_byte_buffer* message);
  void end_of_input();
  // Ends the stream with a status of this side's own: the host is told that the client is gone.
  void fail(mortise_rpc_code code, std::string_view message);
  // Starts what the client should get next, if nothing is being written.
  void advance();
  void write(mortise_buffer message, bool more_follow);
  void write_status();

  const Methods::Method& method_;
  mortise_stream* host_stream_ = nullptr;  // Used by the worker, inside of gate_.
  sdk::HostGate gate_;
  int cancelled_ = 0;
  grpc_byte_buffer* incoming_ = nullptr;  // Of the read under way.
  grpc_byte_buffer* outgoing_ = nullptr;  // Of the write under way.

  bool headers_sent_ = false;  // Of whoever writes; advance() lets one do so at a time.

  std::mutex mutex_;
  // Guarded by mutex_. The credit is negative after a message that was larger than what was left of
  // it.
  int64_t credit_bytes_ = 0;
  bool reading_ = false;
  bool input_ended_ = false;
  std::deque<sdk::Buffer> queue_out_;
  bool writing_ = false;
  size_t writing_bytes_ = 0;
  uint64_t owed_bytes_ = 0;  // Written, and not granted to the host again yet.
  bool ended_ = false;       // The host's last event came, or the host never took the stream.
  bool status_sent_ = false;
  bool gone_ = false;        // The client can be reached no more.
  bool has_status_ = false;  // code_ and details_ are final.
  mortise_rpc_code code_ = 0;
  grpc_slice details_;

  Operation<StreamCall, &StreamCall::on_request> request_op_{this};
  Operation<StreamCall, &StreamCall::on_close> close_op_{this};
  Operation<StreamCall, &StreamCall::on_read> read_op_{this};
  Operation<StreamCall, &StreamCall::on_written> write_op_{this};
  Operation<StreamCall, &StreamCall::on_status_sent> status_op_{this};
};

}  // namespace mortise::transport_grpc
