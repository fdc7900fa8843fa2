#include "host/tls/session.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "host/tls/openssl.h"
#include "host/tls/verification.h"

namespace mortise::tls {
namespace {

// Ciphertext of one connection that is kept for the next time.
constexpr size_t kKeptBytes = 4 << 10;

bool is_ip(const std::string& host) {
  ASN1_OCTET_STRING* address = a2i_IPADDRESS(host.c_str());
  ASN1_OCTET_STRING_free(address);
  ERR_clear_error();
  return address != nullptr;
}

void expect_host(SSL* ssl, const std::string& host) {
  if (host.empty()) return;
  X509_VERIFY_PARAM* parameters = SSL_get0_param(ssl);
  if (is_ip(host)) {
    X509_VERIFY_PARAM_set1_ip_asc(parameters, host.c_str());
    return;
  }
  SSL_set_tlsext_host_name(ssl, host.c_str());
  X509_VERIFY_PARAM_set_hostflags(
      parameters, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  X509_VERIFY_PARAM_set1_host(parameters, host.data(), host.size());
}

}  // namespace

Session::Session(std::shared_ptr<SSL_CTX> context, int fd, bool is_server,
                 const std::string& server_name)
    : context_(std::move(context)), fd_(fd), is_server_(is_server), ssl_(SSL_new(context_.get())) {
  BIO* bio = BIO_new(bio_methods());
  MORTISE_CHECK(ssl_ != nullptr && bio != nullptr, "out of memory");
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_, bio, bio);
  note_refusals(ssl_, &refusal_);
  if (is_server) {
    SSL_set_accept_state(ssl_);
  } else {
    SSL_set_connect_state(ssl_);
    expect_host(ssl_, server_name);
  }
}

Session::~Session() {
  SSL_free(ssl_);
  ::close(fd_);
}

const BIO_METHOD* Session::bio_methods() {
  static const BIO_METHOD* const kMethods = [] {
    BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "mortise");
    BIO_meth_set_read(m, &Session::bio_read);
    BIO_meth_set_write(m, &Session::bio_write);
    BIO_meth_set_ctrl(m, &Session::bio_control);
    return m;
  }();
  return kMethods;
}

int Session::bio_read(BIO* bio, char* out, int size) {
  auto* self = static_cast<Session*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  if (!self->may_read_) {
    BIO_set_retry_read(bio);
    return -1;
  }
  ssize_t n;
  do {
    n = ::recv(self->fd_, out, static_cast<size_t>(size), MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  if (n == 0) self->socket_ended_ = true;
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    self->may_read_ = false;
    BIO_set_retry_read(bio);
  } else if (n < 0) {
    self->socket_error_ = errno;
  } else if (n < size && !self->socket_ended_) {
    self->may_read_ = false;  // What comes later is an event of its own.
  }
  return static_cast<int>(n);
}

int Session::bio_write(BIO* bio, const char* in, int size) {
  auto* self = static_cast<Session*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  self->unsent_.append(in, static_cast<size_t>(size));
  return size;
}

long Session::bio_control(BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_FLUSH) return 1;
  if (command == BIO_CTRL_EOF) {
    return static_cast<Session*>(BIO_get_data(bio))->socket_ended_ ? 1 : 0;
  }
  return 0;
}

void Session::readable(bool ended) {
  may_read_ = true;
  socket_ended_ |= ended;  // Then a short read does not mean that there is nothing more.
}

Session::Step Session::failed(int code) {
  const int kind = SSL_get_error(ssl_, code);
  if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE) {
    ERR_clear_error();
    return Step::kWait;
  }
  if (kind == SSL_ERROR_ZERO_RETURN) return Step::kEnd;
  std::string reason = take_error();
  if (!refusal_.empty()) {
    error_ = refusal_;
  } else if (socket_error_ != 0) {
    error_ = std::strerror(socket_error_);
  } else if (!reason.empty()) {
    error_ = std::move(reason);
  } else {
    error_ = "EOF";
  }
  return Step::kFailed;
}

Session::Step Session::handshake() {
  ERR_clear_error();
  const int code = SSL_do_handshake(ssl_);
  if (code == 1) return Step::kDone;
  Step step = failed(code);
  if (step != Step::kEnd) return step;
  error_ = "EOF";
  return Step::kFailed;
}

Session::Step Session::read(char* buffer, size_t capacity, size_t* size) {
  ERR_clear_error();
  const int code = SSL_read_ex(ssl_, buffer, capacity, size);
  return code == 1 ? Step::kDone : failed(code);
}

bool Session::write(std::string_view bytes) {
  ERR_clear_error();
  while (!bytes.empty()) {
    size_t written = 0;
    const int code = SSL_write_ex(ssl_, bytes.data(), bytes.size(), &written);
    if (code != 1) {
      if (failed(code) != Step::kFailed) error_ = "tls: a write would wait";
      return false;
    }
    bytes.remove_prefix(written);
  }
  return true;
}

void Session::write_end() {
  ERR_clear_error();
  if (SSL_is_init_finished(ssl_)) SSL_shutdown(ssl_);
  ERR_clear_error();
}

Session::Step Session::flush() {
  while (sent_ < unsent_.size()) {
    const ssize_t n =
        ::send(fd_, unsent_.data() + sent_, unsent_.size() - sent_, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return Step::kWait;
    if (n < 0) {
      error_ = std::strerror(errno);
      return Step::kFailed;
    }
    sent_ += static_cast<size_t>(n);
  }
  sent_ = 0;
  if (unsent_.capacity() > kKeptBytes) {
    unsent_ = std::string();
  } else {
    unsent_.clear();
  }
  return Step::kDone;
}

Identity Session::identity() const { return identity_of(ssl_); }

}  // namespace mortise::tls
