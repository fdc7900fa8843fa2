// etcdserverpb.WatchRequest, as the hub's thread wants it: checked and copied out of the bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

namespace mortise::watch {

struct CreateRequest {
  std::string key;  // Never empty: etcd reads an empty key as the smallest one.
  std::string range_end;
  int64_t start_revision = 0;
  int64_t watch_id = 0;
  bool progress_notify = false;
  bool prev_kv = false;
  bool fragment = false;
  bool no_put = false;
  bool no_delete = false;
};
struct CancelRequest {
  int64_t watch_id = 0;
};
struct ProgressRequest {};
struct MalformedRequest {};

// monostate: a request that asks for nothing, which is ignored.
using Request =
    std::variant<std::monostate, CreateRequest, CancelRequest, ProgressRequest, MalformedRequest>;

Request parse_request(std::string_view bytes);

}  // namespace mortise::watch
