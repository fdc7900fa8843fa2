// Dials a member for one of its streams, hands on what comes, and dials again when it ends. On the
// loop's thread; owned by Peer. Private to this folder.
#pragma once

#include <memory>

#include "host/peer/context.h"
#include "host/peer/framing.h"
#include "host/peer/http_io.h"

namespace mortise::peer {

// At most one attempt to dial in so long, for each stream.
inline constexpr milliseconds kDialInterval{100};

class StreamReader : public std::enable_shared_from_this<StreamReader> {
 public:
  StreamReader(ContextRef context, NodeId peer, StreamType type, PeerStatusRef status,
               UrlPickerRef picker);

  void start();
  void stop();

 private:
  void dial_stream();
  void send_request(ConnectionRef connection);
  void read();
  void on_read(size_t size);
  bool check_head();
  Status refusal();
  Status check_server();
  void deliver_all(size_t bytes);
  void fail_dial(const Status& status);
  void lose(const std::string& reason, bool is_end);
  void retry();
  LogFields fields() const;

  const ContextRef context_;
  const NodeId peer_;
  const StreamType type_;
  const PeerStatusRef status_;
  const UrlPickerRef picker_;
  asio::steady_timer timer_;
  Clock::time_point last_dial_;
  config::Url url_;
  bool stopped_ = false;
  ConnectionRef connection_;
  std::string request_;
  bool established_ = false;
  std::string refused_body_;
  // Of the connection; an operation that outlives it keeps its parser.
  std::shared_ptr<HttpParser<false>> parser_;
  std::optional<StreamDecoder> decoder_;
};

// "3.7.1" as major and minor; false if it is no version.
bool parse_version(std::string_view text, std::pair<int, int>* version);

}  // namespace mortise::peer
