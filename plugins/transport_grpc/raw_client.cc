#include "plugins/transport_grpc/raw_client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace mortise::transport_grpc {
namespace {

constexpr size_t kHeadBytes = 9;

std::string number(uint32_t value, int bytes) {
  std::string out;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>(value >> shift));
  }
  return out;
}

// HPACK's string without Huffman coding.
std::string hpack_string(std::string_view text) {
  std::string out;
  size_t size = text.size();
  if (size < 127) {
    out.push_back(static_cast<char>(size));
  } else {
    out.push_back(127);
    for (size -= 127; size >= 128; size /= 128) out.push_back(static_cast<char>(128 + size % 128));
    out.push_back(static_cast<char>(size));
  }
  return out.append(text);
}

}  // namespace

std::string make_frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload) {
  std::string out = number(static_cast<uint32_t>(payload.size()), 3);
  out.push_back(static_cast<char>(type));
  out.push_back(static_cast<char>(flags));
  return out.append(number(stream, 4)).append(payload);
}

std::string make_block(const Fields& fields) {
  std::string out;
  for (const auto& [name, value] : fields) {
    out.push_back('\0');
    out.append(hpack_string(name)).append(hpack_string(value));
  }
  return out;
}

Fields call_fields(std::string_view path) {
  return {{":method", "POST"},
          {":scheme", "http"},
          {":path", std::string(path)},
          {":authority", "localhost"},
          {"content-type", "application/grpc"},
          {"te", "trailers"}};
}

std::string make_headers(uint32_t stream, const Fields& fields, bool end_stream) {
  const uint8_t flags = NGHTTP2_FLAG_END_HEADERS | (end_stream ? NGHTTP2_FLAG_END_STREAM : 0);
  return make_frame(NGHTTP2_HEADERS, flags, stream, make_block(fields));
}

std::string make_data(uint32_t stream, std::string_view bytes, bool end_stream) {
  return make_frame(NGHTTP2_DATA, end_stream ? NGHTTP2_FLAG_END_STREAM : 0, stream, bytes);
}

std::string make_window_update(uint32_t stream, uint32_t bytes) {
  return make_frame(NGHTTP2_WINDOW_UPDATE, 0, stream, number(bytes, 4));
}

std::string make_reset(uint32_t stream) {
  return make_frame(NGHTTP2_RST_STREAM, 0, stream, number(NGHTTP2_CANCEL, 4));
}

std::string make_ping() { return make_frame(NGHTTP2_PING, 0, 0, "12345678"); }

std::string make_message(std::string_view body) {
  return std::string(1, '\0').append(number(static_cast<uint32_t>(body.size()), 4)).append(body);
}

std::string make_call(uint32_t stream, std::string_view path, std::string_view body) {
  return make_headers(stream, call_fields(path)) + make_data(stream, make_message(body), true);
}

uint32_t number_at(std::string_view payload, size_t offset) {
  uint32_t value = 0;
  for (size_t i = offset; i < offset + 4 && i < payload.size(); ++i) {
    value = value << 8 | static_cast<unsigned char>(payload[i]);
  }
  return value;
}

RawClient::RawClient(uint16_t port, int receive_buffer_bytes)
    : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  if (receive_buffer_bytes > 0) {
    setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof(receive_buffer_bytes));
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  EXPECT_EQ(connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  EXPECT_EQ(nghttp2_hd_inflate_new(&inflater_), 0);
}

RawClient::~RawClient() {
  nghttp2_hd_inflate_del(inflater_);
  close(fd_);
}

void RawClient::greet(const std::vector<std::pair<uint16_t, uint32_t>>& settings) {
  std::string payload;
  for (const auto& [id, value] : settings) payload += number(id, 2) + number(value, 4);
  send(std::string(kPreface) + make_frame(NGHTTP2_SETTINGS, 0, 0, payload));
}

bool RawClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

size_t RawClient::send_some(std::string_view bytes) {
  const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  return sent < 0 ? 0 : static_cast<size_t>(sent);
}

void RawClient::shutdown_writes() { shutdown(fd_, SHUT_WR); }

std::string RawClient::read_some() {
  char bytes[1 << 16];
  const ssize_t got = recv(fd_, bytes, sizeof(bytes), 0);
  return got <= 0 ? std::string() : std::string(bytes, static_cast<size_t>(got));
}

bool RawClient::fill() {
  buffer_.erase(0, std::exchange(taken_, 0));
  const std::string more = read_some();
  buffer_.append(more);
  return !more.empty();
}

std::string RawClient::read_to_end() {
  while (fill()) {
  }
  return std::exchange(buffer_, {});
}

bool RawClient::next_frame(Frame& frame) {
  const auto wait_for = [this](size_t size) {
    while (buffer_.size() - taken_ < size) {
      if (!fill()) return false;
    }
    return true;
  };
  if (!wait_for(kHeadBytes)) return false;
  const size_t size = number_at(buffer_, taken_) >> 8;
  if (!wait_for(kHeadBytes + size)) return false;
  frame.type = static_cast<unsigned char>(buffer_[taken_ + 3]);
  frame.flags = static_cast<uint8_t>(buffer_[taken_ + 4]);
  frame.stream = static_cast<int32_t>(number_at(buffer_, taken_ + 5));
  frame.payload = buffer_.substr(taken_ + kHeadBytes, size);
  taken_ += kHeadBytes + size;
  return true;
}

void RawClient::take(const Frame& frame) {
  if (frame.type == NGHTTP2_GOAWAY) last_stream_ = number_at(frame.payload, 0);
  RawAnswer& answer = answers_[frame.stream];
  if (frame.type == NGHTTP2_HEADERS) {
    std::string_view block = frame.payload;
    for (;;) {
      nghttp2_nv field{};
      int flags = 0;
      const ssize_t taken =
          nghttp2_hd_inflate_hd2(inflater_, &field, &flags,
                                 reinterpret_cast<const uint8_t*>(block.data()), block.size(), 1);
      ASSERT_GE(taken, 0);
      block.remove_prefix(static_cast<size_t>(taken));
      if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
        answer.fields[std::string(reinterpret_cast<char*>(field.name), field.namelen)] =
            std::string(reinterpret_cast<char*>(field.value), field.valuelen);
      }
      if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) break;
    }
    nghttp2_hd_inflate_end_headers(inflater_);
  } else if (frame.type == NGHTTP2_DATA) {
    answer.data += frame.payload;
    ++answer.data_frames;
  } else if (frame.type == NGHTTP2_RST_STREAM) {
    answer.reset_code = static_cast<int>(number_at(frame.payload, 0));
  }
  const bool carries_end = frame.type == NGHTTP2_HEADERS || frame.type == NGHTTP2_DATA;
  if (carries_end && (frame.flags & NGHTTP2_FLAG_END_STREAM) != 0) answer.complete = true;
}

Frame RawClient::read_frame() {
  for (;;) {
    Frame frame;
    if (!next_frame(frame)) return Frame();
    take(frame);
    const bool is_ack = frame.type == NGHTTP2_PING && (frame.flags & NGHTTP2_FLAG_ACK) != 0;
    if (is_ack || frame.type == NGHTTP2_SETTINGS || frame.type == NGHTTP2_WINDOW_UPDATE) continue;
    return frame;
  }
}

RawAnswer RawClient::read_answer(int32_t stream) {
  while (!answers_[stream].complete && answers_[stream].reset_code < 0) {
    if (read_frame().ended()) break;
  }
  return answers_[stream];
}

}  // namespace mortise::transport_grpc
