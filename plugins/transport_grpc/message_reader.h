// Cuts the messages out of a call's bytes: a flag, the length in four bytes, and so many bytes. On
// the call's loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mortise/abi/base.h"
#include "plugins/transport_common/counts.h"
#include "plugins/transport_grpc/status.h"

namespace mortise::transport_grpc {

class MessageReader {
 public:
  enum class Result : uint8_t {
    kMore,        // All bytes are taken.
    kMessage,     // One is there for take().
    kTooLarge,    // The length says so; nothing behind it is read.
    kCompressed,  // And the call has not said how.
    kBadFlag,
    kTooLargeUnpacked,
    kNotUnpacked,  // It is damaged.
    kNoRoom        // The budget of unfinished messages is used up.
  };

  // A message may have `max` bytes, packed and unpacked; with `gzip` it may be packed. What is kept
  // of one that is not complete is taken from the budget.
  MessageReader(uint64_t max, bool gzip, transport_common::BodyBudget& budget)
      : max_(max), gzip_(gzip), budget_(budget) {}
  ~MessageReader();
  MessageReader(const MessageReader&) = delete;
  MessageReader& operator=(const MessageReader&) = delete;

  // Takes what it can from the front of `bytes`, one message at most. Not after a refusal.
  Result read(std::string_view& bytes);
  // After kMessage, and not before the message is needed: it may become a thousand times larger.
  // kMessage or a refusal.
  Result unpack();
  // After unpack(), once.
  mortise_buffer take();
  // What to tell the client after a refusal.
  Status refusal(Result result) const;
  // Of the message that is being read, as its length says.
  uint64_t size() const { return size_; }
  // Some of a message has come, but not all.
  bool inside() const { return prefix_size_ > 0; }

 private:
  static constexpr size_t kPrefixBytes = 5;

  Result read_prefix(std::string_view& bytes);
  bool make_room(size_t wanted);

  const uint64_t max_;
  const bool gzip_;
  transport_common::BodyBudget& budget_;
  uint8_t prefix_[kPrefixBytes] = {};
  uint8_t prefix_size_ = 0;
  uint32_t size_ = 0;
  uint8_t* data_ = nullptr;
  uint32_t filled_ = 0;
  uint32_t capacity_ = 0;
  uint32_t taken_ = 0;  // From the budget.
};

}  // namespace mortise::transport_grpc
