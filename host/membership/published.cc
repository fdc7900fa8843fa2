#include "host/membership/published.h"

#include <charconv>
#include <nlohmann/json.hpp>

#include "host/membership/member_json.h"
#include "host/wire/codec.h"

namespace mortise::membership {
namespace {

constexpr std::string_view kMembersPath = "/0/members/";
constexpr std::string_view kAttributes = "/attributes";
constexpr std::string_view kVersionPath = "/0/version";

nlohmann::json parse_object(std::string_view text) {
  auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  return json.is_object() ? json : nlohmann::json();
}

// The member whose attributes the key holds; 0 if it is another key.
uint64_t member_of_path(std::string_view path) {
  if (!path.starts_with(kMembersPath) || !path.ends_with(kAttributes)) return 0;
  path.remove_prefix(kMembersPath.size());
  if (path.size() <= kAttributes.size()) return 0;
  path.remove_suffix(kAttributes.size());
  uint64_t id = 0;
  auto [end, error] = std::from_chars(path.data(), path.data() + path.size(), id, 16);
  return error == std::errc() && end == path.data() + path.size() ? id : 0;
}

}  // namespace

Result<Published> decode_attributes(std::string_view request) {
  Published out;
  wire::FieldReader reader(request);
  wire::Field f;
  while (reader.next(&f)) {
    if (f.is_varint(1)) out.member_id = f.varint;
    if (!f.is_bytes(2)) continue;
    wire::FieldReader attributes(f.bytes);
    wire::Field a;
    while (attributes.next(&a)) {
      if (a.is_bytes(1)) out.name = a.bytes;
      if (a.is_bytes(2)) out.client_urls.emplace_back(a.bytes);
    }
    if (attributes.failed()) return corruption("a logged member attributes request is malformed");
  }
  if (reader.failed()) return corruption("a logged member attributes request is malformed");
  return out;
}

Result<Published> decode_cluster_version(std::string_view request) {
  Published out;
  wire::FieldReader reader(request);
  wire::Field f;
  while (reader.next(&f)) {
    if (f.is_bytes(1)) out.cluster_version = f.bytes;
  }
  if (reader.failed()) return corruption("a logged cluster version request is malformed");
  return out;
}

Published decode_v2_request(std::string_view request) {
  std::string_view method, path, value;
  wire::FieldReader reader(request);
  wire::Field f;
  while (reader.next(&f)) {
    if (f.is_bytes(2)) method = f.bytes;
    if (f.is_bytes(3)) path = f.bytes;
    if (f.is_bytes(4)) value = f.bytes;
  }
  Published out;
  if (reader.failed() || method != "PUT") return out;
  if (path == kVersionPath) {
    out.cluster_version = value;
    return out;
  }
  Member member;
  if (uint64_t id = member_of_path(path); id != 0 && read_v2_attributes(value, &member)) {
    out.member_id = id;
    out.name = std::move(member.name);
    out.client_urls = std::move(member.client_urls);
  }
  return out;
}

bool read_v2_attributes(std::string_view text, Member* member) {
  auto json = parse_object(text);
  if (!json.is_object()) return false;
  if (json.contains("name") && json["name"].is_string()) member->name = json["name"];
  return read_urls(json, "clientURLs", &member->client_urls);
}

bool read_v2_raft_attributes(std::string_view text, Member* member) {
  auto json = parse_object(text);
  if (!json.is_object()) return false;
  member->is_learner = json.contains("isLearner") && json["isLearner"] == true;
  return read_urls(json, "peerURLs", &member->peer_urls);
}

}  // namespace mortise::membership
