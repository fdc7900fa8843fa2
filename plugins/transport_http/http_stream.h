// A stream as one HTTP exchange: JSON objects in the request's body, one after the other, and in
// the answer's, each sent at once; as lines, or as server-sent events.
//
// Owned by its connection, on its loop. The client's body is taken only while the host has room,
// and the host gets room again when the client has read.
#pragma once

#include <cstdint>
#include <string_view>

#include "plugins/transport_http/json_splitter.h"
#include "plugins/transport_http/stream.h"

namespace mortise::transport_http {

class Connection;

class HttpStream final : public StreamSink {
 public:
  enum class Framing : uint8_t { kLines, kEvents };

  HttpStream(Connection& connection, const mortise_method& method, Framing framing);
  ~HttpStream();
  void open(CallerInfo caller);
  // Bytes of the request's body; `last` with the end of it.
  void on_input(std::string_view bytes, bool last);
  bool wants_input() const;
  void on_flushed();
  // The time that the client gave is over.
  void on_timeout();
  void refuse(std::string_view message);
  void abandon();

  void on_message(sdk::Buffer message) override;
  void on_credit() override;
  void on_end(const CallAnswer& status) override;
  void on_events_told() override;

 private:
  void pump();
  // False if that ended the stream.
  bool send(std::string_view json);
  void end(mortise_rpc_code code, std::string_view message);
  void begin_answer(int status);
  void write_line(std::string_view before, sdk::Buffer json, std::string_view after);

  Connection& connection_;
  const mortise_method& method_;
  const Framing framing_;
  HostStream* stream_ = nullptr;
  JsonSplitter splitter_;
  bool input_ended_ = false;
  bool half_closed_ = false;
  bool answer_begun_ = false;
  bool ended_ = false;
  uint64_t owed_bytes_ = 0;  // To the host, once they are sent.
};

}  // namespace mortise::transport_http
