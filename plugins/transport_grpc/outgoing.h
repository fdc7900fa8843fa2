// What a call's client is yet to be sent: messages, each with its prefix, and then a status. On the
// call's loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "mortise/sdk/bytes.h"
#include "plugins/transport_common/output.h"
#include "plugins/transport_grpc/status.h"

namespace mortise::transport_grpc {

class Outgoing {
 public:
  void add(sdk::Buffer message);
  // Nothing is added after this.
  void end(Status status);
  // Forgets what has not been written.
  void clear();

  // Of messages and prefixes that are not written yet.
  size_t bytes() const { return bytes_; }
  bool ended() const { return ended_; }
  const Status& status() const { return status_; }
  // Writes so many bytes, no more than there are.
  void write(size_t size, transport_common::Output& out);
  // The size of the messages that have been written whole since the last call.
  uint64_t take_finished();

 private:
  static constexpr size_t kPrefixBytes = 5;

  void set_front(sdk::Buffer message);
  void finish_front();
  std::string_view front_view() const {
    return shared_ != nullptr ? shared_->view() : front_.view();
  }

  // The first one has its place here, and most calls have no other.
  sdk::Buffer front_;
  std::shared_ptr<const sdk::Buffer> shared_;  // The first one, if it is large: goes in pieces.
  bool has_front_ = false;
  bool ended_ = false;
  size_t front_written_ = 0;  // With the prefix.
  std::vector<sdk::Buffer> rest_;
  size_t rest_begin_ = 0;
  size_t bytes_ = 0;
  uint64_t finished_ = 0;
  Status status_;
};

}  // namespace mortise::transport_grpc
