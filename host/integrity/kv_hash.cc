#include "host/integrity/kv_hash.h"

#include <nlohmann/json.hpp>

namespace mortise::integrity {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kClusterMismatch = "cluster ID mismatch";
constexpr std::string_view kPrefix = "etcdserver: ";

// The text without the prefix that clients see.
std::string_view inner_text(std::string_view message) {
  return message.starts_with(kPrefix) ? message.substr(kPrefix.size()) : message;
}

// As Go reads a number into an int64: absent is 0, and anything but an integer is an error.
bool read_number(const Json& object, const char* name, int64_t* out) {
  auto it = object.find(name);
  if (it == object.end() || it->is_null()) return true;
  if (!it->is_number_integer()) return false;
  *out = it->get<int64_t>();
  return true;
}

}  // namespace

std::string hash_kv_request(int64_t revision) {
  if (revision == 0) return "{}";
  return "{\"revision\":" + std::to_string(revision) + "}";
}

peer::HttpResponse answer_hash_kv(const peer::HttpRequest& request, uint64_t cluster_id,
                                  const HashAt& hash_at) {
  if (request.method != "GET") {
    auto response = peer::text_response(405, "Method Not Allowed");
    response.headers.emplace_back("Allow", "GET");
    return response;
  }
  std::string local_id = peer::hex_text(cluster_id);
  std::string_view remote_id = peer::header_value(request.headers, "X-Etcd-Cluster-ID");
  if (!remote_id.empty() && remote_id != local_id) {
    return peer::text_response(412, kClusterMismatch);
  }
  Json json = Json::parse(request.body, nullptr, /*allow_exceptions=*/false);
  int64_t revision = 0;
  if (!json.is_object() || !read_number(json, "revision", &revision)) {
    return peer::text_response(400, "error unmarshalling request");
  }
  auto local = hash_at(revision);
  if (!local.ok()) return peer::text_response(400, local.status().message());
  if (!local->rpc.ok()) return peer::text_response(400, inner_text(local->rpc.message()));
  // By hand: etcd's order, and what is zero is left out.
  std::string body = "{\"header\":{\"revision\":" + std::to_string(local->hash.current_revision);
  body += "}";
  auto add = [&](const char* name, int64_t value) {
    if (value != 0) body += ",\"" + std::string(name) + "\":" + std::to_string(value);
  };
  add("hash", local->hash.hash);
  add("compact_revision", local->hash.compact_revision);
  add("hash_revision", local->hash.revision);
  peer::HttpResponse response;
  response.headers = {{"X-Etcd-Cluster-ID", local_id}, {"Content-Type", "application/json"}};
  response.body = body + "}";
  return response;
}

namespace {

PeerHash::Failure failure_of(const peer::HttpResponse& response) {
  auto says = [&](std::string_view text) { return response.body.find(text) != std::string::npos; };
  if (response.status == 400 && says(inner_text(rpc_errors::kCompacted.message))) {
    return PeerHash::Failure::kCompacted;
  }
  if (response.status == 400 && says(inner_text(rpc_errors::kFutureRevision.message))) {
    return PeerHash::Failure::kFutureRevision;
  }
  if (response.status == 412 && says(kClusterMismatch)) return PeerHash::Failure::kClusterMismatch;
  return PeerHash::Failure::kOther;
}

bool read_hash(const std::string& body, KvHash* out) {
  Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return false;
  auto header = json.find("header");
  if (header != json.end() && header->is_object() &&
      !read_number(*header, "revision", &out->current_revision)) {
    return false;
  }
  int64_t hash = 0;
  if (!read_number(json, "hash", &hash) || hash < 0 || hash > UINT32_MAX) return false;
  out->hash = static_cast<uint32_t>(hash);
  return read_number(json, "compact_revision", &out->compact_revision) &&
         read_number(json, "hash_revision", &out->revision);
}

}  // namespace

PeerHash read_hash_kv(const Peer& peer, const Result<peer::HttpResponse>& answer) {
  PeerHash out;
  out.peer = peer;
  if (!answer.ok()) {
    out.failure = PeerHash::Failure::kOther;
    out.error = answer.status().message();
    return out;
  }
  const peer::HttpResponse& response = answer.value();
  if (response.status != 200) {
    out.failure = failure_of(response);
    out.error = "status " + std::to_string(response.status) + ": " + response.body;
  } else if (!read_hash(response.body, &out.hash)) {
    out.failure = PeerHash::Failure::kOther;
    out.error = "the answer cannot be read";
  }
  return out;
}

}  // namespace mortise::integrity
