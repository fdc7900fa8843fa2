#include "plugins/transport_grpc/message_reader.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include "plugins/transport_grpc/gzip.h"

namespace mortise::transport_grpc {
namespace {

// A length is believed as far as bytes come: a message begins with so much and then doubles.
constexpr uint32_t kFirstBytes = 64 << 10;

void free_data(void* data) { std::free(data); }

}  // namespace

MessageReader::~MessageReader() {
  std::free(data_);
  if (taken_ > 0) budget_.give_back(taken_);
}

MessageReader::Result MessageReader::read(std::string_view& bytes) {
  if (prefix_size_ < kPrefixBytes) {
    const Result result = read_prefix(bytes);
    if (result != Result::kMessage) return result;
  }
  const size_t now = std::min<size_t>(size_ - filled_, bytes.size());
  if (now > 0) {
    if (!make_room(filled_ + now)) return Result::kNoRoom;
    std::memcpy(data_ + filled_, bytes.data(), now);
    filled_ += static_cast<uint32_t>(now);
    bytes.remove_prefix(now);
  }
  return filled_ == size_ ? Result::kMessage : Result::kMore;
}

// kMessage: the prefix is complete.
MessageReader::Result MessageReader::read_prefix(std::string_view& bytes) {
  const size_t now = std::min<size_t>(kPrefixBytes - prefix_size_, bytes.size());
  std::memcpy(prefix_ + prefix_size_, bytes.data(), now);
  prefix_size_ = static_cast<uint8_t>(prefix_size_ + now);
  bytes.remove_prefix(now);
  if (prefix_size_ < kPrefixBytes) return Result::kMore;
  size_ = static_cast<uint32_t>(prefix_[1]) << 24 | static_cast<uint32_t>(prefix_[2]) << 16 |
          static_cast<uint32_t>(prefix_[3]) << 8 | static_cast<uint32_t>(prefix_[4]);
  if (size_ > max_) return Result::kTooLarge;
  if (prefix_[0] > 1) return Result::kBadFlag;
  return prefix_[0] == 0 || gzip_ ? Result::kMessage : Result::kCompressed;
}

bool MessageReader::make_room(size_t wanted) {
  if (wanted <= capacity_) return true;
  const uint64_t grown = std::max<uint64_t>({wanted, kFirstBytes, uint64_t{2} * capacity_});
  const auto capacity = static_cast<uint32_t>(std::min<uint64_t>(size_, grown));
  if (wanted < size_) {
    // It is going to be kept for a while.
    if (!budget_.take(capacity - taken_)) return false;
    taken_ = capacity;
  }
  auto* const data = static_cast<uint8_t*>(std::realloc(data_, capacity));
  if (data == nullptr) return false;
  data_ = data;
  capacity_ = capacity;
  return true;
}

MessageReader::Result MessageReader::unpack() {
  if (prefix_[0] == 0) return Result::kMessage;
  Unpacked plain;
  switch (unpack_gzip({reinterpret_cast<const char*>(data_), size_}, max_, plain)) {
    case UnpackResult::kDone: break;
    case UnpackResult::kTooLarge: return Result::kTooLargeUnpacked;
    case UnpackResult::kBroken: return Result::kNotUnpacked;
    case UnpackResult::kNoMemory: return Result::kNoRoom;
  }
  std::swap(data_, plain.data);
  size_ = plain.size;
  return Result::kMessage;
}

Status MessageReader::refusal(Result result) const {
  switch (result) {
    case Result::kTooLarge: return too_large(size_, max_);
    case Result::kCompressed:
      return {kInternal, "grpc: compressed flag set with identity or empty encoding"};
    case Result::kBadFlag:
      return {kInternal, "grpc: received unexpected payload format " + std::to_string(prefix_[0])};
    case Result::kTooLargeUnpacked: return too_large_unpacked(max_);
    case Result::kNotUnpacked:
      return {kInternal, "grpc: failed to decompress the message: it is not gzip, or damaged"};
    default: return {kResourceExhausted, "etcdserver: too many requests"};
  }
}

mortise_buffer MessageReader::take() {
  if (taken_ > 0) budget_.give_back(std::exchange(taken_, 0));
  prefix_size_ = 0;
  filled_ = 0;
  capacity_ = 0;
  uint8_t* const data = std::exchange(data_, nullptr);
  if (data == nullptr) return mortise_buffer{nullptr, 0, nullptr, nullptr};
  return mortise_buffer{data, size_, &free_data, data};
}

}  // namespace mortise::transport_grpc
