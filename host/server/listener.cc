#include "host/server/listener.h"

#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio.hpp>
#include <cerrno>
#include <thread>

namespace mortise::server {
namespace {

namespace asio = boost::asio;
using Socket = asio::generic::stream_protocol::socket;

constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr char kTlsHandshake = 0x16;
constexpr std::chrono::milliseconds kPeekAgain{5};
constexpr std::chrono::milliseconds kAcceptAgain{50};
constexpr int kBacklog = 1024;

class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
  Fd& operator=(Fd&& o) noexcept {
    std::swap(fd_, o.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

Status listen_error(int os_errno, const config::Url& url) {
  Status status = errno_status(os_errno, "listen " + url.text);
  return os_errno == EADDRINUSE ? Status(StatusCode::kInUse, status.message()) : status;
}

Result<Fd> listen_tcp(const config::Url& url, const Listeners::Options& options) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  int failed = ::getaddrinfo(url.host.empty() ? nullptr : url.host.c_str(), url.port.c_str(),
                             &hints, &found);
  if (failed != 0) return invalid("listen " + url.text + ": " + ::gai_strerror(failed));
  std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> guard(found, &::freeaddrinfo);
  // Where a name has several addresses the first IPv4 one is taken, as Go's listener does.
  const addrinfo* address = found;
  for (const addrinfo* a = found; a != nullptr; a = a->ai_next) {
    if (a->ai_family == AF_INET) {
      address = a;
      break;
    }
  }
  Fd fd(::socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) return listen_error(errno, url);
  int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (options.reuse_port) ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (::bind(fd.get(), address->ai_addr, address->ai_addrlen) != 0 ||
      ::listen(fd.get(), kBacklog) != 0) {
    return listen_error(errno, url);
  }
  return fd;
}

Result<Fd> listen_unix(const config::Url& url) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (url.path.size() >= sizeof address.sun_path) {
    return invalid("listen " + url.text + ": the socket's path is too long");
  }
  url.path.copy(address.sun_path, url.path.size());
  ::unlink(url.path.c_str());  // Left over by a process that was killed.
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) return listen_error(errno, url);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(fd.get(), kBacklog) != 0) {
    return listen_error(errno, url);
  }
  return fd;
}

std::string remote_text(const sockaddr_storage& address, socklen_t size) {
  if (address.ss_family == AF_UNIX) return "unix:@";
  char host[NI_MAXHOST], port[NI_MAXSERV];
  if (::getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, host, sizeof host, port,
                    sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "unknown";
  }
  bool is_v6 = address.ss_family == AF_INET6;
  return (is_v6 ? "[" + std::string(host) + "]" : std::string(host)) + ":" + port;
}

void tune(int fd, int family) {
  if (family == AF_UNIX) return;
  int on = 1, idle = 30;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &idle, sizeof idle);
}

// OTHER with *more set: too few bytes to tell.
mortise_opening_kind classify(std::string_view bytes, bool* more) {
  *more = false;
  if (bytes.substr(0, 3) == kHttp2Preface.substr(0, 3)) return MORTISE_OPENING_HTTP2;
  if (bytes.size() < 3 && kHttp2Preface.starts_with(bytes)) {
    *more = true;
    return MORTISE_OPENING_OTHER;
  }
  bool is_method = bytes[0] >= 'A' && bytes[0] <= 'Z';
  return is_method ? MORTISE_OPENING_HTTP1 : MORTISE_OPENING_OTHER;
}

// One connection until its opening is known.
class Peek : public std::enable_shared_from_this<Peek> {
 public:
  using Done = std::function<void(Accepted)>;
  Peek(asio::io_context& io, Fd fd, int family, std::string listener, std::string remote, Done done)
      : socket_(io), timer_(io), retry_(io), done_(std::move(done)) {
    accepted_.listener = std::move(listener);
    accepted_.remote = std::move(remote);
    socket_.assign(asio::generic::stream_protocol(family, 0), fd.release());
  }
  void start() {
    timer_.expires_after(kPeekTimeout);
    timer_.async_wait([self = shared_from_this()](boost::system::error_code error) {
      if (!error) self->socket_.close(error);
    });
    wait();
  }

 private:
  void wait() {
    socket_.async_wait(Socket::wait_read,
                       [self = shared_from_this()](boost::system::error_code error) {
                         if (error) return self->finish(false);
                         self->look();
                       });
  }
  void look() {
    char buffer[MORTISE_OPENING_BYTES_MAX];
    ssize_t n = ::recv(socket_.native_handle(), buffer, sizeof buffer, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return wait();
    if (n <= 0) return finish(false);
    bool more;
    accepted_.first_bytes.assign(buffer, static_cast<size_t>(n));
    accepted_.is_tls = accepted_.first_bytes[0] == kTlsHandshake;
    accepted_.kind = classify(accepted_.first_bytes, &more);
    if (!more) return finish(true);
    // The bytes stay in the socket, so it is readable at once: wait a moment for more.
    retry_.expires_after(kPeekAgain);
    retry_.async_wait([self = shared_from_this()](boost::system::error_code error) {
      if (!error && self->socket_.is_open()) self->wait();
    });
  }
  void finish(bool known) {
    timer_.cancel();
    boost::system::error_code error;
    if (!known || !socket_.is_open()) {
      socket_.close(error);
      return;
    }
    accepted_.fd = socket_.release(error);
    if (!error) done_(std::move(accepted_));
  }

  Socket socket_;
  asio::steady_timer timer_;
  asio::steady_timer retry_;
  Done done_;
  Accepted accepted_;
};

}  // namespace

struct Listeners::Impl {
  struct Entry {
    Entry(asio::io_context& io, Fd fd, const config::Url& u, std::function<void(Accepted)> f)
        : listening(io, fd.release()), retry(io), url(u), on_accepted(std::move(f)) {}
    asio::posix::stream_descriptor listening;
    asio::steady_timer retry;
    config::Url url;
    std::function<void(Accepted)> on_accepted;
  };
  asio::io_context io{1};
  std::vector<std::unique_ptr<Entry>> entries;
  std::thread thread;

  void accept(Entry* entry) {
    entry->listening.async_wait(
        asio::posix::stream_descriptor::wait_read, [this, entry](boost::system::error_code error) {
          if (error) return;
          if (take(entry)) return accept(entry);
          // Out of descriptors: the others get time to close.
          entry->retry.expires_after(kAcceptAgain);
          entry->retry.async_wait([this, entry](boost::system::error_code failed) {
            if (!failed) accept(entry);
          });
        });
  }
  // Accepts what waits; false if the system would not give more descriptors.
  bool take(Entry* entry) {
    for (;;) {
      sockaddr_storage address{};
      socklen_t size = sizeof address;
      Fd fd(::accept4(entry->listening.native_handle(), reinterpret_cast<sockaddr*>(&address),
                      &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (fd.get() < 0) {
        if (errno == ECONNABORTED || errno == EINTR) continue;
        return errno == EAGAIN || errno == EWOULDBLOCK;
      }
      int family = entry->url.is_unix() ? AF_UNIX : address.ss_family;
      tune(fd.get(), family);
      std::string remote =
          entry->url.is_unix() ? "unix:" + entry->url.path : remote_text(address, size);
      std::make_shared<Peek>(io, std::move(fd), family, entry->url.text, std::move(remote),
                             entry->on_accepted)
          ->start();
    }
  }
};

Listeners::Listeners() : impl_(std::make_unique<Impl>()) {}
Listeners::~Listeners() { stop(); }

Status Listeners::add(const config::Url& url, const Options& options,
                      std::function<void(Accepted)> on_accepted) {
  auto fd = url.is_unix() ? listen_unix(url) : listen_tcp(url, options);
  if (!fd.ok()) return fd.status();
  impl_->entries.push_back(
      std::make_unique<Impl::Entry>(impl_->io, std::move(fd).value(), url, std::move(on_accepted)));
  return Status();
}

void Listeners::start() {
  for (auto& entry : impl_->entries) impl_->accept(entry.get());
  impl_->thread = std::thread([this] { impl_->io.run(); });
}

void Listeners::stop() {
  impl_->io.stop();
  if (impl_->thread.joinable()) impl_->thread.join();
  for (auto& entry : impl_->entries) {
    if (entry->url.is_unix()) ::unlink(entry->url.path.c_str());
  }
  impl_->entries.clear();
}

}  // namespace mortise::server
