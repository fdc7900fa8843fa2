// Asks members something over HTTP: the members of a cluster to join, versions, hashes. Each call
// has a limit for its time and for the answer's size, and a connection of its own while it lasts,
// which later calls to the same URL use again.
//
// Threads: any thread may call; answers come on the client's own thread, where nothing may block.
// Destroying the client ends open calls with kStopped before it returns. Errors: kInvalid for a URL
// that cannot be used (https without a dialer is one), kIo for a connection that fails, a limit
// that is reached or an answer that is no HTTP. Any status code is an answer, not an error.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "host/base/status.h"
#include "host/peer/http.h"
#include "host/tls/relay.h"

namespace mortise::peer {

struct HttpCall {
  std::string url;         // "https://host:port" or "unix://path": a member's peer URL.
  std::string path = "/";  // With the query, if there is one.
  std::string method = "GET";
  HttpHeaders headers;
  std::string body;                         // Sent with any method if not empty.
  std::chrono::milliseconds dial_limit{0};  // 0: as long as the call may take.
  std::chrono::milliseconds time_limit{5000};
  uint64_t body_bytes_max = uint64_t{1} << 20;
};

class HttpClient {
 public:
  using Done = std::function<void(Result<HttpResponse>)>;

  explicit HttpClient(tls::Dialer dialer = {});
  ~HttpClient();

  void call(HttpCall call, Done done);
  // The same for a thread that may wait; never called from a Done.
  Result<HttpResponse> call_and_wait(HttpCall call);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mortise::peer
