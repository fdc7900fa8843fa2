#include "plugins/transport_grpc/session.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "plugins/transport_grpc/request_head.h"

namespace mortise::transport_grpc {
namespace {

// How far a client may run ahead of the host on one stream,
constexpr uint32_t kStreamWindowBytes = 256 << 10;
// and of this side on all of them. It opens again as bytes are read, whoever they are for.
constexpr int32_t kConnectionWindowBytes = 4 << 20;
// SETTINGS and PING that the client has not read the answers to: then the connection ends.
constexpr size_t kAcksMax = 1000;
// Frames that a header may go on in, each of 16 KiB at most: then the connection ends.
constexpr size_t kContinuationsMax = 8;
// Streams that the client resets: so many at once, and so many in each second.
constexpr uint64_t kResetsAtOnceMax = 100'000;
constexpr uint64_t kResetsPerSecondMax = 10'000;

// The payload of the ping behind the announcement of the end.
constexpr uint8_t kEndPing[8] = {'e', 'n', 'd', 'k', 'n', 'o', 'w', 'n'};

constexpr uint8_t kStatic = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE;
constexpr uint8_t kStaticName = NGHTTP2_NV_FLAG_NO_COPY_NAME;

nghttp2_nv field(std::string_view name, std::string_view value, uint8_t flags) {
  const auto bytes = [](std::string_view text) {
    return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(), flags};
}

std::string_view text(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

bool ends_stream(const nghttp2_frame* frame) {
  return (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
}

bool is_request(const nghttp2_frame* frame) {
  return frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
}

bool announces_end(const nghttp2_frame* frame) {
  return frame->hd.type == NGHTTP2_GOAWAY &&
         frame->goaway.last_stream_id == std::numeric_limits<int32_t>::max();
}

SessionStream* stream_of(nghttp2_session* session, int32_t id) {
  return static_cast<SessionStream*>(nghttp2_session_get_stream_user_data(session, id));
}

}  // namespace

struct Session::Callbacks {
  static Session& self(void* user_data) noexcept { return *static_cast<Session*>(user_data); }

  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                       size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                       void* user_data) noexcept {
    if (is_request(frame)) {
      self(user_data).events_.on_field(text(name, name_size), text(value, value_size));
    }
    return 0;
  }

  static int on_frame(nghttp2_session* session, const nghttp2_frame* frame,
                      void* user_data) noexcept {
    SessionEvents& events = self(user_data).events_;
    const int32_t id = frame->hd.stream_id;
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS: on_headers(session, frame, events); break;
      case NGHTTP2_DATA:
        if (SessionStream* stream = stream_of(session, id)) {
          stream->on_frame_end(ends_stream(frame));
        }
        break;
      case NGHTTP2_PING:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) {
          events.on_ping();
        } else if (std::equal(std::begin(kEndPing), std::end(kEndPing), frame->ping.opaque_data)) {
          events.on_end_known();
        }
        break;
      case NGHTTP2_SETTINGS: events.on_settings(); break;
      default: break;
    }
    return 0;
  }

  static void on_headers(nghttp2_session* session, const nghttp2_frame* frame,
                         SessionEvents& events) noexcept {
    const int32_t id = frame->hd.stream_id;
    SessionStream* stream = stream_of(session, id);
    if (is_request(frame)) {
      stream = events.on_request(id);
      nghttp2_session_set_stream_user_data(session, id, stream);
    }
    if (stream != nullptr && ends_stream(frame)) stream->on_frame_end(true);
  }

  static int on_data(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* data,
                     size_t size, void*) noexcept {
    // One stream that nobody reads does not hold up the others.
    if (nghttp2_session_consume_connection(session, size) != 0) return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (SessionStream* stream = stream_of(session, id)) stream->on_data(text(data, size));
    return 0;
  }

  static int on_close(nghttp2_session* session, int32_t id, uint32_t, void*) noexcept {
    if (SessionStream* stream = stream_of(session, id)) stream->on_closed();
    return 0;
  }

  static int on_sent(nghttp2_session* session, const nghttp2_frame* frame,
                     void* user_data) noexcept {
    const uint8_t type = frame->hd.type;
    if (announces_end(frame)) {
      const int result = nghttp2_submit_ping(session, NGHTTP2_FLAG_NONE, kEndPing);
      return result == 0 ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (type != NGHTTP2_HEADERS && type != NGHTTP2_DATA) return 0;
    self(user_data).events_.on_message_sent();
    const int32_t id = frame->hd.stream_id;
    // The client need not say the rest.
    if (ends_stream(frame) && nghttp2_session_get_stream_remote_close(session, id) == 0 &&
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR) != 0) {
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return 0;
  }

  static ssize_t on_offer(nghttp2_session*, int32_t, uint8_t*, size_t max, uint32_t* flags,
                          nghttp2_data_source* source, void* user_data) noexcept {
    auto* const stream = static_cast<SessionStream*>(source->ptr);
    const Outgoing& outgoing = stream->outgoing();
    const size_t size = std::min(max, outgoing.bytes());
    if (size == 0 && (!outgoing.ended() || stream->status_sent_)) return NGHTTP2_ERR_DEFERRED;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (outgoing.ended() && size == outgoing.bytes()) {
      *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
      if (!self(user_data).send_status(*stream)) return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return static_cast<ssize_t>(size);
  }

  static int on_write(nghttp2_session*, nghttp2_frame*, const uint8_t* head, size_t size,
                      nghttp2_data_source* source, void* user_data) noexcept {
    constexpr size_t kHeadBytes = 9;
    auto* const stream = static_cast<SessionStream*>(source->ptr);
    transport_common::Output& out = *self(user_data).out_;
    out.text().append(text(head, kHeadBytes));
    stream->outgoing().write(size, out);
    stream->on_written(size);
    return 0;
  }
};

namespace {

struct Setup {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_option* option = nullptr;
  ~Setup() {
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
  }
};

}  // namespace

Session::~Session() { stop(); }

void Session::stop() { nghttp2_session_del(std::exchange(session_, nullptr)); }

bool Session::start(uint64_t concurrent_streams_max) {
  Setup setup;
  if (nghttp2_session_callbacks_new(&setup.callbacks) != 0) return false;
  if (nghttp2_option_new(&setup.option) != 0) return false;
  nghttp2_session_callbacks* const c = setup.callbacks;
  nghttp2_session_callbacks_set_on_header_callback(c, &Callbacks::on_header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(c, &Callbacks::on_frame);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, &Callbacks::on_data);
  nghttp2_session_callbacks_set_on_stream_close_callback(c, &Callbacks::on_close);
  nghttp2_session_callbacks_set_on_frame_send_callback(c, &Callbacks::on_sent);
  nghttp2_session_callbacks_set_send_data_callback(c, &Callbacks::on_write);
  nghttp2_option* const o = setup.option;
  nghttp2_option_set_no_auto_window_update(o, 1);
  nghttp2_option_set_no_closed_streams(o, 1);
  // gRPC's own rules are looser: there are clients whose :authority is none, and etcd serves them.
  nghttp2_option_set_no_http_messaging(o, 1);
  nghttp2_option_set_max_outbound_ack(o, kAcksMax);
  nghttp2_option_set_max_continuations(o, kContinuationsMax);
  nghttp2_option_set_stream_reset_rate_limit(o, kResetsAtOnceMax, kResetsPerSecondMax);
  if (nghttp2_session_server_new2(&session_, c, this, o) != 0) return false;

  nghttp2_settings_entry settings[3] = {
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindowBytes},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(RequestHead::kBytesMax)}};
  size_t count = 2;
  if (concurrent_streams_max > 0 && concurrent_streams_max < std::numeric_limits<uint32_t>::max()) {
    settings[count++] = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
                         static_cast<uint32_t>(concurrent_streams_max)};
  }
  return nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, count) == 0 &&
         nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0,
                                               kConnectionWindowBytes) == 0;
}

bool Session::receive(std::string_view bytes) {
  return idle_resets_.pass(bytes, [this](std::string_view piece) {
    const ssize_t taken = nghttp2_session_mem_recv(
        session_, reinterpret_cast<const uint8_t*>(piece.data()), piece.size());
    return taken == static_cast<ssize_t>(piece.size());
  });
}

bool Session::pull(transport_common::Output& out, size_t limit, bool& more) {
  more = false;
  out_ = &out;
  for (;;) {
    if (out.pending_bytes() >= limit) {
      more = true;
      return true;
    }
    const uint8_t* data = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_, &data);
    if (size < 0) return false;
    if (size == 0) return true;
    out.text().append(text(data, static_cast<size_t>(size)));
  }
}

bool Session::finished() const {
  return nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0;
}

bool Session::wants_write() const { return nghttp2_session_want_write(session_) != 0; }

size_t Session::queued_frames() const { return nghttp2_session_get_outbound_queue_size(session_); }

bool Session::respond(SessionStream& stream, std::string_view content_type) {
  const nghttp2_nv fields[] = {field(":status", "200", kStatic),
                               field("content-type", content_type, kStaticName)};
  nghttp2_data_provider provider{};
  provider.source.ptr = &stream;
  provider.read_callback = &Callbacks::on_offer;
  return nghttp2_submit_response(session_, stream.id(), fields, std::size(fields), &provider) == 0;
}

bool Session::resume(SessionStream& stream) {
  if (stream.outgoing().bytes() == 0 && stream.outgoing().ended()) return send_status(stream);
  // If it is not waiting for more, what is there is asked for anyway.
  const int result = nghttp2_session_resume_data(session_, stream.id());
  return result == 0 || result == NGHTTP2_ERR_INVALID_ARGUMENT;
}

bool Session::send_status(SessionStream& stream) {
  if (std::exchange(stream.status_sent_, true)) return true;
  const Status& status = stream.outgoing().status();
  nghttp2_nv fields[2] = {field("grpc-status", code_text(status.code), kStatic)};
  size_t count = 1;
  std::string message;
  if (!status.message.empty()) {
    message = percent_encoded(status.message);
    fields[count++] = field("grpc-message", message, kStaticName);
  }
  return nghttp2_submit_trailer(session_, stream.id(), fields, count) == 0;
}

bool Session::refuse(int32_t id, std::string_view http_status, std::string_view content_type,
                     const Status& status) {
  const std::string message = percent_encoded(status.message);
  const nghttp2_nv fields[] = {field(":status", http_status, kStatic),
                               field("content-type", content_type, kStaticName),
                               field("grpc-status", code_text(status.code), kStatic),
                               field("grpc-message", message, kStaticName)};
  const size_t count = std::size(fields) - (message.empty() ? 1 : 0);
  return nghttp2_submit_response(session_, id, fields, count, nullptr) == 0;
}

bool Session::reset(int32_t id, ErrorCode code) {
  return nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, static_cast<uint32_t>(code)) ==
         0;
}

void Session::consume(int32_t id, size_t bytes) {
  // A stream that is no more needs no window; a lack of memory shows with the next frame.
  (void)nghttp2_session_consume_stream(session_, id, bytes);
}

bool Session::ping() { return nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr) == 0; }

bool Session::announce_end() { return nghttp2_submit_shutdown_notice(session_) == 0; }

bool Session::go_away(int32_t last, ErrorCode code, std::string_view debug) {
  return nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, last, static_cast<uint32_t>(code),
                               reinterpret_cast<const uint8_t*>(debug.data()), debug.size()) == 0;
}

}  // namespace mortise::transport_grpc
