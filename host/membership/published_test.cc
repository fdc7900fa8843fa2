#include "host/membership/published.h"

#include <gtest/gtest.h>

#include "host/wire/raft_request.h"

namespace mortise::membership {
namespace {

// etcdserverpb.Request as etcd 3.5 logs it: all fields, set or not.
std::string v2_request(std::string_view method, std::string_view path, std::string_view value) {
  std::string out;
  wire::append_varint_field(&out, 1, 0x1234567890);
  wire::append_bytes_field(&out, 2, method);
  wire::append_bytes_field(&out, 3, path);
  wire::append_bytes_field(&out, 4, value);
  out.append("\x28\x00", 2);                  // dir
  wire::append_bytes_field(&out, 6, "");      // prevValue
  out.append("\x38\x00\x48\x00\x50\x00", 6);  // prevIndex, expiration, wait
  out.append("\x58\x00\x60\x00\x68\x00\x70\x00\x78\x00\x80\x01\x00", 13);
  return out;
}

TEST(Published, AttributesOfTheOldApi) {
  const std::string entry = v2_request("PUT", "/0/members/8e9e05c52164694d/attributes",
                                       R"({"name":"a","clientURLs":["http://x:1","http://y:2"]})");
  wire::RaftRequest request;
  ASSERT_TRUE(wire::decode(entry, &request));
  EXPECT_EQ(request.field, wire::kRaftV2);
  EXPECT_EQ(request.id, 0x1234567890u);
  EXPECT_EQ(request.request, entry);
  Published published = decode_v2_request(request.request);
  EXPECT_EQ(published.member_id, 0x8e9e05c52164694du);
  EXPECT_EQ(published.name, "a");
  EXPECT_EQ(published.client_urls, (std::vector<std::string>{"http://x:1", "http://y:2"}));
  EXPECT_EQ(published.cluster_version, "");
}

TEST(Published, VersionOfTheOldApi) {
  Published published = decode_v2_request(v2_request("PUT", "/0/version", "3.5.0"));
  EXPECT_EQ(published.cluster_version, "3.5.0");
  EXPECT_EQ(published.member_id, 0u);
}

TEST(Published, ARequestOfTheOldApiInAnother) {
  const std::string inner = v2_request("PUT", "/0/version", "3.4.0");
  std::string entry;
  wire::append_varint_field(&entry, 1, 7);
  wire::append_bytes_field(&entry, 2, inner);
  wire::RaftRequest request;
  ASSERT_TRUE(wire::decode(entry, &request));
  EXPECT_EQ(request.field, wire::kRaftV2);
  EXPECT_EQ(request.id, 7u);
  EXPECT_EQ(decode_v2_request(request.request).cluster_version, "3.4.0");
}

TEST(Published, OtherRequestsOfTheOldApiSayNothing) {
  const std::string attributes = "/0/members/8e9e05c52164694d/attributes";
  for (const std::string& request :
       {v2_request("PUT", "/1/key", "value"), v2_request("DELETE", "/0/version", "3.5.0"),
        v2_request("PUT", attributes, "{"), v2_request("PUT", attributes, "[]"),
        v2_request("PUT", attributes, R"({"clientURLs":[1]})"),
        v2_request("PUT", "/0/members/xyz/attributes", "{}"),
        v2_request("PUT", "/0/members/attributes", "{}"),
        v2_request("PUT", "/0/members/12345678901234567/attributes", "{}"),
        v2_request("SYNC", "", ""), std::string("\x12\x05PUT", 5)}) {
    Published published = decode_v2_request(request);
    EXPECT_EQ(published.member_id, 0u);
    EXPECT_EQ(published.cluster_version, "");
  }
}

TEST(Published, AttributesAreTakenAsWhole) {
  std::string attributes, request;
  wire::append_bytes_field(&attributes, 1, "b");
  wire::append_bytes_field(&attributes, 2, "http://x:1");
  wire::append_varint_field(&request, 1, 9);
  wire::append_bytes_field(&request, 2, attributes);
  auto published = decode_attributes(request);
  ASSERT_TRUE(published.ok());
  EXPECT_EQ(published->member_id, 9u);
  EXPECT_EQ(published->name, "b");
  EXPECT_EQ(published->client_urls, std::vector<std::string>{"http://x:1"});
  EXPECT_EQ(decode_attributes("\x12\x05x").status().code(), StatusCode::kCorruption);
  EXPECT_EQ(decode_cluster_version("\x0a\x05x").status().code(), StatusCode::kCorruption);
}

}  // namespace
}  // namespace mortise::membership
