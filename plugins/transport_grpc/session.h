// HTTP/2 of one connection: bytes in and events out, answers in and bytes out. The library that
// does the work is seen in session.cc alone.
//
// Everything runs on the connection's loop. Events come from within receive() and pull(), and may
// call anything here but these two. Functions that return bool are false if there is no memory or
// the session is at its end: the connection is then to be closed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "plugins/transport_common/output.h"
#include "plugins/transport_grpc/idle_resets.h"
#include "plugins/transport_grpc/outgoing.h"
#include "plugins/transport_grpc/status.h"

struct nghttp2_session;

namespace mortise::transport_grpc {

// What a session keeps for one of its streams.
class SessionStream {
 public:
  explicit SessionStream(int32_t id) : id_(id) {}
  int32_t id() const { return id_; }
  Outgoing& outgoing() { return outgoing_; }

  // Bytes of a DATA frame. The stream's window opens again by consume() alone.
  virtual void on_data(std::string_view bytes) = 0;
  // A DATA frame has been read, or else the end of the input has come.
  virtual void on_frame_end(bool input_ended) = 0;
  // Some of outgoing() has been written.
  virtual void on_written(size_t bytes) = 0;
  // The stream is no more: all is said, the client has reset it, or the connection ends.
  virtual void on_closed() = 0;

 protected:
  ~SessionStream() = default;

 private:
  friend class Session;
  const int32_t id_;
  bool status_sent_ = false;
  Outgoing outgoing_;
};

class SessionEvents {
 public:
  virtual void on_field(std::string_view name, std::string_view value) = 0;
  // The head of the request is complete. Null if it has been answered already, or is not worth it.
  virtual SessionStream* on_request(int32_t id) = 0;
  virtual void on_ping() = 0;  // Of the client's own.
  // The client has seen what announce_end() sent, and so will begin nothing more.
  virtual void on_end_known() = 0;
  virtual void on_settings() = 0;
  virtual void on_message_sent() = 0;  // A frame of an answer.

 protected:
  ~SessionEvents() = default;
};

enum class ErrorCode : uint32_t { kNone = 0, kProtocol = 1, kCancel = 8, kCalmDown = 11 };

class Session {
 public:
  explicit Session(SessionEvents& events) : events_(events) {}
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  bool start(uint64_t concurrent_streams_max);
  // Gives its memory back; nothing is called after this. Not from within an event.
  void stop();

  // What came from the client.
  bool receive(std::string_view bytes);
  // What is to be sent, until `limit` bytes wait in `out`. Sets `more` if it stopped for that.
  bool pull(transport_common::Output& out, size_t limit, bool& more);
  // Nothing comes any more, and nothing is to be sent.
  bool finished() const;
  bool wants_write() const;
  // Frames that wait to be pulled, apart from messages that wait for the client's window.
  size_t queued_frames() const;

  // The first part of an answer with messages; what stream.outgoing() has follows, now and after
  // each resume(), and the status at its end.
  bool respond(SessionStream& stream, std::string_view content_type);
  bool resume(SessionStream& stream);
  // An answer that is nothing but a status. http_status is static.
  bool refuse(int32_t id, std::string_view http_status, std::string_view content_type,
              const Status& status);
  bool reset(int32_t id, ErrorCode code);
  // The stream can take so much more from the client.
  void consume(int32_t id, size_t bytes);
  bool ping();
  // Tells the client to begin no further streams. Those that come meanwhile are streams as any.
  bool announce_end();
  // Takes no new streams. Those that the client has begun beyond `last` end; it may try them again
  // elsewhere.
  bool go_away(int32_t last, ErrorCode code, std::string_view debug);

 private:
  struct Callbacks;
  bool send_status(SessionStream& stream);

  SessionEvents& events_;
  nghttp2_session* session_ = nullptr;
  IdleResets idle_resets_;
  transport_common::Output* out_ = nullptr;  // While pulling.
};

}  // namespace mortise::transport_grpc
