// A client of HTTP/2 frames as a test gives them, right or wrong.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mortise::transport_grpc {

using Fields = std::vector<std::pair<std::string, std::string>>;

// The types, flags and codes of frames are nghttp2's numbers.
struct Frame {
  int type = -1;  // -1: the connection has ended.
  uint8_t flags = 0;
  int32_t stream = 0;
  std::string payload;
  bool ended() const { return type < 0; }
};

// What came of one stream.
struct RawAnswer {
  std::map<std::string, std::string> fields;  // Of the header and of the trailer.
  std::string data;
  size_t data_frames = 0;
  bool complete = false;  // END_STREAM.
  int reset_code = -1;
};

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

std::string make_frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload);
// Literal fields that are added to no table.
std::string make_block(const Fields& fields);
Fields call_fields(std::string_view path);
std::string make_headers(uint32_t stream, const Fields& fields, bool end_stream = false);
std::string make_data(uint32_t stream, std::string_view bytes, bool end_stream);
std::string make_window_update(uint32_t stream, uint32_t bytes);
std::string make_reset(uint32_t stream);
std::string make_ping();
// With the length and no compression.
std::string make_message(std::string_view body);
// A unary call in two frames.
std::string make_call(uint32_t stream, std::string_view path, std::string_view body);
uint32_t number_at(std::string_view payload, size_t offset);

class RawClient {
 public:
  // A small receive buffer makes the server's socket full soon.
  explicit RawClient(uint16_t port, int receive_buffer_bytes = 0);
  ~RawClient();
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  // The preface and SETTINGS with the entries given.
  void greet(const std::vector<std::pair<uint16_t, uint32_t>>& settings = {});
  // False if the server has closed the connection.
  bool send(std::string_view bytes);
  // What the socket takes without waiting.
  size_t send_some(std::string_view bytes);
  void shutdown_writes();
  // What the server sends until it closes the connection, whichever way.
  std::string read_to_end();
  // What is there as soon as something is.
  std::string read_some();
  // Waits for one; SETTINGS, WINDOW_UPDATE and acknowledgements are passed over.
  Frame read_frame();
  // Waits until the stream has ended, or the connection.
  RawAnswer read_answer(int32_t stream);
  // The last stream that counts, by the last GOAWAY that was read; -1 if there was none.
  int64_t last_stream() const { return last_stream_; }
  // One that came before another stream's, if there is one.
  const RawAnswer& answer(int32_t stream) { return answers_[stream]; }

 private:
  bool fill();
  bool next_frame(Frame& frame);
  void take(const Frame& frame);

  int fd_ = -1;
  std::string buffer_;
  size_t taken_ = 0;  // Of the buffer.
  nghttp2_hd_inflater* inflater_ = nullptr;
  int64_t last_stream_ = -1;
  std::map<int32_t, RawAnswer> answers_;
};

}  // namespace mortise::transport_grpc
