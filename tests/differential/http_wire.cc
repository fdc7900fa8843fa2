#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include <atomic>

#include "tests/differential/wire.h"
#include "tests/lib/http_client.h"

namespace mortise::differential {
namespace {

using google::protobuf::Message;

const char* path_of(OpKind kind) {
  switch (kind) {
    case OpKind::kRange: return "/v3/kv/range";
    case OpKind::kPut: return "/v3/kv/put";
    case OpKind::kDeleteRange: return "/v3/kv/deleterange";
    case OpKind::kTxn: return "/v3/kv/txn";
    case OpKind::kCompact: return "/v3/kv/compaction";
    case OpKind::kLeaseGrant: return "/v3/lease/grant";
    case OpKind::kLeaseRevoke: return "/v3/lease/revoke";
    case OpKind::kLeaseTimeToLive: return "/v3/lease/timetolive";
    case OpKind::kLeaseLeases: return "/v3/lease/leases";
    case OpKind::kHashKv: return "/v3/maintenance/hashkv";
    case OpKind::kMemberList: return "/v3/cluster/member/list";
    default: return "";
  }
}

int http_status_of(int code) {
  switch (code) {
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::FAILED_PRECONDITION:
    case grpc::StatusCode::OUT_OF_RANGE: return 400;
    case grpc::StatusCode::NOT_FOUND: return 404;
    case grpc::StatusCode::RESOURCE_EXHAUSTED: return 429;
    case grpc::StatusCode::UNAVAILABLE: return 503;
    default: return 500;
  }
}

std::string json_of(const Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(message, &json, options);
  return status.ok() ? json : std::string(status.message());
}

grpc::Status broken(const std::string& what, const std::string& text) {
  return {grpc::StatusCode::INTERNAL, what + ": " + text};
}

grpc::Status read_message(const std::string& json, Message* out) {
  const auto status = google::protobuf::util::JsonStringToMessage(json, out);
  return status.ok() ? grpc::Status() : broken("no " + out->GetTypeName(), json);
}

// {"code":3,"message":"..."}, and the HTTP status that goes with it; 0: it was sent before.
grpc::Status read_error(const google::protobuf::Struct& error, int http_status) {
  const auto code = error.fields().find("code");
  const auto message = error.fields().find("message");
  if (error.fields_size() != 2 || code == error.fields().end() || message == error.fields().end()) {
    return broken("no error", error.ShortDebugString());
  }
  const int number = static_cast<int>(code->second.number_value());
  if (http_status != 0 && http_status != http_status_of(number)) {
    return broken("an HTTP status that does not fit", std::to_string(http_status));
  }
  return {static_cast<grpc::StatusCode>(number), message->second.string_value()};
}

// One line of a stream: {"result":{...}} or {"error":{...}}.
grpc::Status read_line(const std::string& line, Message* out) {
  constexpr std::string_view kBegin = "{\"result\":";
  if (line.starts_with(kBegin) && line.ends_with('}')) {
    return read_message(line.substr(kBegin.size(), line.size() - kBegin.size() - 1), out);
  }
  google::protobuf::Struct whole;
  grpc::Status status = read_message(line, &whole);
  const auto error = whole.fields().find("error");
  if (!status.ok() || error == whole.fields().end()) return broken("no line of a stream", line);
  return read_error(error->second.struct_value(), 0);
}

// There may be nothing to watch for long.
constexpr std::chrono::minutes kQuietBound{10};

class HttpWire : public Wire {
 public:
  explicit HttpWire(const std::string& endpoint)
      : endpoint_(endpoint), client_(endpoint), watch_(endpoint, "/v3/watch", kQuietBound) {}

  grpc::Status call(const OpInfo& op, const Message& request, Message* response) override {
    const testing::HttpResponse answer = client_.post(path_of(op.kind), json_of(request));
    if (answer.status == 200) return read_message(answer.body, response);
    google::protobuf::Struct error;
    grpc::Status status = read_message(answer.body, &error);
    return status.ok() ? read_error(error, answer.status) : status;
  }

  grpc::Status keep_alive(const etcdserverpb::LeaseKeepAliveRequest& request,
                          std::vector<etcdserverpb::LeaseKeepAliveResponse>* answers) override {
    testing::HttpStream stream(endpoint_, "/v3/lease/keepalive");
    stream.write(json_of(request));
    stream.writes_done();
    for (std::string line; !(line = stream.read_line()).empty();) {
      grpc::Status status = read_line(line, &answers->emplace_back());
      if (!status.ok()) return status;
    }
    return stream.is_cut() ? broken("cut", "/v3/lease/keepalive") : grpc::Status();
  }

  grpc::Status range_stream(const etcdserverpb::RangeRequest&,
                            etcdserverpb::RangeResponse*) override {
    return {grpc::StatusCode::UNIMPLEMENTED, "the gateway streams no ranges"};
  }

  void watch_send(const etcdserverpb::WatchRequest& request) override {
    watch_.write(json_of(request));
  }
  bool watch_read(etcdserverpb::WatchResponse* response) override {
    response->Clear();
    const std::string line = watch_.read_line();
    if (!line.empty()) watch_status_ = read_line(line, response);
    return !line.empty() && watch_status_.ok();
  }
  grpc::Status watch_status() override {
    if (is_cancelled_) return grpc::Status::CANCELLED;
    return watch_status_.ok() ? broken("cut", "/v3/watch") : watch_status_;
  }
  void watch_cancel() override {
    is_cancelled_ = true;
    watch_.close();
  }

 private:
  const std::string endpoint_;
  testing::HttpClient client_;
  testing::HttpStream watch_;
  grpc::Status watch_status_;
  std::atomic<bool> is_cancelled_{false};
};

}  // namespace

std::unique_ptr<Wire> make_http_wire(const std::string& endpoint) {
  return std::make_unique<HttpWire>(endpoint);
}

}  // namespace mortise::differential
