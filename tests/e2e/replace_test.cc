// Member by member a cluster is replaced by another one, through member remove and add, while
// clients write: on another backend here, and by hand from an etcd 3.7 with
//   MORTISE_REPLACE_FROM=/opt/etcd,/opt/etcd,/opt/etcd
// All members are equal after each step, and at the end the history holds every acknowledged write.
#include <gtest/gtest.h>

#include <random>

#include "tests/lib/cluster.h"
#include "tests/lib/writes.h"

namespace mortise::testing {
namespace {

constexpr std::chrono::milliseconds kWriteBound{500};
constexpr int kWriters = 4;
// More than what a leader keeps of its log with the flags below, so that members come by snapshot.
constexpr int64_t kWritesBefore = 1500;

std::string from_names() {
  const char* wanted = std::getenv("MORTISE_REPLACE_FROM");
  return wanted == nullptr ? "lmdb,lmdb,lmdb" : wanted;
}

std::string to_names() {
  const char* wanted = std::getenv("MORTISE_REPLACE_TO");
  return wanted == nullptr ? "rocksdb,rocksdb,lmdb" : wanted;
}

class ReplaceTest : public ::testing::Test {
 protected:
  std::vector<std::string> endpoints() {
    std::vector<std::string> out;
    for (size_t i : members_) out.push_back(cluster_->endpoint(i));
    return out;
  }

  void keep_records(Load* load) {
    load->stop();
    records_.insert(records_.end(), load->records().begin(), load->records().end());
  }

  // The member at the place is removed, also if it leads, and one of the target comes.
  void replace(size_t place, const Target& target) {
    Load load(kWriters, std::random_device{}(), endpoints(), kWriteBound);
    ASSERT_TRUE(load.wait_progress(kClusterBound).has_value()) << cluster_->logs();
    size_t old = members_[place];
    bool led = cluster_->leader() == old;
    ASSERT_EQ(cluster_->remove(old).message(), "");
    cluster_->kill(old);
    auto begin = std::chrono::steady_clock::now();
    auto added = cluster_->add(target);
    ASSERT_TRUE(added.ok()) << added.status().message() << cluster_->logs();
    members_[place] = *added;
    ASSERT_EQ(cluster_->wait_serving(*added).message(), "");
    auto took = std::chrono::steady_clock::now() - begin;
    ASSERT_TRUE(load.wait_progress(kClusterBound).has_value()) << cluster_->logs();
    ASSERT_EQ(cluster_->check_equal().message(), "");
    keep_records(&load);
    std::printf("%s%s is replaced by %s, which serves after %ld ms; %ld writes meanwhile\n",
                cluster_->node(old).target().binary.c_str(), led ? " (the leader)" : "",
                target.name.c_str(),
                std::chrono::duration_cast<std::chrono::milliseconds>(took).count(),
                load.acknowledged());
    std::fflush(stdout);
  }

  std::unique_ptr<Cluster> cluster_;
  std::vector<size_t> members_ = {0, 1, 2};
  std::vector<Record> records_;
};

TEST_F(ReplaceTest, MemberByMember) {
  ClusterOptions options{.flags = {"--snapshot-count=200"}, .in_memory = true};
  std::vector<Target> from = cluster_targets(from_names()), to = cluster_targets(to_names());
  ASSERT_EQ(from.size(), 3U);
  ASSERT_EQ(to.size(), 3U);
  if (from[0].is_etcd()) options.flags.push_back("--snapshot-catchup-entries=100");
  cluster_ = std::make_unique<Cluster>(from, options);
  ASSERT_EQ(cluster_->start().message(), "");
  {
    Load load(kWriters, std::random_device{}(), endpoints(), kWriteBound);
    EXPECT_TRUE(Cluster::wait_for([&] { return load.acknowledged() >= kWritesBefore; }));
    keep_records(&load);
  }
  for (size_t place = 0; place < 3 && !HasFailure(); ++place) replace(place, to[place]);
  ASSERT_FALSE(HasFailure());
  int64_t revision = 0;
  ASSERT_TRUE(cluster_->client(members_[0]).put("end", "", &revision).ok());
  for (size_t member : members_) {
    auto history = read_history(&cluster_->client(member), 2, revision - 1);
    ASSERT_TRUE(history.ok()) << history.status().message();
    EXPECT_EQ(check_history(*history, 2, revision - 1, records_).message(), "") << member;
  }
}

}  // namespace
}  // namespace mortise::testing
