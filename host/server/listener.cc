#include "host/server/listener.h"

#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio.hpp>
#include <cerrno>
#include <climits>
#include <cstddef>
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
const std::string kEnd = "EOF";

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

// Descriptors are given out from below, so one that is this high tells that all others are taken.
int first_kept_descriptor(bool for_members) {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return INT_MAX;
  const rlim_t limit = std::min<rlim_t>(files.rlim_cur, INT_MAX);
  const int kept = descriptors_kept(limit);
  return static_cast<int>(limit) - (for_members ? kept / 2 : kept);
}

const std::string kTooMany = "too many connections: no descriptor is left for it (ulimit -n)";

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

// Names that tell the relay's connections apart are not for others.
bool poses_as_relay(const sockaddr_storage& address, socklen_t size) {
  constexpr size_t kPathAt = offsetof(sockaddr_un, sun_path);
  if (address.ss_family != AF_UNIX || size <= kPathAt) return false;
  const auto& local = reinterpret_cast<const sockaddr_un&>(address);
  const std::string_view path(local.sun_path, size - kPathAt);
  return path.front() == '\0' && path.substr(1).starts_with(tls::kNamePrefix);
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
  // Empty if the opening is known, else why it is not.
  using Done = std::function<void(Accepted, std::string error)>;
  Peek(asio::io_context& io, Fd fd, int family, Accepted accepted, Done done)
      : socket_(io),
        timer_(io),
        retry_(io),
        done_(std::move(done)),
        accepted_(std::move(accepted)) {
    socket_.assign(asio::generic::stream_protocol(family, 0), fd.release());
  }
  void start() {
    timer_.expires_after(kPeekTimeout);
    timer_.async_wait([self = shared_from_this()](boost::system::error_code error) {
      if (!error) self->finish("i/o timeout");
    });
    wait();
  }

 private:
  void wait() {
    socket_.async_wait(Socket::wait_read,
                       [self = shared_from_this()](boost::system::error_code error) {
                         if (!error) self->look();
                       });
  }
  void look() {
    char buffer[MORTISE_OPENING_BYTES_MAX];
    ssize_t n = ::recv(socket_.native_handle(), buffer, sizeof buffer, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return wait();
    if (n <= 0) return finish(n == 0 ? kEnd : std::strerror(errno));
    bool more;
    accepted_.first_bytes.assign(buffer, static_cast<size_t>(n));
    accepted_.kind = classify(accepted_.first_bytes, &more);
    if (!more) return finish("");
    // The bytes stay in the socket, so it is readable at once: wait a moment for more.
    retry_.expires_after(kPeekAgain);
    retry_.async_wait([self = shared_from_this()](boost::system::error_code error) {
      if (!error && self->socket_.is_open()) self->wait();
    });
  }
  void finish(const std::string& failure) {
    if (!socket_.is_open()) return;
    timer_.cancel();
    boost::system::error_code error;
    if (failure.empty()) {
      accepted_.fd = socket_.release(error);
    } else {
      socket_.close(error);
    }
    if (!error) done_(std::move(accepted_), failure);
  }

  Socket socket_;
  asio::steady_timer timer_;
  asio::steady_timer retry_;
  Done done_;
  Accepted accepted_;
};

// One address, and what becomes of the connections that come in there.
class Entry : public std::enable_shared_from_this<Entry> {
 public:
  Entry(asio::io_context& io, Fd fd, const std::vector<config::Url>& urls,
        Listeners::Options options)
      : io_(io), listening_(io, fd.release()), retry_(io), options_(std::move(options)) {
    for (const config::Url& url : urls) {
      (url.is_secure() ? secure_url_ : plain_url_) = url.text;
      if (url.is_unix()) socket_file_ = url.path;
    }
  }

  void accept() {
    listening_.async_wait(asio::posix::stream_descriptor::wait_read,
                          [self = shared_from_this()](boost::system::error_code error) {
                            if (error) return;
                            if (self->take()) return self->accept();
                            // Out of descriptors: the others get time to close.
                            self->retry_.expires_after(kAcceptAgain);
                            self->retry_.async_wait([self](boost::system::error_code failed) {
                              if (!failed) self->accept();
                            });
                          });
  }
  // Nobody runs the handlers any more.
  void close() {
    boost::system::error_code error;
    listening_.close(error);
    if (!socket_file_.empty()) ::unlink(socket_file_.c_str());
  }

 private:
  // Accepts what waits; false if the system would not give more descriptors.
  bool take() {
    const int end = first_kept_descriptor(options_.for_members);
    for (;;) {
      sockaddr_storage address{};
      socklen_t size = sizeof address;
      Fd fd(::accept4(listening_.native_handle(), reinterpret_cast<sockaddr*>(&address), &size,
                      SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (fd.get() < 0) {
        if (errno == ECONNABORTED || errno == EINTR) continue;
        return errno == EAGAIN || errno == EWOULDBLOCK;
      }
      const bool is_unix = !socket_file_.empty();
      Accepted accepted;
      accepted.remote = is_unix ? "unix:" + socket_file_ : remote_text(address, size);
      if (fd.get() >= end) {
        options_.rejected({accepted.remote, kTooMany, false, {}});
        continue;
      }
      if (poses_as_relay(address, size)) {
        options_.rejected(
            {accepted.remote, "the name of the client's socket is not allowed", false, {}});
        continue;
      }
      int family = is_unix ? AF_UNIX : address.ss_family;
      tune(fd.get(), family);
      peek(std::move(fd), family, std::move(accepted), &Entry::on_opening);
    }
  }

  void peek(Fd fd, int family, Accepted accepted,
            void (Entry::*then)(Accepted, const std::string&)) {
    std::make_shared<Peek>(
        io_, std::move(fd), family, std::move(accepted),
        [self = shared_from_this(), then](Accepted known, const std::string& error) {
          (self.get()->*then)(std::move(known), error);
        })
        ->start();
  }

  void on_opening(Accepted accepted, const std::string& error) {
    if (!error.empty()) {
      // Of a plain connection that says nothing there is nothing to tell.
      if (!secure_url_.empty()) {
        options_.rejected({std::move(accepted.remote), error, error == kEnd, {}});
      }
      return;
    }
    const bool is_tls = accepted.first_bytes[0] == kTlsHandshake;
    if (is_tls && !secure_url_.empty()) return begin_tls(std::move(accepted));
    if (is_tls || plain_url_.empty()) {
      ::close(accepted.fd);
      return options_.rejected(
          {std::move(accepted.remote),
           is_tls ? "tls: the client speaks TLS, which is not served on this address"
                  : "tls: first record does not look like a TLS handshake",
           false,
           {}});
    }
    accepted.listener = plain_url_;
    options_.accepted(std::move(accepted));
  }

  void begin_tls(Accepted accepted) {
    const int fd = accepted.fd;
    std::string remote = accepted.remote;
    options_.relay->accept(
        fd, options_.tls, accepted.remote,
        [self = shared_from_this(), remote](tls::Outcome outcome) {
          if (outcome.fd < 0) {
            return self->options_.rejected(
                {remote, outcome.error, outcome.is_plain_end, std::move(outcome.identity)});
          }
          auto plain_end = std::make_shared<Fd>(outcome.fd);
          if (outcome.fd >= first_kept_descriptor(self->options_.for_members)) {
            return self->options_.rejected({remote, kTooMany, false, std::move(outcome.identity)});
          }
          self->on_tls(remote, std::move(plain_end), std::move(outcome.identity));
        });
  }
  void on_tls(const std::string& remote, std::shared_ptr<Fd> fd, tls::Identity identity) {
    auto then = [self = shared_from_this(), remote, fd, identity](const Status& status) {
      if (!status.ok()) {
        return self->options_.rejected({remote, status.message(), false, identity});
      }
      asio::post(self->io_, [self, remote, fd, identity] {
        Accepted accepted;
        accepted.remote = remote;
        accepted.listener = self->secure_url_;
        accepted.is_tls = true;
        if (identity.is_verified) accepted.common_name = identity.common_name;
        self->peek(std::move(*fd), AF_UNIX, std::move(accepted), &Entry::on_inner_opening);
      });
    };
    if (options_.check) return options_.check(identity, remote, std::move(then));
    then(Status());
  }
  void on_inner_opening(Accepted accepted, const std::string& error) {
    if (error.empty()) options_.accepted(std::move(accepted));
  }

  asio::io_context& io_;
  asio::posix::stream_descriptor listening_;
  asio::steady_timer retry_;
  const Listeners::Options options_;
  std::string plain_url_;
  std::string secure_url_;
  std::string socket_file_;
};

}  // namespace

int descriptors_kept(uint64_t limit) {
  constexpr uint64_t kLeast = 150, kMost = 4096;
  return static_cast<int>(std::clamp(limit / 16, std::min(kLeast, limit / 4), kMost));
}

struct Listeners::Impl {
  asio::io_context io{1};
  std::vector<std::shared_ptr<Entry>> entries;
  std::thread thread;
};

Listeners::Listeners() : impl_(std::make_unique<Impl>()) {}
Listeners::~Listeners() { stop(); }

Status Listeners::add(const std::vector<config::Url>& urls, Options options) {
  const config::Url& url = urls.front();
  auto fd = url.is_unix() ? listen_unix(url) : listen_tcp(url, options);
  if (!fd.ok()) return fd.status();
  impl_->entries.push_back(
      std::make_shared<Entry>(impl_->io, std::move(fd).value(), urls, std::move(options)));
  return Status();
}

void Listeners::start() {
  for (auto& entry : impl_->entries) entry->accept();
  impl_->thread = std::thread([this] { impl_->io.run(); });
}

void Listeners::stop() {
  impl_->io.stop();
  if (impl_->thread.joinable()) impl_->thread.join();
  for (auto& entry : impl_->entries) entry->close();
  impl_->entries.clear();
}

std::string address_of(const config::Url& url) {
  return url.is_unix() ? url.path : url.host + ":" + url.port;
}

std::vector<std::vector<config::Url>> by_address(const std::vector<config::Url>& urls) {
  std::vector<std::vector<config::Url>> out;
  for (const config::Url& url : urls) {
    auto same = std::ranges::find_if(out, [&](const auto& group) {
      return group.front().is_unix() == url.is_unix() &&
             address_of(group.front()) == address_of(url);
    });
    if (same == out.end()) {
      out.push_back({url});
    } else {
      same->push_back(url);
    }
  }
  return out;
}

}  // namespace mortise::server
