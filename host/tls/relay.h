// Takes TLS off connections and puts it on: whoever uses one gets an end of a socket pair with
// plain bytes, and threads of the relay move these to and from the connection. So transports and
// the peer layer need to know nothing of TLS.
//
//   client == TLS == [ relay ] -- socket pair -- transport
//
// Each pair's relay end is bound to a name in the abstract namespace that belongs to this
// connection alone, so getpeername() on the other end tells who it is, with find(). The names begin
// with kNamePrefix and a random number of this process.
//
// accept(), connect() and find() may be called from any thread; `done` is called once, on a thread
// of the relay, where it must not block, unless the relay stops before. What is buffered for a
// connection has a limit (kPieceBytes each way and the sockets' own buffers), and each side is read
// only as fast as the other one takes it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "host/base/status.h"
#include "host/tls/context.h"
#include "host/tls/identity.h"

namespace mortise::tls {

// A handshake must be over by then.
inline constexpr std::chrono::seconds kHandshakeTimeLimit{10};
// Read from one side at a time.
inline constexpr size_t kPieceBytes = 64 << 10;
inline constexpr std::string_view kNamePrefix = "mortise-tls-";

struct Outcome {
  int fd = -1;        // With plain bytes, non-blocking; the receiver's. -1: the handshake failed.
  std::string error;  // Then this is why.
  bool is_plain_end = false;  // The other side just went.
  Identity identity;          // As far as it is known.
};

class Relay {
 public:
  using Done = std::function<void(Outcome)>;
  struct Caller {
    std::string remote;
    std::string common_name;  // Of a verified certificate.
  };

  // Another limit is for tests.
  Relay(std::string thread_name, size_t threads,
        std::chrono::milliseconds handshake_limit = kHandshakeTimeLimit);
  ~Relay();  // stop()

  // Begins TLS on a connected socket, whose owner it becomes. `remote` is what find() gives.
  void accept(int fd, std::shared_ptr<Context> context, std::string remote, Done done);
  // The same as a client of `server_name`, a name or an IP address.
  void connect(int fd, std::shared_ptr<Context> context, std::string server_name, Done done);

  // Called when a server ends a connection before it has sent anything, since it does not accept
  // the client's certificate, say; on the relay's thread. Set before connect().
  using Refused = std::function<void(const std::string& server_name, const std::string& error)>;
  void set_on_refused(Refused refused);

  // The connection whose plain end has this peer name; nothing once it has ended.
  std::optional<Caller> find(std::string_view name) const;

  // What the users have written is sent, for a moment; then all connections end.
  void stop();

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

// What a client of servers that may speak TLS needs. Copies share the same relay and context.
struct Dialer {
  Relay* relay = nullptr;  // Null: no TLS. Outlives whoever dials.
  std::shared_ptr<Context> context;
  std::string server_name = {};  // That the server's certificate must have; empty: the URL's host.
  std::string local_address = {};  // An IP address that connections come from; empty: any.
};

}  // namespace mortise::tls
