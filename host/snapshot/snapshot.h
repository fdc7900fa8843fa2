// A snapshot of the store as etcd gives it away: one stable view of the store, and the bbolt file
// that etcd would have of it, as a stream of bytes. Opening it is cheap; then come two walks over
// the store, the first for the file's layout, the second for its bytes (bbolt/image_writer.h).
//
// Made between two commits, so that the position in the log is that of the view; used by one
// thread at a time after that. Must go before the store does.
#pragma once

#include <memory>
#include <string_view>

#include "host/bbolt/image_writer.h"
#include "host/raft/types.h"
#include "host/snapshot/etcd_rows.h"
#include "host/snapshot/v2_membership.h"
#include "host/store/store.h"

namespace mortise::snapshot {

class Snapshot {
 public:
  // REQUIRES: no commit is running. The apply thread's.
  static Result<std::unique_ptr<Snapshot>> open(store::Store* store,
                                                std::string_view storage_version);
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

  const Position& position() const { return position_; }
  // The membership of that moment, as raft has it, and as members up to 3.6 read it.
  const raft::ConfState& conf_state() const { return conf_state_; }
  Result<std::string> v2_membership() const { return snapshot::v2_membership(reader_); }
  // As in bbolt::ImageWriter.
  Status lay_out(size_t work_bytes, bool* done) { return image_.lay_out(work_bytes, done); }
  uint64_t size() const { return image_.size(); }
  uint64_t bytes_left() const { return image_.size() - image_.bytes_read(); }
  Status read(size_t bytes, ByteBuffer* out) { return image_.read(bytes, out); }

 private:
  Snapshot() = default;

  store::Reader reader_;
  Position position_;
  raft::ConfState conf_state_;
  EtcdRows rows_;
  bbolt::ImageWriter image_{&rows_};
};

}  // namespace mortise::snapshot
