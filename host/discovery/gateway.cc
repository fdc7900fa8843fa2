#include "host/discovery/gateway.h"

#include <openssl/evp.h>

#include <nlohmann/json.hpp>

namespace mortise::discovery {
namespace {

using Json = nlohmann::json;

constexpr int kUnauthenticated = 401;
constexpr uint64_t kAnswerBytesMax = 4 << 20;

std::string base64(std::string_view bytes) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                   reinterpret_cast<const unsigned char*>(bytes.data()),
                                   static_cast<int>(bytes.size()));
  out.resize(static_cast<size_t>(size));
  return out;
}

Result<std::string> from_base64(const std::string& text) {
  std::string out(text.size() / 4 * 3, '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                   reinterpret_cast<const unsigned char*>(text.data()),
                                   static_cast<int>(text.size()));
  if (size < 0) return Status(StatusCode::kIo, "the discovery service answers no base64");
  out.resize(static_cast<size_t>(size));
  // The decoder counts padding as zero bytes.
  for (size_t end = text.size(); end > 0 && text[end - 1] == '='; --end) out.pop_back();
  return out;
}

// The end of the range of all keys that begin with `prefix`.
std::string prefix_end(std::string prefix) {
  while (!prefix.empty() && prefix.back() == '\xff') prefix.pop_back();
  if (prefix.empty()) return std::string(1, '\0');
  ++prefix.back();
  return prefix;
}

std::string text_of(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// 64-bit integers are strings in this form of JSON.
int64_t integer_of(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) return 0;
  if (found->is_number_integer()) return found->get<int64_t>();
  return std::strtoll(text_of(object, name).c_str(), nullptr, 10);
}

Result<Entry> entry_of(const Json& row) {
  Entry entry;
  MORTISE_ASSIGN_OR_RETURN(entry.key, from_base64(text_of(row, "key")));
  MORTISE_ASSIGN_OR_RETURN(entry.value, from_base64(text_of(row, "value")));
  entry.create_revision = integer_of(row, "create_revision");
  return entry;
}

std::string error_text(const peer::HttpResponse& response) {
  const Json body = Json::parse(response.body, nullptr, /*allow_exceptions=*/false);
  std::string text = body.is_object() ? text_of(body, "message") : std::string();
  if (text.empty() && body.is_object()) text = text_of(body, "error");
  if (text.empty()) text = "HTTP status " + std::to_string(response.status);
  if (response.status == 404) text += " (are requests in JSON served, --enable-grpc-gateway?)";
  return text;
}

std::string url_of(const std::string& endpoint, bool is_secure) {
  if (endpoint.find("://") != std::string::npos) return endpoint;
  return (is_secure ? "https://" : "http://") + endpoint;
}

}  // namespace

GatewayRegistry::GatewayRegistry(GatewayOptions options)
    : options_(std::move(options)), client_(options_.dialer) {
  if (!options_.password.empty()) return;
  const size_t colon = options_.user.find(':');
  if (colon == std::string::npos) return;
  options_.password = options_.user.substr(colon + 1);
  options_.user.resize(colon);
}

Result<std::vector<Entry>> GatewayRegistry::get(std::string_view key, bool is_prefix) {
  Json request{{"key", base64(key)}};
  if (is_prefix) request["range_end"] = base64(prefix_end(std::string(key)));
  MORTISE_ASSIGN_OR_RETURN(const std::string body, ask("/v3/kv/range", request.dump()));
  const Json answer = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!answer.is_object()) {
    return Status(StatusCode::kIo, "the discovery service does not answer in JSON");
  }
  std::vector<Entry> entries;
  const auto rows = answer.find("kvs");
  if (rows == answer.end() || !rows->is_array()) return entries;
  for (const Json& row : *rows) {
    if (!row.is_object()) continue;
    MORTISE_ASSIGN_OR_RETURN(Entry entry, entry_of(row));
    entries.push_back(std::move(entry));
  }
  return entries;
}

Status GatewayRegistry::put(std::string_view key, std::string_view value) {
  const Json request{{"key", base64(key)}, {"value", base64(value)}};
  return ask("/v3/kv/put", request.dump()).status();
}

Result<std::string> GatewayRegistry::ask(const std::string& path, const std::string& body) {
  Status last(StatusCode::kIo, "there is no endpoint");
  for (size_t tried = 0; tried < options_.endpoints.size(); ++tried) {
    auto answer = ask_endpoint(path, body);
    if (answer.ok()) return answer;
    last = Status(StatusCode::kIo, options_.endpoints[at_] + ": " + answer.status().message());
    at_ = (at_ + 1) % options_.endpoints.size();
  }
  return last;
}

Result<std::string> GatewayRegistry::ask_endpoint(const std::string& path,
                                                  const std::string& body) {
  const bool fresh = has_user() && token_.empty();
  if (fresh) MORTISE_RETURN_IF_ERROR(authenticate());
  auto answer = post(path, body);
  // A token does not live forever.
  if (answer.ok() || fresh || !has_user() || !token_.empty()) return answer;
  MORTISE_RETURN_IF_ERROR(authenticate());
  return post(path, body);
}

Result<std::string> GatewayRegistry::post(const std::string& path, const std::string& body) {
  peer::HttpCall call;
  call.url = url_of(options_.endpoints[at_], options_.is_secure);
  call.path = path;
  call.method = "POST";
  call.headers = {{"Content-Type", "application/json"}};
  const std::string& token = has_user() ? token_ : options_.token;
  if (!token.empty()) call.headers.emplace_back("Authorization", token);
  call.body = body;
  call.dial_limit = options_.dial_limit;
  call.time_limit = options_.request_limit;
  call.body_bytes_max = kAnswerBytesMax;
  MORTISE_ASSIGN_OR_RETURN(auto response, client_.call_and_wait(std::move(call)));
  if (response.status == 200) return std::move(response.body);
  if (response.status == kUnauthenticated) token_.clear();
  return Status(StatusCode::kIo, error_text(response));
}

Status GatewayRegistry::authenticate() {
  const Json request{{"name", options_.user}, {"password", options_.password}};
  MORTISE_ASSIGN_OR_RETURN(const std::string body, post("/v3/auth/authenticate", request.dump()));
  const Json answer = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  token_ = answer.is_object() ? text_of(answer, "token") : std::string();
  if (token_.empty()) return Status(StatusCode::kIo, "the discovery service gives no token");
  return Status();
}

}  // namespace mortise::discovery
