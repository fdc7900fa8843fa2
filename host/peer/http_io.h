// HTTP/1.1 as bytes: a parser that is fed with what comes, and heads to write. Private to this
// folder.
#pragma once

#include <boost/asio/buffer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/optional.hpp>
#include <limits>
#include <string>
#include <string_view>

#include "host/base/status.h"
#include "host/peer/http.h"

namespace mortise::peer {

// Start line and header fields of a request or response, and any bytes that make no progress.
inline constexpr size_t kHeadBytesMax = 64 << 10;
inline constexpr size_t kReadBytes = 64 << 10;
inline constexpr size_t kHttpBufferBytesMax = 2 * kHeadBytesMax + kReadBytes;

// A body that is appended to a string as it comes; nothing is reserved for what a header promises.
struct AppendBody {
  using value_type = std::string*;

  class reader {  // NOLINT(readability-identifier-naming): Beast's name.
   public:
    template <bool kIsRequest, typename Fields>
    reader(boost::beast::http::header<kIsRequest, Fields>&, value_type& out) : out_(out) {}
    void init(const boost::optional<uint64_t>&, boost::beast::error_code& error) { error = {}; }
    template <typename Buffers>
    size_t put(const Buffers& buffers, boost::beast::error_code& error) {
      error = {};
      size_t size = 0;
      for (auto buffer : boost::beast::buffers_range_ref(buffers)) {
        out_->append(static_cast<const char*>(buffer.data()), buffer.size());
        size += buffer.size();
      }
      return size;
    }
    void finish(boost::beast::error_code& error) { error = {}; }

   private:
    value_type& out_;
  };
};

// One request or response. Bytes are put into buffer() and taken by feed().
template <bool kIsRequest>
class HttpParser {
 public:
  // The body goes to `body`, which may be emptied between calls of feed().
  explicit HttpParser(std::string* body) {
    parser_.header_limit(kHeadBytesMax);
    // Who reads has its own limits. Boost 1.74 takes boost::none for less than any length.
    parser_.body_limit(std::numeric_limits<uint64_t>::max());
    parser_.get().body() = body;
  }

  boost::asio::mutable_buffer room() { return buffer_.prepare(kReadBytes); }
  void filled(size_t size) { buffer_.commit(size); }
  // What was read beyond this message.
  boost::beast::flat_buffer take_rest() { return std::move(buffer_); }
  void set_rest(boost::beast::flat_buffer rest) { buffer_ = std::move(rest); }
  bool has_input() const { return buffer_.size() > 0; }

  // Up to the end of the head if that has not been reached, else as far as there are bytes.
  Status feed() {
    boost::beast::error_code error;
    parser_.eager(parser_.is_header_done());
    while (buffer_.size() > 0 && !parser_.is_done()) {
      const bool was_head = !parser_.is_header_done();
      const size_t used = parser_.put(buffer_.data(), error);
      buffer_.consume(used);
      if (error && error != boost::beast::http::error::need_more) {
        return Status(StatusCode::kIo, error.message());
      }
      if (was_head && parser_.is_header_done()) return {};
      if (used == 0) break;
    }
    if (!parser_.is_done() && buffer_.size() > kHeadBytesMax)
      return Status(StatusCode::kIo, "malformed HTTP");
    return {};
  }
  // The same without a stop at the end of the head.
  Status feed_all() {
    const bool was_head_done = is_head_done();
    Status status = feed();
    return status.ok() && !was_head_done && is_head_done() ? feed() : status;
  }
  // The connection has ended: complete if that is how the message says its length.
  bool finish_at_eof() {
    boost::beast::error_code error;
    if (parser_.is_done()) return true;
    if (!parser_.got_some()) return false;
    parser_.put_eof(error);
    return !error && parser_.is_done();
  }

  bool is_head_done() const { return parser_.is_header_done(); }
  bool is_done() const { return parser_.is_done(); }
  const auto& head() const { return parser_.get().base(); }
  bool keep_alive() const { return parser_.get().keep_alive(); }
  boost::optional<uint64_t> content_length() const { return parser_.content_length(); }
  std::string_view header(std::string_view name) const {
    auto value = head()[boost::beast::string_view(name.data(), name.size())];
    return {value.data(), value.size()};
  }

 private:
  boost::beast::http::parser<kIsRequest, AppendBody> parser_;
  boost::beast::flat_buffer buffer_{kHttpBufferBytesMax};
};

HttpHeaders copy_headers(const boost::beast::http::fields& fields);

// `target` is path and query. Content-Length is added if there is a body, or with any POST.
std::string request_bytes(std::string_view method, std::string_view target, std::string_view host,
                          const HttpHeaders& headers, std::string_view body);
// Only the head, for a body of `length` bytes that follows.
std::string request_head(std::string_view method, std::string_view target, std::string_view host,
                         const HttpHeaders& headers, uint64_t length);
std::string response_bytes(const HttpResponse& response, bool keep_alive, bool with_body);
// The head of a response that goes on in chunks until the connection ends.
std::string chunked_head(const HttpHeaders& headers);

}  // namespace mortise::peer
