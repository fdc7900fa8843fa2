#include "host/peer/dial.h"

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace mortise::peer {
namespace {

using asio::ip::tcp;

// The name that the member's certificate must have.
std::string server_name(const config::Url& url) {
  return url.is_unix() ? url.path.substr(0, url.path.find_first_of(":/")) : url.host;
}

class Dialing : public std::enable_shared_from_this<Dialing> {
 public:
  Dialing(IoLoop* loop, config::Url url, Dialed done)
      : loop_(loop),
        url_(std::move(url)),
        done_(std::move(done)),
        timer_(loop->io()),
        resolver_(loop->io()),
        connection_(std::make_shared<Connection>(loop, url_.text)) {}

  void start(std::chrono::milliseconds limit) {
    timer_.expires_after(limit);
    timer_.async_wait([self = shared_from_this()](const ErrorCode& error) {
      if (!error) self->finish(Status(StatusCode::kIo, "dial " + self->target() + ": i/o timeout"));
    });
    if (url_.is_unix()) return connect_unix();
    if (!config::is_port(url_.port)) {
      return finish(invalid("dial " + target() + ": invalid port"));
    }
    ErrorCode error;
    auto address = asio::ip::make_address(url_.host, error);
    if (!error) {
      endpoints_.emplace_back(address, port());
      return connect_next();
    }
    resolver_.async_resolve(url_.host, url_.port,
                            [self = shared_from_this()](const ErrorCode& failed,
                                                        const tcp::resolver::results_type& found) {
                              if (failed) return self->fail("lookup", failed);
                              for (const auto& entry : found) {
                                self->endpoints_.push_back(entry.endpoint());
                              }
                              self->connect_next();
                            });
  }

 private:
  std::string target() const { return url_.is_unix() ? url_.path : url_.host + ":" + url_.port; }
  uint16_t port() const { return static_cast<uint16_t>(std::atoi(url_.port.c_str())); }

  void connect_unix() {
    if (url_.path.size() >= sizeof(sockaddr_un{}.sun_path)) {
      return finish(invalid("the socket's path is too long: " + url_.path));
    }
    connection_ = std::make_shared<Connection>(loop_, url_.text);
    connect(asio::local::stream_protocol::endpoint(url_.path));
  }
  void connect_next() {
    if (finished_) return;
    if (tried_ == endpoints_.size()) return fail("dial", asio::error::host_not_found);
    const tcp::endpoint& endpoint = endpoints_[tried_++];
    connection_ = std::make_shared<Connection>(loop_, url_.text);
    if (const ErrorCode error = bind_local(endpoint)) return connected(error);
    connect(endpoint);
  }
  ErrorCode bind_local(const tcp::endpoint& to) {
    if (loop_->dialer().local_address.empty()) return {};
    ErrorCode error;
    const auto address = asio::ip::make_address(loop_->dialer().local_address, error);
    if (!error) connection_->socket().open(to.protocol(), error);
    if (!error) connection_->socket().bind(tcp::endpoint(address, 0), error);
    return error;
  }
  template <typename Endpoint>
  void connect(const Endpoint& endpoint) {
    connection_->socket().async_connect(
        endpoint, [self = shared_from_this()](const ErrorCode& error) { self->connected(error); });
  }
  void connected(const ErrorCode& error) {
    if (finished_) return;
    if (error) {
      if (tried_ < endpoints_.size()) return connect_next();
      return fail("dial", error);
    }
    if (!url_.is_unix()) tune_socket(connection_->socket().native_handle());
    if (url_.is_secure()) return begin_tls();
    loop_->watch(connection_);
    finish(connection_);
  }
  void begin_tls() {
    ErrorCode error;
    const int fd = connection_->socket().release(error);
    if (error) return fail("dial", error);
    // A handshake may outlive the loop, which this object must not: the timer's handler keeps it.
    const tls::Dialer& dialer = loop_->dialer();
    dialer.relay->connect(
        fd, dialer.context, dialer.server_name.empty() ? server_name(url_) : dialer.server_name,
        [weak = weak_from_this(), post = loop_->poster()](const tls::Outcome& outcome) {
          // Closed if the task is dropped, since the loop stops.
          std::shared_ptr<int> plain(new int(outcome.fd), [](int* left) {
            if (*left >= 0) ::close(*left);
            delete left;
          });
          post([weak, plain, why = outcome.error] {
            auto self = weak.lock();
            if (!self) return;
            if (*plain < 0) {
              return self->finish(Status(StatusCode::kIo, "dial " + self->target() + ": " + why));
            }
            self->on_tls(plain.get());
          });
        });
  }
  void on_tls(int* plain) {
    if (finished_) return;
    connection_ = std::make_shared<Connection>(loop_, url_.text);
    ErrorCode error;
    connection_->socket().assign(asio::local::stream_protocol(), *plain, error);
    if (error) return fail("dial", error);
    *plain = -1;
    loop_->watch(connection_);
    finish(connection_);
  }
  void fail(const char* what, const ErrorCode& error) {
    finish(Status(StatusCode::kIo, std::string(what) + " " + target() + ": " + error.message()));
  }
  void finish(Result<ConnectionRef> result) {
    if (std::exchange(finished_, true)) return;
    timer_.cancel();
    resolver_.cancel();
    if (!result.ok()) {
      ErrorCode ignored;
      connection_->socket().close(ignored);
    }
    connection_.reset();
    std::exchange(done_, nullptr)(std::move(result));
  }

  IoLoop* const loop_;
  const config::Url url_;
  Dialed done_;
  asio::steady_timer timer_;
  tcp::resolver resolver_;
  ConnectionRef connection_;
  std::vector<tcp::endpoint> endpoints_;
  size_t tried_ = 0;
  bool finished_ = false;
};

}  // namespace

std::string host_header(const config::Url& url) {
  if (url.is_unix()) return "localhost";
  const bool is_v6 = url.host.find(':') != std::string::npos;
  return (is_v6 ? "[" + url.host + "]" : url.host) + ":" + url.port;
}

void tune_socket(int fd) {
  int on = 1, idle = 30;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &idle, sizeof idle);
}

void dial(IoLoop* loop, const config::Url& url, std::chrono::milliseconds limit, Dialed done) {
  if (url.is_secure() && loop->dialer().relay == nullptr) {
    return done(invalid(url.text + ": this member has no certificates or CA for TLS with others"));
  }
  std::make_shared<Dialing>(loop, url, std::move(done))->start(limit);
}

}  // namespace mortise::peer
