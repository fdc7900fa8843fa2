#include "plugins/transport_grpc/outgoing.h"

#include <algorithm>
#include <string>
#include <utility>

namespace mortise::transport_grpc {
namespace {

// Messages beyond this are sent from where they lie,
constexpr size_t kCopyBytesMax = 16 << 10;
// but for pieces that are not worth it.
constexpr size_t kPieceBytesMin = 1 << 10;
// A list that grew beyond this is not kept when it is empty.
constexpr size_t kKeptMessages = 64;

}  // namespace

void Outgoing::add(sdk::Buffer message) {
  bytes_ += kPrefixBytes + message.size();
  if (has_front_) {
    rest_.push_back(std::move(message));
  } else {
    set_front(std::move(message));
  }
}

void Outgoing::end(Status status) {
  ended_ = true;
  status_ = std::move(status);
}

void Outgoing::clear() {
  front_.reset();
  shared_.reset();
  has_front_ = false;
  std::vector<sdk::Buffer>().swap(rest_);
  rest_begin_ = 0;
  bytes_ = 0;
}

void Outgoing::set_front(sdk::Buffer message) {
  has_front_ = true;
  front_written_ = 0;
  if (message.size() > kCopyBytesMax) {
    shared_ = std::make_shared<const sdk::Buffer>(std::move(message));
  } else {
    front_ = std::move(message);
  }
}

void Outgoing::finish_front() {
  finished_ += front_view().size();
  front_.reset();
  shared_.reset();
  has_front_ = false;
  if (rest_begin_ == rest_.size()) return;
  set_front(std::move(rest_[rest_begin_++]));
  if (rest_begin_ < rest_.size()) return;
  rest_begin_ = 0;
  rest_.clear();
  if (rest_.capacity() > kKeptMessages) std::vector<sdk::Buffer>().swap(rest_);
}

void Outgoing::write(size_t size, transport_common::Output& out) {
  bytes_ -= size;
  while (size > 0) {
    const std::string_view payload = front_view();
    if (front_written_ < kPrefixBytes) {
      const auto length = static_cast<uint32_t>(payload.size());
      const char prefix[kPrefixBytes] = {0, static_cast<char>(length >> 24),
                                         static_cast<char>(length >> 16),
                                         static_cast<char>(length >> 8), static_cast<char>(length)};
      const size_t now = std::min(size, kPrefixBytes - front_written_);
      out.text().append(prefix + front_written_, now);
      front_written_ += now;
      size -= now;
    }
    const size_t begin = front_written_ < kPrefixBytes ? 0 : front_written_ - kPrefixBytes;
    const std::string_view part = payload.substr(begin, size);
    if (shared_ != nullptr && part.size() >= kPieceBytesMin) {
      out.append(shared_, part);
    } else if (!part.empty()) {
      out.text().append(part);
    }
    front_written_ += part.size();
    size -= part.size();
    if (front_written_ == kPrefixBytes + payload.size()) finish_front();
  }
}

uint64_t Outgoing::take_finished() { return std::exchange(finished_, 0); }

}  // namespace mortise::transport_grpc
