// Takes out of what a client sends the resets of streams that it never began. The gRPC library's
// client sends such for calls that end before they were sent; servers of gRPC pass over them, where
// HTTP/2, and the library of session.h with it, sees the end of the connection.
//
// Used by the connection's session, on its loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mortise::transport_grpc {

class IdleResets {
 public:
  // Hands what comes to receive(std::string_view) in pieces, up to all of it; false if that says
  // so. A frame's head that has not come whole is kept for the next time.
  template <typename Receive>
  bool pass(std::string_view bytes, Receive&& receive);

 private:
  static constexpr size_t kPrefaceBytes = 24;
  static constexpr size_t kHeadBytes = 9;

  // Reads the head in head_. True if the frame is to be left out.
  bool begin_frame();

  size_t payload_left_ = kPrefaceBytes;
  bool leaving_out_ = false;
  size_t head_size_ = 0;
  uint8_t head_[kHeadBytes] = {};
  uint32_t last_begun_ = 0;
};

template <typename Receive>
bool IdleResets::pass(std::string_view bytes, Receive&& receive) {
  size_t begin = 0;  // Not handed over yet, from here
  size_t at = 0;     // to here.
  const auto hand_over = [&] {
    const bool ok = begin == at || receive(bytes.substr(begin, at - begin));
    begin = at;
    return ok;
  };
  while (at < bytes.size()) {
    if (payload_left_ > 0) {
      const size_t size = payload_left_ < bytes.size() - at ? payload_left_ : bytes.size() - at;
      payload_left_ -= size;
      at += size;
      if (leaving_out_) begin = at;
      continue;
    }
    const size_t head_begin = at;
    const bool continued = head_size_ > 0;
    while (head_size_ < kHeadBytes && at < bytes.size()) {
      head_[head_size_++] = static_cast<uint8_t>(bytes[at++]);
    }
    const bool whole = head_size_ == kHeadBytes;
    leaving_out_ = whole && begin_frame();
    if (!whole || continued || leaving_out_) {
      // The head does not go with what is around it.
      const size_t head_end = at;
      at = head_begin;
      if (!hand_over()) return false;
      begin = at = head_end;
      if (!whole) return true;
      if (continued && !leaving_out_ &&
          !receive(std::string_view(reinterpret_cast<const char*>(head_), kHeadBytes))) {
        return false;
      }
    }
    head_size_ = 0;
  }
  return hand_over();
}

}  // namespace mortise::transport_grpc
