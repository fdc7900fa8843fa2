#include "host/api/request_stats.h"

#include <random>

#include "host/api/methods.h"
#include "host/api/request_text.h"
#include "host/api/txn_check.h"

namespace mortise::api {
namespace {

using std::chrono::steady_clock;
using std::chrono::system_clock;

// etcd's threshold for traces; there is no option for it.
constexpr std::chrono::milliseconds kTraceThreshold{100};

constexpr std::string_view kRange = "/etcdserverpb.KV/Range";
constexpr std::string_view kPut = "/etcdserverpb.KV/Put";
constexpr std::string_view kDeleteRange = "/etcdserverpb.KV/DeleteRange";
constexpr std::string_view kTxn = "/etcdserverpb.KV/Txn";
constexpr std::string_view kCompact = "/etcdserverpb.KV/Compact";

struct Stats {
  int64_t request_count = -1;
  int64_t request_size = -1;
  int64_t response_count = -1;
  int64_t response_size = -1;
  std::string content;
};

int64_t varint_of(std::string_view message, uint32_t number) {
  int64_t value = 0;
  wire::FieldReader reader(message);
  wire::Field f;
  while (reader.next(&f)) {
    if (f.is_varint(number)) value = static_cast<int64_t>(f.varint);
  }
  return value;
}

// Number and size of the submessages `number`.
std::pair<int64_t, int64_t> count_of(std::string_view message, uint32_t number) {
  std::pair<int64_t, int64_t> sum{0, 0};
  wire::FieldReader reader(message);
  wire::Field f;
  while (reader.next(&f)) {
    if (!f.is_bytes(number)) continue;
    ++sum.first;
    sum.second += static_cast<int64_t>(f.bytes.size());
  }
  return sum;
}

// As etcd has them: figures of the KV service only, and of a txn only if it was answered.
Stats stats_of(std::string_view path, std::string_view request, bool answered,
               std::string_view response) {
  Stats s;
  if (path != kRange && path != kPut && path != kDeleteRange && path != kTxn) return s;
  s.request_count = path == kPut ? 1 : 0;
  s.request_size = path == kTxn ? 0 : static_cast<int64_t>(request.size());
  s.response_count = 0;
  s.response_size = static_cast<int64_t>(response.size());
  if (path == kRange) s.response_count = varint_of(response, 4);
  if (path == kDeleteRange) s.response_count = varint_of(response, 2);
  if (path == kTxn && !answered) return s;
  if (path == kTxn) {
    uint32_t branch = varint_of(response, 2) != 0 ? 2 : 3;
    std::tie(s.request_count, s.request_size) = count_of(request, branch);
  }
  s.content = request_text(path, request);
  return s;
}

std::string field(std::string_view name, std::string_view value) {
  return std::string(name) + ":" + std::string(value) + "; ";
}

std::string bytes_of(std::string_view message, uint32_t number) {
  std::string value;
  wire::FieldReader reader(message);
  wire::Field f;
  while (reader.next(&f)) {
    if (f.is_bytes(number)) value = f.bytes;
  }
  return value;
}

int64_t revision_of(std::string_view response) { return varint_of(bytes_of(response, 1), 3); }

// Operation and detail of a trace; no operation: etcd has no trace of this method.
std::pair<std::string, std::string> trace_of(std::string_view path, std::string_view request,
                                             std::string_view response) {
  std::string revision = field("response_revision", std::to_string(revision_of(response)));
  if (path == kRange) {
    std::string count = std::to_string(count_of(response, 2).first);
    return {"range", field("range_begin", bytes_of(request, 1)) +
                         field("range_end", bytes_of(request, 2)) + field("response_count", count) +
                         revision};
  }
  if (path == kPut) {
    std::string size = std::to_string(request.size());
    return {"put", field("key", bytes_of(request, 1)) + field("req_size", size) + revision};
  }
  if (path == kTxn) {
    wire::TxnRequest txn;
    bool read_only = wire::decode(request, &txn) && is_read_only(txn);
    std::string count = std::to_string(count_of(response, 3).first);
    return {"transaction", field("read_only", read_only ? "true" : "false") +
                               field("number_of_response", count) + revision};
  }
  if (path == kCompact) {
    return {"compact", field("revision", std::to_string(varint_of(request, 1))) + revision};
  }
  return {};
}

int64_t random_id() {
  thread_local std::minstd_rand random(std::random_device{}());
  return static_cast<int64_t>(random() & 0x7fffffff);
}

}  // namespace

void Call::report(std::chrono::nanoseconds took, bool answered, std::string_view response) const {
  const Limits& limits = context_->limits;
  std::string_view path = grpc_path();
  auto now = system_clock::now();
  auto began = now - std::chrono::duration_cast<system_clock::duration>(took);
  if (answered && took > kTraceThreshold) {
    auto [operation, detail] = trace_of(path, request(), response);
    bool is_read = operation == "range" || detail.starts_with("read_only:true");
    std::string step = is_read ? "range keys and assemble the response" : "process raft request";
    std::vector<std::string> steps{"'" + step + "'  (duration: " + go_duration(took) + ")"};
    if (!operation.empty()) {
      context_->node->log("info", "trace",
                          {{"trace_id", random_id()},
                           {"operation", operation},
                           {"detail", "{" + detail + "}"},
                           {"duration", took},
                           {"start", began},
                           {"end", now},
                           {"steps", steps},
                           {"step_count", int64_t{1}}});
    }
  }
  const bool is_slow = took > limits.slow_request;
  const bool logs_all = context_->logs_all_calls != nullptr && *context_->logs_all_calls;
  if (!is_slow && !logs_all) return;
  Stats s = stats_of(path, request(), answered, response);
  context_->node->log(is_slow ? "warn" : "debug", "request stats",
                      {{"start time", began},
                       {"time spent", took},
                       {"remote", remote_},
                       {"response type", std::string(path)},
                       {"request count", s.request_count},
                       {"request size", s.request_size},
                       {"response count", s.response_count},
                       {"response size", s.response_size},
                       {"request content", s.content}});
}

void warn_if_slow_read(const Call& call, std::string_view kind, const RpcStatus& status,
                       const std::function<std::string()>& found) {
  const Context& context = call.context();
  std::chrono::nanoseconds took = steady_clock::now() - call.start();
  if (took <= context.limits.slow_apply) return;
  if (context.metrics != nullptr) context.metrics->slow_reads.add();
  LogFields fields{{"took", took},
                   {"expected-duration", context.limits.slow_apply},
                   {"prefix", std::string(kind)},
                   {"request", request_text(call.grpc_path(), call.request())},
                   {"response", status.ok() ? found() : ""}};
  if (!status.ok()) fields.emplace_back("error", status.message());
  context.node->log("warn", "apply request took too long", fields);
}

}  // namespace mortise::api
