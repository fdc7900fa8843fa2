// One request after the other to a member, over one connection as long as the other side keeps it.
// On the loop's thread. Private to this folder.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "host/config/url.h"
#include "host/peer/connection.h"
#include "host/peer/http_io.h"

namespace mortise::peer {

class HttpCaller : public std::enable_shared_from_this<HttpCaller> {
 public:
  struct Call {
    config::Url url;
    std::string method;
    std::string target;
    HttpHeaders headers;
    std::string body;
    std::chrono::milliseconds dial_limit{2000};
    std::chrono::milliseconds time_limit{5000};  // With the dial.
    uint64_t body_bytes_max = 64 << 10;
  };
  using Done = std::function<void(Result<HttpResponse>)>;

  explicit HttpCaller(IoLoop* loop) : loop_(loop) {}
  // Not while another one is open.
  void call(Call call, Done done);
  // An open call is answered with kStopped at once.
  void close();

 private:
  void connect();
  void send();
  void read();
  void on_read(size_t size);
  void on_error(const ErrorCode& error);
  void finish(Result<HttpResponse> result, bool keep);

  IoLoop* const loop_;
  ConnectionRef connection_;
  config::Url connected_to_;
  uint64_t round_ = 0;  // Handlers of earlier calls have nothing to say.
  Call call_;
  Done done_;
  Clock::time_point started_;
  bool reused_ = false;
  std::string bytes_;
  std::string body_;
  std::unique_ptr<HttpParser<false>> parser_;
};

}  // namespace mortise::peer
