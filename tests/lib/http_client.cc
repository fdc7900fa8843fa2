#include "tests/lib/http_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

namespace mortise::testing {
namespace {

int connect_to(const std::string& endpoint, std::chrono::seconds seconds) {
  const size_t colon = endpoint.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::atoi(endpoint.c_str() + colon + 1)));
  inet_pton(AF_INET, endpoint.substr(0, colon).c_str(), &address.sin_addr);
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  timeval bound{};
  bound.tv_sec = seconds.count();
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof bound);
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof bound);
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return fd;
  ::close(fd);
  return -1;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return text;
}

bool is_chunked(const HttpResponse& response) {
  auto it = response.headers.find("transfer-encoding");
  return it != response.headers.end() && it->second == "chunked";
}

}  // namespace

HttpConnection::HttpConnection(const std::string& endpoint, std::chrono::seconds bound)
    : fd_(connect_to(endpoint, bound)) {}

HttpConnection::~HttpConnection() {
  if (fd_ >= 0) ::close(fd_);
}

void HttpConnection::close() {
  if (fd_ >= 0) ::shutdown(fd_, SHUT_RDWR);
}

bool HttpConnection::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

bool HttpConnection::fill() {
  char room[16384];
  const ssize_t n = ::recv(fd_, room, sizeof room, 0);
  if (n <= 0) return false;
  buffer_.append(room, static_cast<size_t>(n));
  return true;
}

bool HttpConnection::read_line(std::string* line) {
  size_t end;
  while ((end = buffer_.find("\r\n")) == std::string::npos) {
    if (!fill()) return false;
  }
  *line = buffer_.substr(0, end);
  buffer_.erase(0, end + 2);
  return true;
}

bool HttpConnection::read_bytes(size_t size, std::string* out) {
  while (buffer_.size() < size) {
    if (!fill()) return false;
  }
  *out = buffer_.substr(0, size);
  buffer_.erase(0, size);
  return true;
}

bool HttpConnection::read_head(HttpResponse* response) {
  std::string line;
  if (!read_line(&line) || line.size() < 12) return false;
  response->status = std::atoi(line.c_str() + 9);
  while (read_line(&line)) {
    if (line.empty()) {
      auto length = response->headers.find("content-length");
      left_ = length == response->headers.end() ? 0 : std::stoul(length->second);
      in_body_ = true;
      return true;
    }
    const size_t colon = line.find(':');
    if (colon == std::string::npos) return false;
    const size_t value = std::min(line.find_first_not_of(' ', colon + 1), line.size());
    response->headers[lower(line.substr(0, colon))] = line.substr(value);
  }
  return false;
}

bool HttpConnection::read_piece(const HttpResponse& response, std::string* piece, bool* is_cut) {
  *is_cut = false;
  if (!in_body_) return false;
  if (!is_chunked(response)) {
    in_body_ = false;
    *is_cut = !read_bytes(left_, piece);
    return !*is_cut;
  }
  std::string line;
  size_t size = 0;
  *is_cut = !read_line(&line) ||
            std::from_chars(line.data(), line.data() + line.size(), size, 16).ec != std::errc() ||
            !read_bytes(size, piece) || !read_line(&line);
  if (size == 0 || *is_cut) in_body_ = false;
  return in_body_;
}

HttpResponse HttpClient::request(std::string_view method, const std::string& path,
                                 std::string_view body) {
  std::string text(method);
  text += " " + path + " HTTP/1.1\r\nHost: " + endpoint_ +
          "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n";
  text += body;
  if (connection_ == nullptr) connection_ = std::make_unique<HttpConnection>(endpoint_);
  HttpResponse response;
  bool is_cut = true;
  if (connection_->write(text) && connection_->read_head(&response)) {
    std::string piece;
    while (connection_->read_piece(response, &piece, &is_cut)) response.body += piece;
  }
  if (is_cut) response.status = 0;
  auto kept = response.headers.find("connection");
  if (is_cut || (kept != response.headers.end() && kept->second == "close")) connection_.reset();
  return response;
}

HttpStream::HttpStream(const std::string& endpoint, const std::string& path,
                       std::chrono::seconds bound)
    : connection_(endpoint, bound) {
  connection_.write("POST " + path + " HTTP/1.1\r\nHost: " + endpoint +
                    "\r\nTransfer-Encoding: chunked\r\n\r\n");
}

bool HttpStream::write(std::string_view body) {
  char size[20];
  const auto end = std::to_chars(size, size + sizeof size, body.size(), 16).ptr;
  return connection_.write(std::string(size, end) + "\r\n" + std::string(body) + "\r\n");
}

bool HttpStream::writes_done() { return connection_.write("0\r\n\r\n"); }

std::string HttpStream::read_line() {
  if (response_.status == 0 && !connection_.read_head(&response_)) {
    is_cut_ = true;
    return "";
  }
  std::string piece;
  size_t end;
  while ((end = text_.find('\n')) == std::string::npos) {
    if (!connection_.read_piece(response_, &piece, &is_cut_)) break;
    text_ += piece;
  }
  // An error before the first message has no line break.
  const std::string line = text_.substr(0, end);
  text_.erase(0, end == std::string::npos ? end : end + 1);
  return line;
}

}  // namespace mortise::testing
