// Writes etcdserverpb.WatchResponse and the events in it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "host/base/arena.h"
#include "host/base/byte_buffer.h"
#include "host/base/rpc_error.h"
#include "host/mvcc/events.h"
#include "host/rpc/header.h"

namespace mortise::watch {

// The id of answers that are about no watcher, or about all of a stream.
constexpr int64_t kNoWatchId = -1;

struct ControlResponse {
  int64_t watch_id = 0;
  bool created = false;
  bool canceled = false;
  int64_t compact_revision = 0;
  std::string cancel_reason;
};
ByteBuffer write_control(const rpc::Header& header, const ControlResponse& response);

// One event as it stands in a response, tag and length included. An empty `prev_kv` is left out.
std::string_view encode_event(const mvcc::Event& event, std::string_view prev_kv, Arena* arena);

// A response with `events` in that form. `header` is the encoded header field.
size_t events_response_size(std::string_view header, int64_t watch_id, bool fragment,
                            std::span<const std::string_view> events);
ByteBuffer write_events(std::string_view header, int64_t watch_id, bool fragment,
                        std::span<const std::string_view> events);

// "rpc error: code = PermissionDenied desc = ...", as Go prints a status.
std::string go_error_text(const RpcStatus& status);

}  // namespace mortise::watch
