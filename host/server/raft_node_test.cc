// The raft node with a real log on disk, under proposals from many threads.
#include "host/server/raft_node.h"

#include <unistd.h>

#include <filesystem>
#include <set>

#include "gtest/gtest.h"
#include "host/raft/membership_codec.h"

namespace mortise::server {
namespace {

constexpr uint64_t kId = 7;
constexpr auto kNever = RaftNode::Clock::time_point::max();

class TempDir {
 public:
  TempDir() {
    char path[] = "/tmp/mortise-raft-node-XXXXXX";
    path_ = ::mkdtemp(path);
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  std::string wal() const { return path_ + "/wal"; }

 private:
  std::string path_;
};

class Entries : public wal::RecoverySink {
 public:
  void drop_from(uint64_t index) override {
    while (!list.empty() && list.back()->index >= index) list.pop_back();
  }
  Status append(const wal::EntryRecord& record) override {
    auto entry = std::make_shared<raft::Entry>();
    entry->term = record.term;
    entry->index = record.index;
    entry->type = static_cast<raft::EntryType>(record.type);
    entry->data.assign(record.data);
    list.push_back(std::move(entry));
    return Status();
  }
  std::vector<raft::EntryRef> list;
};

wal::Options wal_options(const TempDir& dir) {
  wal::Options options;
  options.dir = dir.wal();
  options.cluster_id = 1;
  options.member_id = kId;
  options.segment_bytes = 1 << 20;
  return options;
}

void write_first_entry(const TempDir& dir) {
  Entries none;
  auto wal = wal::Wal::open(wal_options(dir), none);
  ASSERT_TRUE(wal.ok()) << wal.status().message();
  raft::MembershipChange change;
  change.changes = {{raft::ChangeType::kAddNode, kId}};
  std::string data = raft::encode_membership(change);
  wal::BatchBuffer batch;
  batch.add_entry({1, 1, static_cast<uint8_t>(raft::EntryType::kConfChange), data});
  batch.set_hard_state({1, 0, 1});
  ASSERT_TRUE((*wal)->append(batch).ok());
}

// A node whose apply loop is a thread that collects what is committed.
class Member {
 public:
  explicit Member(const TempDir& dir) {
    Entries found;
    auto wal = wal::Wal::open(wal_options(dir), found);
    MORTISE_CHECK(wal.ok(), wal.status().message());
    auto log = std::make_unique<raft::MemoryLog>();
    MORTISE_CHECK(log->append(found.list).ok(), "the log has a gap");
    auto hard_state = (*wal)->recovered().hard_state.value();
    log->set_hard_state({hard_state.term, hard_state.vote, hard_state.commit});
    RaftNodeOptions options;
    options.core.id = kId;
    options.tick = std::chrono::milliseconds(10);
    options.on_committed = [this](std::vector<raft::EntryRef> entries) {
      commit(std::move(entries));
    };
    options.on_soft_state = [](const raft::SoftState&, uint64_t) {};
    options.on_dropped = [this](const std::vector<uint64_t>& ids, const Status&) {
      std::lock_guard lock(mutex_);
      dropped_ += ids.size();
    };
    options.on_failed = [](const Status& status) { MORTISE_CHECK(false, status.message()); };
    node_ = std::move(RaftNode::create(std::move(options), std::move(log))).value();
    apply_ = std::thread([this] { apply(); });
    node_->start(std::move(wal).value());
    while (!node_->is_leader()) std::this_thread::yield();
  }
  ~Member() { stop(); }
  void stop() {
    if (!apply_.joinable()) return;
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
      wake_.notify_all();
    }
    apply_.join();
    EXPECT_TRUE(node_->stop().ok());
  }
  RaftNode& node() { return *node_; }
  // Waits until `count` proposals have been applied; their data in order.
  std::vector<std::string> wait_applied(size_t count) {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [&] { return applied_.size() + dropped_ >= count; });
    EXPECT_EQ(dropped_, 0u);
    return applied_;
  }

 private:
  void commit(std::vector<raft::EntryRef> entries) {
    std::lock_guard lock(mutex_);
    for (auto& entry : entries) queue_.push_back(std::move(entry));
    wake_.notify_all();
  }
  void apply() {
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
      if (stopping_) return;
      raft::EntryRef entry = queue_.front();
      queue_.pop_front();
      lock.unlock();
      EXPECT_EQ(entry->index, ++index_);
      if (entry->type != raft::EntryType::kNormal) {
        auto change = raft::decode_membership(entry->type, entry->data);
        EXPECT_TRUE(node_->apply_membership(change.value()).ok());
      }
      node_->applied(entry->index);
      lock.lock();
      if (entry->type == raft::EntryType::kNormal && !entry->data.empty())
        applied_.push_back(entry->data);
      wake_.notify_all();
    }
  }

  std::unique_ptr<RaftNode> node_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<raft::EntryRef> queue_;
  std::vector<std::string> applied_;
  size_t dropped_ = 0;
  bool stopping_ = false;
  uint64_t index_ = 0;
  std::thread apply_;
};

TEST(RaftNode, CommitsEveryProposalOnceInTheOrderOfEachProposer) {
  TempDir dir;
  write_first_entry(dir);
  Member member(dir);
  constexpr int kThreads = 4, kEach = 2000;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        std::string data =
            std::to_string(t) + "/" + std::to_string(i) + "/" + std::string(i % 300, 'x');
        while (!member.node().propose(static_cast<uint64_t>(t * kEach + i + 1), std::move(data),
                                      kNever)) {
          std::this_thread::yield();
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  std::vector<std::string> applied = member.wait_applied(kThreads * kEach);
  ASSERT_EQ(applied.size(), static_cast<size_t>(kThreads * kEach));
  std::vector<int> next(kThreads, 0);
  for (const std::string& data : applied) {
    size_t slash = data.find('/');
    int t = std::stoi(data.substr(0, slash));
    EXPECT_EQ(std::stoi(data.substr(slash + 1)), next[static_cast<size_t>(t)]++);
  }
}

TEST(RaftNode, FindsWhatItCommittedAfterARestart) {
  TempDir dir;
  write_first_entry(dir);
  std::vector<std::string> before;
  for (int round = 0; round < 3; ++round) {
    Member member(dir);
    size_t wanted = before.size() + 100;
    for (uint64_t i = 0; i < 100; ++i) {
      ASSERT_TRUE(member.node().propose(
          i + 1, "round " + std::to_string(round) + " " + std::to_string(i), kNever));
    }
    std::vector<std::string> applied = member.wait_applied(wanted);
    ASSERT_GE(applied.size(), before.size());
    EXPECT_TRUE(std::equal(before.begin(), before.end(), applied.begin()));
    before = applied;
  }
}

TEST(RaftNode, BoundsWhatIsOnItsWayToTheDisk) {
  TempDir dir;
  write_first_entry(dir);
  Member member(dir);
  // Twice the bound in large entries: those beyond it wait in the inbox and are not lost.
  const size_t count = 2 * kUnpersistedBytesMax / (1 << 20);
  for (uint64_t i = 0; i < count; ++i) {
    ASSERT_TRUE(member.node().propose(i + 1, std::string(1 << 20, static_cast<char>('a' + i % 26)),
                                      kNever));
  }
  EXPECT_EQ(member.wait_applied(count).size(), count);
}

TEST(RaftNode, TakesNothingAfterStop) {
  TempDir dir;
  write_first_entry(dir);
  Member member(dir);
  ASSERT_TRUE(member.node().propose(1, "x", kNever));
  member.wait_applied(1);
  member.stop();
  EXPECT_FALSE(member.node().propose(2, "y", kNever));
}

}  // namespace
}  // namespace mortise::server
