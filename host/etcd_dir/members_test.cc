// What .snap files and the log say of the members.
#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "host/etcd_dir/member_entries.h"
#include "host/etcd_dir/snap_file.h"
#include "host/etcd_dir/test_log.h"
#include "host/etcd_dir/v2_members.h"
#include "host/raft/membership_codec.h"
#include "host/wire/raft_request.h"

namespace mortise::etcd_dir {
namespace {

using membership::Member;
using raft::ChangeType;

constexpr const char* kTree = R"({"Root":{"Path":"/","Children":{
  "0":{"Path":"/0","Children":{
    "members":{"Path":"/0/members","Children":{
      "a":{"Path":"/0/members/a","Children":{
        "attributes":{"Value":"{\"name\":\"one\",\"clientURLs\":[\"http://c:1\"]}","Children":null},
        "raftAttributes":{"Value":"{\"peerURLs\":[\"http://p:1\"]}","Children":null}}},
      "b":{"Path":"/0/members/b","Children":{
        "raftAttributes":{"Value":"{\"peerURLs\":[\"http://p:2\"],\"isLearner\":true}"}}}}},
    "removed_members":{"Children":{"c":{"Value":"removed"}}},
    "version":{"Value":"3.4.0"}}},
  "1":{"Path":"/1","Children":{}}}},
  "WatcherHub":{},"CurrentIndex":7,"CurrentVersion":2})";

std::string change(ChangeType type, const Member& member, bool is_promote = false) {
  raft::MembershipChange change;
  change.changes = {{type, member.id}};
  if (type != ChangeType::kRemoveNode) {
    change.context = membership::encode_change_context({member, is_promote});
  }
  return raft::encode_membership(change);
}
Member member(uint64_t id, const std::string& peer_url, bool is_learner = false) {
  Member out;
  out.id = id;
  out.peer_urls = {peer_url};
  out.is_learner = is_learner;
  return out;
}
// "id name peer client [learner]; ..."
std::string text(const Membership& membership) {
  std::string out;
  for (const auto& [id, m] : membership.roster.members) {
    out += membership::hex_id(id) + " " + m.name + " " + m.peer_urls[0] + " " +
           (m.client_urls.empty() ? "" : m.client_urls[0]) + (m.is_learner ? " learner" : "") +
           "; ";
  }
  for (uint64_t id : membership.roster.removed) out += "-" + membership::hex_id(id) + " ";
  return out + membership.cluster_version;
}

TEST(V2Members, AreReadFromTheTree) {
  auto members = read_v2_members(kTree);
  ASSERT_TRUE(members.ok()) << members.status().message();
  EXPECT_EQ(text(*members), "a one http://p:1 http://c:1; b  http://p:2  learner; -c 3.4.0");
}

TEST(V2Members, WhatIsNoTreeIsRefused) {
  for (const char* bad :
       {"", "[]", "{}", "{\"Root\":7}", R"({"Root":{"Children":{"1":{}}}})",
        R"({"Root":{"Children":{"0":{"Children":{"members":{"Children":{"xyz":{}}}}}}}})",
        R"({"Root":{"Children":{"0":{"Children":{"members":{"Children":{"a":{}}}}}}}})"}) {
    EXPECT_EQ(read_v2_members(bad).status().code(), StatusCode::kCorruption) << bad;
  }
  std::mt19937 random(3);
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = kTree;
    for (int n = 0; n < 3; ++n) bytes[random() % bytes.size()] = static_cast<char>(random());
    (void)read_v2_members(bytes);
  }
}

TEST(MemberEntries, ChangeWhatWasBefore) {
  std::string version, attributes, published;
  wire::append_bytes_field(&version, 1, "3.5.0");
  wire::append_bytes_field(&attributes, 1, "two");
  wire::append_bytes_field(&attributes, 2, "http://c:2");
  wire::append_varint_field(&published, 1, 0xb);
  wire::append_bytes_field(&published, 2, attributes);
  const std::vector<std::pair<raft::EntryType, std::string>> log = {
      {raft::EntryType::kConfChange, change(ChangeType::kAddNode, member(0xd, "http://p:4"))},
      {raft::EntryType::kNormal, "neither a request nor empty"},
      {raft::EntryType::kConfChange, change(ChangeType::kAddNode, member(0xe, "http://p:4"))},
      {raft::EntryType::kConfChange, change(ChangeType::kAddNode, member(0xb, ""), true)},
      {raft::EntryType::kConfChange, change(ChangeType::kRemoveNode, member(0xa, ""))},
      {raft::EntryType::kConfChange, change(ChangeType::kUpdateNode, member(0xd, "http://p:5"))},
      {raft::EntryType::kNormal,
       wire::encode_raft_request(1, wire::kRaftClusterMemberAttrSet, published)},
      {raft::EntryType::kNormal,
       wire::encode_raft_request(2, wire::kRaftClusterVersionSet, version)},
      {raft::EntryType::kConfChange, change(ChangeType::kRemoveNode, member(0xb, ""))},
  };
  MemberEntries entries;
  entries.note({1, 8, raft::EntryType::kConfChange,
                change(ChangeType::kRemoveNode, member(0xb, ""))});  // Replaced.
  uint64_t index = 8;
  for (const auto& [type, data] : log) entries.note({2, index++, type, data});
  Membership before = read_v2_members(kTree).value();
  EXPECT_EQ(text(entries.after(before, 7, 1)), text(before));
  EXPECT_EQ(text(entries.after(before, 8, 1)),
            "a one http://p:1 http://c:1; b  http://p:2  learner; d  http://p:4 ; -c 3.4.0");
  EXPECT_EQ(text(entries.after(before, 15, 1)),
            "b two http://p:2 http://c:2; d  http://p:5 ; -a -c 3.5.0");
}

class SnapFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/mortise-snap-file-XXXXXX";
    dir_ = ::mkdtemp(path);
    std::string conf_state, metadata;
    append_number(&conf_state, 1, 0xa);
    append_number(&conf_state, 2, 0xb);
    append_number(&conf_state, 5, 0);
    wire::append_bytes_field(&metadata, 1, conf_state);
    append_number(&metadata, 2, 7);
    append_number(&metadata, 3, 2);
    wire::append_bytes_field(&body_, 1, kTree);
    wire::append_bytes_field(&body_, 2, metadata);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  std::string write(uint32_t crc, const std::string& body) {
    std::string bytes;
    append_number(&bytes, 1, crc);
    wire::append_bytes_field(&bytes, 2, body);
    const std::string path = dir_ + "/" + snap_file_name(2, 7);
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  std::string dir_, body_;
};

TEST_F(SnapFileTest, IsReadWholeOrRefusedByName) {
  EXPECT_EQ(snap_file_name(2, 0x1a7), "0000000000000002-00000000000001a7.snap");
  std::string path = write(crc32c(0, body_), body_);
  auto snapshot = read_snap_file(path);
  ASSERT_TRUE(snapshot.ok()) << snapshot.status().message();
  EXPECT_EQ(snapshot->index, 7u);
  EXPECT_EQ(snapshot->term, 2u);
  EXPECT_EQ(snapshot->conf_state.voters, std::vector<uint64_t>{0xa});
  EXPECT_EQ(snapshot->conf_state.learners, std::vector<uint64_t>{0xb});
  EXPECT_EQ(snapshot->data, kTree);

  write(crc32c(0, body_) + 1, body_);
  EXPECT_EQ(read_snap_file(path).status().message(), path + ": checksum mismatch");
  write(crc32c(0, "\x0a\x05x"), "\x0a\x05x");
  EXPECT_EQ(read_snap_file(path).status().message(), path + ": malformed");
  std::filesystem::remove(path);
  EXPECT_EQ(read_snap_file(path).status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace mortise::etcd_dir
