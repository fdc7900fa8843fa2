#include "host/membership/member.h"

#include <openssl/sha.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/membership/member_json.h"
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

nlohmann::ordered_json to_json(const Member& member) {
  nlohmann::ordered_json json;
  json["id"] = member.id;
  json["peerURLs"] = nullptr;
  if (!member.peer_urls.empty()) json["peerURLs"] = member.peer_urls;
  if (member.is_learner) json["isLearner"] = true;
  if (!member.name.empty()) json["name"] = member.name;
  if (!member.client_urls.empty()) json["clientURLs"] = member.client_urls;
  return json;
}

bool from_json(const nlohmann::json& json, Member* member) {
  if (!json.is_object() || !json.contains("id") || !json["id"].is_number_unsigned()) return false;
  member->id = json["id"].get<uint64_t>();
  if (!read_urls(json, "peerURLs", &member->peer_urls)) return false;
  if (!read_urls(json, "clientURLs", &member->client_urls)) return false;
  if (json.contains("name") && json["name"].is_string()) member->name = json["name"];
  if (json.contains("isLearner")) member->is_learner = json["isLearner"] == true;
  return true;
}

nlohmann::json parse(std::string_view text) {
  return nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
}

}  // namespace

bool read_urls(const nlohmann::json& json, const char* name, std::vector<std::string>* urls) {
  auto it = json.find(name);
  if (it == json.end() || it->is_null()) return true;
  if (!it->is_array()) return false;
  for (const auto& url : *it) {
    if (!url.is_string()) return false;
    urls->push_back(url.get<std::string>());
  }
  return true;
}

uint64_t bootstrap_member_id(std::vector<std::string> peer_urls, std::string_view cluster_token) {
  std::sort(peer_urls.begin(), peer_urls.end());
  std::string bytes;
  for (const std::string& url : peer_urls) bytes += url;
  bytes += cluster_token;
  return first_8_bytes_of_sha1(bytes);
}

uint64_t added_member_id(std::vector<std::string> peer_urls, int64_t unix_seconds) {
  return bootstrap_member_id(std::move(peer_urls), std::to_string(unix_seconds));
}

uint64_t bootstrap_cluster_id(std::vector<uint64_t> member_ids) {
  std::sort(member_ids.begin(), member_ids.end());
  std::string bytes;
  for (uint64_t id : member_ids) {
    for (int shift = 56; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(id >> shift));
  }
  return first_8_bytes_of_sha1(bytes);
}

std::string go_json(const nlohmann::ordered_json& json) {
  std::string out;
  for (char c : json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)) {
    switch (c) {
      case '<': out += "\\u003c"; break;
      case '>': out += "\\u003e"; break;
      case '&': out += "\\u0026"; break;
      default: out.push_back(c);
    }
  }
  return out;
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

std::string member_json(const Member& member) { return go_json(to_json(member)); }

std::string members_json(const std::vector<Member>& members) {
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const Member& member : members) json.push_back(to_json(member));
  return go_json(json) + "\n";
}

Result<std::vector<Member>> parse_members_json(std::string_view text) {
  auto json = parse(text);
  if (!json.is_array()) return invalid("not a list of members");
  std::vector<Member> members;
  for (const auto& entry : json) {
    Member member;
    if (!from_json(entry, &member)) return invalid("not a list of members");
    members.push_back(std::move(member));
  }
  return members;
}

std::string encode_change_context(const ChangeContext& context) {
  nlohmann::ordered_json json = to_json(context.member);
  if (context.is_promote) json["isPromote"] = true;
  return go_json(json);
}

Result<ChangeContext> decode_change_context(std::string_view text) {
  auto json = parse(text);
  ChangeContext context;
  if (!from_json(json, &context.member)) {
    return corruption("a membership change has a malformed context: " + std::string(text));
  }
  if (json.contains("isPromote")) context.is_promote = json["isPromote"] == true;
  return context;
}

}  // namespace mortise::membership
