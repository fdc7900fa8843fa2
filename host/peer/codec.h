// raftpb's messages as they go over the wire between members. Written by hand, since entries are
// shared and large ones are not copied.
//
// Encoding writes what raft 3.7 writes: known scalars that are set, which peers of all versions
// read. Decoding takes also what older ones write: every scalar although it is 0, and an empty
// snapshot in any message. Pure functions; errors are kInvalid.
#pragma once

#include <string>
#include <string_view>

#include "host/base/status.h"
#include "host/raft/types.h"

namespace mortise::peer {

// The longest raftpb.Message that is taken from a stream, and the sum of the entries of one.
inline constexpr uint64_t kMessageBytesMax = uint64_t{512} << 20;
// The longest raftpb.Message in front of a snapshot's file.
inline constexpr uint64_t kSnapshotMessageBytesMax = uint64_t{64} << 20;

size_t entry_size(const raft::Entry& entry);
// All but the data's bytes, which belong at the end.
void append_entry_head(const raft::Entry& entry, std::string* out);
void append_entry(const raft::Entry& entry, std::string* out);
Result<raft::EntryRef> decode_entry(std::string_view bytes);

size_t message_size(const raft::Message& message);
void append_message(const raft::Message& message, std::string* out);
// A type that never goes over the wire is an error.
Result<raft::Message> decode_message(std::string_view bytes);

// Keeps a connection alive and means nothing to raft: a heartbeat from nobody to nobody.
bool is_link_heartbeat(const raft::Message& message);

}  // namespace mortise::peer
