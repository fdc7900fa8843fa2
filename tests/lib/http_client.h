// A plain HTTP/1.1 client of one server, for tests only: calls that wait, and streams of lines in
// both directions. What the server does not do ends after kHttpBound with status 0.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace mortise::testing {

constexpr std::chrono::seconds kHttpBound{30};

struct HttpResponse {
  int status = 0;                              // 0: there was no answer.
  std::map<std::string, std::string> headers;  // Names in lower case.
  std::string body;
};

// One connection. Used by one thread, but for close().
class HttpConnection {
 public:
  // "127.0.0.1:2379"
  explicit HttpConnection(const std::string& endpoint, std::chrono::seconds bound = kHttpBound);
  ~HttpConnection();
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  bool write(std::string_view bytes);
  // Status line and headers.
  bool read_head(HttpResponse* response);
  // The next piece of the body that `response` began; false at its end, or when the connection ends
  // before, which sets *is_cut.
  bool read_piece(const HttpResponse& response, std::string* piece, bool* is_cut);
  // Ends reads and writes of other threads too.
  void close();

 private:
  bool fill();
  bool read_line(std::string* line);
  bool read_bytes(size_t size, std::string* out);

  int fd_ = -1;
  std::string buffer_;
  size_t left_ = 0;  // Of a body with a length.
  bool in_body_ = false;
};

// Calls over a connection that is kept. Used by one thread.
class HttpClient {
 public:
  explicit HttpClient(std::string endpoint) : endpoint_(std::move(endpoint)) {}
  HttpResponse request(std::string_view method, const std::string& path, std::string_view body);
  HttpResponse post(const std::string& path, std::string_view body) {
    return request("POST", path, body);
  }

 private:
  std::string endpoint_;
  std::unique_ptr<HttpConnection> connection_;
};

// A POST whose body is sent and whose answer is read in lines. One thread writes, one reads.
class HttpStream {
 public:
  HttpStream(const std::string& endpoint, const std::string& path,
             std::chrono::seconds bound = kHttpBound);
  bool write(std::string_view body);
  bool writes_done();
  // Empty at the end, or when nothing came within the bound.
  std::string read_line();
  // Known after the first read_line().
  const HttpResponse& head() const { return response_; }
  bool is_cut() const { return is_cut_; }
  void close() { connection_.close(); }

 private:
  HttpConnection connection_;
  HttpResponse response_;
  std::string text_;
  bool is_cut_ = false;
};

}  // namespace mortise::testing
