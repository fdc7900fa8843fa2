#include "host/watch/response.h"

#include "host/wire/codec.h"

namespace mortise::watch {
namespace {

constexpr uint32_t kWatchId = 2;
constexpr uint32_t kCreated = 3;
constexpr uint32_t kCanceled = 4;
constexpr uint32_t kCompactRevision = 5;
constexpr uint32_t kCancelReason = 6;
constexpr uint32_t kFragment = 7;
constexpr uint32_t kEvents = 11;

constexpr uint32_t kEventType = 1;
constexpr uint32_t kEventKv = 2;
constexpr uint32_t kEventPrevKv = 3;

std::string_view code_name(RpcCode code) {
  switch (code) {
    case RpcCode::kOk: return "OK";
    case RpcCode::kCanceled: return "Canceled";
    case RpcCode::kUnknown: return "Unknown";
    case RpcCode::kInvalidArgument: return "InvalidArgument";
    case RpcCode::kDeadlineExceeded: return "DeadlineExceeded";
    case RpcCode::kNotFound: return "NotFound";
    case RpcCode::kPermissionDenied: return "PermissionDenied";
    case RpcCode::kResourceExhausted: return "ResourceExhausted";
    case RpcCode::kFailedPrecondition: return "FailedPrecondition";
    case RpcCode::kOutOfRange: return "OutOfRange";
    case RpcCode::kUnimplemented: return "Unimplemented";
    case RpcCode::kInternal: return "Internal";
    case RpcCode::kUnavailable: return "Unavailable";
    case RpcCode::kDataLoss: return "DataLoss";
    case RpcCode::kUnauthenticated: return "Unauthenticated";
  }
  return "Unknown";
}

}  // namespace

ByteBuffer write_control(const rpc::Header& header, const ControlResponse& response) {
  auto watch_id = static_cast<uint64_t>(response.watch_id);
  auto compacted = static_cast<uint64_t>(response.compact_revision);
  size_t size = wire::varint_field_size(kWatchId, watch_id) +
                wire::varint_field_size(kCreated, response.created) +
                wire::varint_field_size(kCanceled, response.canceled) +
                wire::varint_field_size(kCompactRevision, compacted) +
                wire::optional_bytes_field_size(kCancelReason, response.cancel_reason.size());
  ByteBuffer out(rpc::kHeaderFieldBytesMax + size);
  rpc::append_header(header, &out);
  char* p = out.prepare(size);
  p = wire::write_varint_field(p, kWatchId, watch_id);
  p = wire::write_varint_field(p, kCreated, response.created);
  p = wire::write_varint_field(p, kCanceled, response.canceled);
  p = wire::write_varint_field(p, kCompactRevision, compacted);
  wire::write_optional_bytes_field(p, kCancelReason, response.cancel_reason);
  out.commit(size);
  return out;
}

std::string_view encode_event(const mvcc::Event& event, std::string_view prev_kv, Arena* arena) {
  size_t body = wire::varint_field_size(kEventType, event.is_delete) +
                wire::bytes_field_size(kEventKv, event.key_value.size()) +
                wire::optional_bytes_field_size(kEventPrevKv, prev_kv.size());
  size_t size = wire::bytes_field_size(kEvents, body);
  char* start = arena->allocate(size);
  char* p = wire::write_varint(wire::write_tag(start, kEvents, wire::Type::kBytes), body);
  p = wire::write_varint_field(p, kEventType, event.is_delete);
  p = wire::write_bytes_field(p, kEventKv, event.key_value);
  wire::write_optional_bytes_field(p, kEventPrevKv, prev_kv);
  return {start, size};
}

size_t events_response_size(std::string_view header, int64_t watch_id, bool fragment,
                            std::span<const std::string_view> events) {
  size_t size = header.size() + wire::varint_field_size(kWatchId, static_cast<uint64_t>(watch_id)) +
                wire::varint_field_size(kFragment, fragment);
  for (std::string_view event : events) size += event.size();
  return size;
}

ByteBuffer write_events(std::string_view header, int64_t watch_id, bool fragment,
                        std::span<const std::string_view> events) {
  size_t size = events_response_size(header, watch_id, fragment, events);
  ByteBuffer out(size);
  char* p = wire::write_raw(out.prepare(size), header);
  p = wire::write_varint_field(p, kWatchId, static_cast<uint64_t>(watch_id));
  p = wire::write_varint_field(p, kFragment, fragment);
  for (std::string_view event : events) p = wire::write_raw(p, event);
  out.commit(size);
  return out;
}

std::string go_error_text(const RpcStatus& status) {
  std::string text = "rpc error: code = ";
  text += code_name(status.code());
  text += " desc = ";
  text += status.message();
  return text;
}

}  // namespace mortise::watch
