#include "host/membership/member.h"

#include <openssl/sha.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/wire/codec.h"

namespace mortise::membership {
namespace {

uint64_t first_8_bytes_of_sha1(std::string_view bytes) {
  unsigned char digest[SHA_DIGEST_LENGTH];
  SHA1(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest);
  uint64_t id = 0;
  for (int i = 0; i < 8; ++i) id = id << 8 | digest[i];
  return id;
}

}  // namespace

uint64_t bootstrap_member_id(std::vector<std::string> peer_urls, std::string_view cluster_token) {
  std::sort(peer_urls.begin(), peer_urls.end());
  std::string bytes;
  for (const std::string& url : peer_urls) bytes += url;
  bytes += cluster_token;
  return first_8_bytes_of_sha1(bytes);
}

uint64_t bootstrap_cluster_id(std::vector<uint64_t> member_ids) {
  std::sort(member_ids.begin(), member_ids.end());
  std::string bytes;
  for (uint64_t id : member_ids) {
    for (int shift = 56; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(id >> shift));
  }
  return first_8_bytes_of_sha1(bytes);
}

std::string hex_id(uint64_t id) {
  char text[17];
  std::snprintf(text, sizeof text, "%llx", static_cast<unsigned long long>(id));
  return text;
}

std::string encode_member(const Member& member) {
  std::string out;
  wire::append_varint_field(&out, 1, member.id);
  if (!member.name.empty()) wire::append_bytes_field(&out, 2, member.name);
  for (const std::string& url : member.peer_urls) wire::append_bytes_field(&out, 3, url);
  for (const std::string& url : member.client_urls) wire::append_bytes_field(&out, 4, url);
  wire::append_varint_field(&out, 5, member.is_learner ? 1 : 0);
  return out;
}

bool decode_member(std::string_view bytes, Member* member) {
  *member = Member();
  wire::FieldReader reader(bytes);
  wire::Field f;
  while (reader.next(&f)) {
    if (f.is_varint(1)) member->id = f.varint;
    if (f.is_bytes(2)) member->name = f.bytes;
    if (f.is_bytes(3)) member->peer_urls.emplace_back(f.bytes);
    if (f.is_bytes(4)) member->client_urls.emplace_back(f.bytes);
    if (f.is_varint(5)) member->is_learner = f.varint != 0;
  }
  return !reader.failed();
}

std::string encode_change_context(const ChangeContext& context) {
  nlohmann::ordered_json json;
  json["id"] = context.member.id;
  json["peerURLs"] = context.member.peer_urls;
  if (context.member.is_learner) json["isLearner"] = true;
  if (!context.member.name.empty()) json["name"] = context.member.name;
  if (context.is_promote) json["isPromote"] = true;
  return json.dump();
}

Result<ChangeContext> decode_change_context(std::string_view text) {
  auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  auto bad = [&] {
    return corruption("a membership change has a malformed context: " + std::string(text));
  };
  if (!json.is_object() || !json.contains("id") || !json["id"].is_number_unsigned()) return bad();
  ChangeContext context;
  context.member.id = json["id"].get<uint64_t>();
  if (json.contains("peerURLs") && json["peerURLs"].is_array()) {
    for (const auto& url : json["peerURLs"]) {
      if (!url.is_string()) return bad();
      context.member.peer_urls.push_back(url.get<std::string>());
    }
  }
  if (json.contains("name") && json["name"].is_string()) context.member.name = json["name"];
  if (json.contains("isLearner")) context.member.is_learner = json["isLearner"] == true;
  if (json.contains("isPromote")) context.is_promote = json["isPromote"] == true;
  return context;
}

}  // namespace mortise::membership
