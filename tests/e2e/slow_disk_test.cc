// Members whose disks finish nothing for a while, as seen by clients that write all the time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>

#include "tests/lib/cluster.h"
#include "tests/lib/writes.h"

namespace mortise::testing {
namespace {

using ::testing::HasSubstr;

constexpr int kWriters = 4;
constexpr std::chrono::seconds kWriteBound{3};

class SlowDiskTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (size_t i = 0; i < cluster_.size(); ++i) {
      auto& env = cluster_.node(i).options().env;
      env.push_back("LD_PRELOAD=" + std::string(MORTISE_STALLED_DISK));
      env.push_back("MORTISE_STALL_FILE=" + stall_file(i));
    }
    ASSERT_EQ(cluster_.start().message(), "");
    std::vector<std::string> endpoints;
    for (size_t i = 0; i < cluster_.size(); ++i) endpoints.push_back(cluster_.endpoint(i));
    load_ = std::make_unique<Load>(kWriters, /*seed=*/7, endpoints, kWriteBound);
    expect_progress();
  }
  void TearDown() override {
    for (size_t i = 0; i < cluster_.size(); ++i) release(i);
  }

  void stall(size_t member) { write_text(stall_file(member), ""); }
  void release(size_t member) { std::filesystem::remove(stall_file(member)); }
  void expect_progress() {
    EXPECT_TRUE(load_->wait_progress(kClusterBound))
        << "nothing is acknowledged" << cluster_.logs();
  }
  etcdserverpb::StatusResponse status(size_t member) {
    etcdserverpb::StatusResponse response;
    const grpc::Status status = cluster_.client(member).status(&response);
    EXPECT_TRUE(status.ok()) << status_text(status);
    return response;
  }
  // All serve, hold the same, and every write that was acknowledged.
  void check_all() {
    load_->stop();
    ASSERT_EQ(cluster_.wait_serving().message(), "") << cluster_.logs();
    EXPECT_EQ(cluster_.check_equal().message(), "");
    const int64_t newest = status(0).header().revision();
    auto history = read_history(&cluster_.client(0), 2, newest);
    ASSERT_EQ(history.status().message(), "");
    EXPECT_EQ(check_history(*history, 2, newest, load_->records()).message(), "");
  }

  TempDir dir_;
  Cluster cluster_{cluster_targets("mixed")};
  std::unique_ptr<Load> load_;

 private:
  std::string stall_file(size_t member) const {
    return dir_.path() + "/stall-" + std::to_string(member);
  }
};

TEST_F(SlowDiskTest, ALeaderHandsOverAndLosesNothing) {
  auto leader = cluster_.wait_leader();
  ASSERT_EQ(leader.status().message(), "");
  stall(*leader);
  auto next = cluster_.wait_leader(/*than=*/*leader);
  ASSERT_EQ(next.status().message(), "") << cluster_.logs();
  EXPECT_THAT(cluster_.node(*leader).log(), HasSubstr("leadership is handed over"));
  expect_progress();
  release(*leader);
  check_all();
}

TEST_F(SlowDiskTest, AFollowerHoldsUpNobody) {
  auto leader = cluster_.wait_leader();
  ASSERT_EQ(leader.status().message(), "");
  const uint64_t term = status(*leader).raftterm();
  const size_t follower = (*leader + 1) % cluster_.size();
  stall(follower);
  // Its election timeout passes many times meanwhile.
  const int64_t before = load_->acknowledged();
  EXPECT_TRUE(Cluster::wait_for([&] { return load_->acknowledged() >= before + 500; }))
      << cluster_.logs();
  EXPECT_EQ(status(*leader).raftterm(), term) << "a slow follower has cost the leader its place";
  EXPECT_LT(status(follower).raftappliedindex() + 400, status(*leader).raftappliedindex())
      << "its disk was not slow";
  release(follower);
  check_all();
}

}  // namespace
}  // namespace mortise::testing
