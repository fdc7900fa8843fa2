// What is to be sent on one connection, in order. On its loop.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mortise/sdk/bytes.h"

namespace mortise::transport_common {

class Output {
 public:
  enum class Result : uint8_t { kDone, kBlocked, kBroken };

  // The buffer of a loop's connections that have nothing to send, so idle ones hold none.
  struct Spare {
    std::string text;
  };
  explicit Output(Spare& spare) : spare_(spare) {}

  // To append text to. Not to be kept over another call.
  std::string& text();
  // Large bodies are sent from where they lie, small ones are copied.
  void append(sdk::Buffer body);
  // A part of a body that goes out in several; never copied.
  void append(std::shared_ptr<const sdk::Buffer> body, std::string_view part);
  bool empty() const { return segments_.empty() && text_.size() == text_sent_; }
  size_t pending_bytes() const { return segments_bytes_ + text_.size() - text_sent_; }
  // Sends what the socket takes.
  Result flush(int fd);

 private:
  struct Segment {
    std::string text;
    std::shared_ptr<const sdk::Buffer> body;  // If null, the segment is the text.
    std::string_view part;                    // Of the body.
    std::string_view view() const { return body == nullptr ? std::string_view(text) : part; }
  };
  void end_text();
  size_t collect(iovec* pieces) const;
  void drop(size_t bytes);
  void give_back();

  Spare& spare_;
  std::vector<Segment> segments_;  // Sent before text_.
  size_t first_sent_ = 0;          // Of the first segment.
  size_t segments_bytes_ = 0;      // Not sent yet.
  std::string text_;
  size_t text_sent_ = 0;
};

}  // namespace mortise::transport_common
