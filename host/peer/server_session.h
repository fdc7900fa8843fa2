// The HTTP/1.1 server of the peer port: one connection, one request after the other. What a request
// may cost is bounded before its sender is known to belong to the cluster. On the loop's thread;
// owned by Transport. Private to this folder.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "host/peer/context.h"
#include "host/peer/http_io.h"
#include "host/peer/peer.h"

namespace mortise::peer {

inline constexpr milliseconds kIdleTime{10'000};  // Between requests.
inline constexpr milliseconds kHeadTime{5000};    // From the first byte of a head to its end.
inline constexpr milliseconds kBodyTime{30'000};  // From the end of the head to that of the body.
inline constexpr uint64_t kSmallBodyBytesMax = 64 << 10;
inline constexpr uint64_t kPipelineBytesMax = uint64_t{64} << 20;  // One message by POST.
inline constexpr uint64_t kDrainedBytesMax = 256 << 10;            // Of a body that is refused.
inline constexpr milliseconds kDrainTime{1000};

// What a session needs of the transport. Called on the loop's thread.
class PeerBook {
 public:
  virtual ~PeerBook() = default;
  virtual std::shared_ptr<Peer> find_peer(NodeId id) = 0;
  // Somebody unknown has said its peer URLs.
  virtual void note_remote(NodeId id, std::string_view urls) = 0;
  virtual bool run_transfer(std::function<void()> task) = 0;
};

class ServerSession : public std::enable_shared_from_this<ServerSession> {
 public:
  // `on_end` once, when the session has closed its connection or has handed it on.
  ServerSession(ContextRef context, PeerBook* book, ConnectionRef connection,
                std::function<void()> on_end);
  void start() { next_request(); }
  void close();

 private:
  struct Reply;
  enum class Route : uint8_t { kPipeline, kStream, kSnapshot, kProbing, kOther, kNone };

  void next_request();
  void advance();
  void read();
  void on_head();
  void read_body(uint64_t bytes_max);
  void on_request();
  Route route() const;
  HttpHeaders cluster_header() const;
  bool refuse_stranger();
  void note_sender();
  void on_stream();
  void on_snapshot();
  void on_message();
  void on_other();
  void answer(HttpResponse response);
  void refuse(HttpResponse response);
  void write(std::string bytes, std::function<void()> then);
  void linger();
  void end();

  const ContextRef context_;
  PeerBook* const book_;
  ConnectionRef connection_;
  std::function<void()> on_end_;
  std::unique_ptr<HttpParser<true>> parser_;
  std::unique_ptr<std::string> body_;
  bool head_seen_ = false;
  bool in_head_ = false;
  uint64_t body_bytes_max_ = 0;
  std::string method_;
  std::string path_;
  std::string query_;
  Route route_ = Route::kNone;
  std::string out_;
};

}  // namespace mortise::peer
