#include "host/discovery/join.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace mortise::discovery {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::Contains;
using ::testing::ElementsAre;

const std::string kSize = "/_etcd/registry/t/_config/size";
const std::string kMembers = "/_etcd/registry/t/members/";

class FakeRegistry final : public Registry {
 public:
  Result<std::vector<Entry>> get(std::string_view key, bool is_prefix) override {
    MORTISE_RETURN_IF_ERROR(fail());
    if (on_get) on_get();
    std::vector<Entry> found;
    for (const auto& [name, entry] : entries) {
      if (name == key || (is_prefix && name.starts_with(key))) found.push_back(entry);
    }
    return found;
  }
  Status put(std::string_view key, std::string_view value) override {
    MORTISE_RETURN_IF_ERROR(fail());
    set(std::string(key), std::string(value));
    return Status();
  }
  void set(const std::string& key, const std::string& value) {
    Entry& entry = entries[key];
    if (entry.create_revision == 0) entry.create_revision = ++revision;
    entry.key = key;
    entry.value = value;
  }
  Status fail() {
    if (failures == 0) return Status();
    --failures;
    return Status(StatusCode::kIo, "refused");
  }

  std::map<std::string, Entry> entries;
  int64_t revision = 0;
  int failures = 0;
  std::function<void()> on_get;
};

class Join : public ::testing::Test {
 protected:
  Result<std::string> join(const std::string& id = "c1") {
    JoinOptions options;
    options.token = "t";
    options.member_id = id;
    options.member = "m-" + id + "=http://" + id + ":1";
    options.log = [this](peer::LogLevel, std::string_view message, const peer::LogFields&,
                         std::source_location) { log_.emplace_back(message); };
    options.sleep = [this](milliseconds pause) {
      pauses_.push_back(pause);
      if (on_sleep_) on_sleep_();
    };
    return discovery::join(&registry_, options);
  }
  void size(const std::string& text) { registry_.set(kSize, text); }
  void member(const std::string& id) {
    registry_.set(kMembers + id, "m-" + id + "=http://" + id + ":1");
  }

  FakeRegistry registry_;
  std::vector<std::string> log_;
  std::vector<milliseconds> pauses_;
  std::function<void()> on_sleep_;
};

TEST_F(Join, AloneInAClusterOfOne) {
  size("1");
  auto joined = join();
  ASSERT_TRUE(joined.ok()) << joined.status().message();
  EXPECT_EQ(*joined, "m-c1=http://c1:1");
  EXPECT_EQ(registry_.entries[kMembers + "c1"].value, "m-c1=http://c1:1");
  EXPECT_TRUE(pauses_.empty());
}

TEST_F(Join, WaitsForTheOthersAndKeepsTheirOrder) {
  size("3");
  member("ff");
  on_sleep_ = [this] {
    if (pauses_.size() == 3) member("aa");
    // One too many, and later than the others.
    if (pauses_.size() == 3) member("00");
  };
  auto joined = join();
  ASSERT_TRUE(joined.ok());
  EXPECT_EQ(*joined, "m-ff=http://ff:1,m-c1=http://c1:1,m-aa=http://aa:1");
  EXPECT_EQ(pauses_.size(), 3u);
}

TEST_F(Join, AMemberThatWasThereBeforeIsThereAgain) {
  size("2");
  member("c1");
  member("aa");
  auto joined = join();
  ASSERT_TRUE(joined.ok());
  EXPECT_EQ(*joined, "m-c1=http://c1:1,m-aa=http://aa:1");
}

TEST_F(Join, FullCluster) {
  size("2");
  member("aa");
  member("bb");
  EXPECT_EQ(join().status().message(), "discovery: cluster is full");
  EXPECT_FALSE(registry_.entries.contains(kMembers + "c1"));
}

// Another one was faster between the look and the registration.
TEST_F(Join, FullAfterTheRegistration) {
  size("1");
  int gets = 0;
  registry_.on_get = [&] {
    if (++gets != 3) return;
    member("aa");
    registry_.entries[kMembers + "aa"].create_revision = 0;
  };
  EXPECT_EQ(join().status().message(), "discovery: cluster is full");
}

TEST_F(Join, Sizes) {
  EXPECT_EQ(join().status().message(), "discovery: size key not found");
  for (const char* bad : {"", "x", "0", "-1", "3 ", "0x3"}) {
    size(bad);
    EXPECT_EQ(join().status().message(), "discovery: size key is bad") << bad;
  }
}

TEST_F(Join, WhatIsNoMemberIsLeftOut) {
  size("2");
  registry_.set(kMembers + "aa", "no member");
  on_sleep_ = [this] { member("bb"); };
  auto joined = join();
  ASSERT_TRUE(joined.ok());
  EXPECT_EQ(*joined, "m-c1=http://c1:1,m-bb=http://bb:1");
  EXPECT_THAT(log_, Contains("invalid peer info returned from discovery service"));
}

TEST_F(Join, BadUrlOfAnother) {
  size("2");
  registry_.set(kMembers + "aa", "m=nonsense");
  EXPECT_EQ(join().status().message(), "discovery: invalid peer URL");
}

TEST_F(Join, AsksAgainLaterAndLater) {
  size("1");
  registry_.failures = 10;
  ASSERT_TRUE(join().ok());
  EXPECT_THAT(pauses_,
              ElementsAre(seconds(2), seconds(4), seconds(8), seconds(16), seconds(32), seconds(64),
                          seconds(128), seconds(256), seconds(256), seconds(256)));
}

}  // namespace
}  // namespace mortise::discovery
