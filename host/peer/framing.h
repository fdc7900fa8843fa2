// How messages follow each other on a stream: each with its length ("message"), or in etcd's
// "msgappv2", which leaves out of a MsgApp what the one before it says already. A stream of the
// second kind carries nothing but MsgApp.
//
// Both ends keep (term, index) of the last message, so an encoder and a decoder live as long as the
// connection. One thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/base/status.h"
#include "host/raft/types.h"

namespace mortise::peer {

enum class StreamType : uint8_t { kMessage, kMsgAppV2 };
const char* to_string(StreamType type);

// The bytes of one write, in order: those written here, and data of large entries, which is
// referred to and not copied.
class OutBatch {
 public:
  void clear();
  size_t size() const { return bytes_.size() + spliced_bytes_; }
  std::string* bytes() { return &bytes_; }
  // The entry's data comes after what was written so far.
  void append_data(const raft::EntryRef& entry);
  // Pieces for one gathering write; valid until the batch changes.
  void pieces(std::vector<std::string_view>* out) const;

 private:
  struct Splice {
    size_t at;
    raft::EntryRef entry;
  };
  std::string bytes_;
  std::vector<Splice> splices_;
  size_t spliced_bytes_ = 0;
};

// Data of entries from this size on is not copied.
inline constexpr size_t kSpliceBytesMin = 16 << 10;

class StreamEncoder {
 public:
  explicit StreamEncoder(StreamType type) : type_(type) {}
  void encode(const raft::Message& message, OutBatch* out);
  void encode_heartbeat(OutBatch* out);

 private:
  void encode_msgapp(const raft::Message& message, OutBatch* out);

  const StreamType type_;
  uint64_t term_ = 0;
  uint64_t index_ = 0;
};

class StreamDecoder {
 public:
  // `local` and `remote` stand in messages that do not say who they are from.
  StreamDecoder(StreamType type, raft::NodeId local, raft::NodeId remote)
      : type_(type), local_(local), remote_(remote) {}

  // Bytes of the stream are appended here.
  std::string* input() { return &input_; }
  enum class Next : uint8_t { kMessage, kMore, kBad };
  // The next message, link heartbeats among them. kBad is final; error() says why.
  Next next(raft::Message* message);
  const Status& error() const { return error_; }

 private:
  Next fail(Status error);
  Next more();
  bool take_number(uint64_t* value);
  Next next_frame(size_t head, raft::Message* message);
  Next next_msgapp(raft::Message* message);
  Next begin_entries();
  Next next_entries(raft::Message* message);
  std::string_view rest() const { return std::string_view(input_).substr(at_); }

  const StreamType type_;
  const raft::NodeId local_;
  const raft::NodeId remote_;
  std::string input_;
  size_t at_ = 0;  // What lies before it is used up.
  Status error_;
  uint64_t term_ = 0;
  uint64_t index_ = 0;
  // A message that began: its entries come one by one.
  bool in_entries_ = false;
  uint64_t entries_left_ = 0;
  uint64_t entries_bytes_ = 0;
  raft::Message partial_;
};

void append_big_endian(uint64_t value, std::string* out);
uint64_t read_big_endian(const char* bytes);

}  // namespace mortise::peer
