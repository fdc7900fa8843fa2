// What a leader's SnapshotSender hands to the transport, a follower's SnapshotReceiver makes a
// store of.
#include <gtest/gtest.h>

#include <deque>
#include <filesystem>

#include "host/apply/applier.h"
#include "host/bbolt/test_rows.h"
#include "host/loader/loader.h"
#include "host/mvcc/hash.h"
#include "host/mvcc/test_store.h"
#include "host/mvcc/writer.h"
#include "host/server/snapshot_receiver.h"
#include "host/server/snapshot_sender.h"

namespace mortise::server {
namespace {

namespace fs = std::filesystem;

const mortise_backend_v1* memory_backend() {
  std::string plugins = std::string(std::getenv("MORTISE_BUILD_DIR")) + "/plugins";
  return loader::backend(*loader::load("memory", {plugins}, "backend_").value()).value();
}

class StateTransferTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/mortise-state-transfer-XXXXXX";
    root_ = ::mkdtemp(path);
    dir_.emplace(DataDir::open(root_ + "/node.etcd", "", "memory").value());
    log_ = Log::open({.level = "error"}).value();
    fill_leader();
    make_sender();
    make_receiver();
    follower_ = open_store(dir_->store_path()).value();
  }
  void TearDown() override {
    taken_.clear();
    receiver_->close();
    follower_.reset();
    fs::remove_all(root_);
  }

  // 50 keys, at index 9 of the log.
  void fill_leader() {
    raft::ConfState conf_state;
    conf_state.voters = {1, 2};
    mvcc::Writer writer(
        leader_.get(), [](int64_t) { return true; }, [] { return false; });
    ASSERT_TRUE(writer.open().ok());
    writer.put_row(store::kMeta, apply::kConfStateKey, apply::encode_conf_state(conf_state));
    for (int i = 0; i < 50; ++i) {
      std::string key = "key" + std::to_string(i), value(2000, 'v');
      wire::PutRequest put;
      put.key = key;
      put.value = value;
      mvcc::Outcome outcome;
      ASSERT_TRUE(writer.put(put, false, &outcome).ok());
    }
    std::shared_ptr<mvcc::EventBatch> events;
    ASSERT_TRUE(writer.commit(9, 3, &events).ok());
  }
  void make_sender() {
    SnapshotSenderOptions options;
    options.store = leader_.get();
    options.storage_version = "3.7.0";
    options.between_commits = options.run_step = [this](std::function<void()> step) {
      steps_.push_back(std::move(step));
      return true;
    };
    options.is_member = [this](raft::NodeId) { return is_member_; };
    options.send = [this](raft::Message message, std::unique_ptr<peer::SnapshotSource> source) {
      sent_.push_back({std::move(message), std::move(source)});
    };
    options.failed = [this](raft::NodeId to) { failed_.push_back(to); };
    options.log = log_.get();
    sender_ = std::make_unique<SnapshotSender>(std::move(options));
  }
  void make_receiver() {
    SnapshotReceiverOptions options;
    options.dir = &*dir_;
    options.cluster_id = 5;
    options.member_id = 2;
    options.open_store = [this](const std::string& path) { return open_store(path); };
    options.applied_index = [this] { return applied_index_; };
    options.step = [this](raft::Message message) {
      taken_.push_back(std::move(message));
      return Status();
    };
    options.log = log_.get();
    receiver_ = std::make_unique<SnapshotReceiver>(std::move(options));
  }
  Result<std::unique_ptr<store::Store>> open_store(const std::string& path) {
    return store::Store::open(memory_backend(), host_.get(), path, "{}");
  }
  void run_steps() {
    while (!steps_.empty()) {
      auto step = std::move(steps_.front());
      steps_.pop_front();
      step();
    }
  }
  static raft::Message wanted(raft::NodeId to = 2) {
    raft::Message message;
    message.type = raft::MessageType::kSnap;
    message.from = 1;
    message.to = to;
    message.term = 3;
    message.snapshot = std::make_shared<raft::Snapshot>(raft::Snapshot{.index = 7, .term = 3});
    return message;
  }
  struct Sent {
    raft::Message message;
    std::unique_ptr<peer::SnapshotSource> source;
  };
  Sent send() {
    sender_->send(wanted());
    run_steps();
    MORTISE_CHECK(!sent_.empty(), "nothing was sent");
    Sent sent = std::move(sent_.front());
    sent_.pop_front();
    return sent;
  }
  static std::string read_all(peer::SnapshotSource* source) {
    std::string file, buffer(10'000, '\0');
    for (;;) {
      auto n = source->read(std::span<char>(buffer));
      EXPECT_TRUE(n.ok()) << n.status().message();
      if (!n.ok() || *n == 0) return file;
      file.append(buffer, 0, *n);
    }
  }
  Status receive(raft::Message message, const std::string& file, uint64_t bytes) {
    auto sink = receiver_->receive(std::move(message), bytes);
    if (!sink.ok()) return sink.status();
    for (size_t at = 0; at < file.size(); at += 5000) {
      MORTISE_RETURN_IF_ERROR((*sink)->write(std::string_view(file).substr(at, 5000)));
    }
    return (*sink)->finish();
  }
  Status transfer() {
    Sent sent = send();
    return receive(sent.message, read_all(sent.source.get()), sent.source->size());
  }
  // Names in member/.
  std::set<std::string> names() {
    std::set<std::string> out;
    for (const auto& entry : fs::directory_iterator(dir_->member_path())) {
      if (entry.path().filename() == "snap") {
        EXPECT_TRUE(fs::is_empty(entry.path()));
      } else {
        out.insert(entry.path().filename());
      }
    }
    return out;
  }
  uint32_t hash(const store::Store& store) {
    mvcc::HashKvResult result;
    EXPECT_TRUE(mvcc::hash_kv(mvcc::View::open(store).value(), 0, &result).ok());
    return result.hash;
  }
  static int64_t revision(const store::Reader& reader) {
    return mvcc::read_state(reader).value().revision;
  }

  std::string root_;
  loader::HostObject host_{loader::HostOptions{}};
  std::unique_ptr<Log> log_;
  testing::TestStore leader_;
  std::optional<DataDir> dir_;
  std::unique_ptr<store::Store> follower_;
  std::unique_ptr<SnapshotSender> sender_;
  std::unique_ptr<SnapshotReceiver> receiver_;
  std::deque<std::function<void()>> steps_;
  std::deque<Sent> sent_;
  std::vector<raft::NodeId> failed_;
  std::vector<raft::Message> taken_;
  bool is_member_ = true;
  uint64_t applied_index_ = 0;
};

const std::set<std::string> kOnlyOld{"LOCK", "store"};
const std::set<std::string> kBoth{"LOCK", "store", "store-0000000000000009"};
const std::set<std::string> kOnlyNew{"LOCK", "store-0000000000000009"};

TEST_F(StateTransferTest, TheMessageSaysWhatTheFileIs) {
  Sent sent = send();
  EXPECT_EQ(sent.message.snapshot->index, 9);
  EXPECT_EQ(sent.message.snapshot->term, 3);
  EXPECT_EQ(sent.message.snapshot->conf_state.voters, (std::vector<raft::NodeId>{1, 2}));
  EXPECT_NE(sent.message.snapshot->data.find("\"CurrentVersion\":2"), std::string::npos);
  EXPECT_EQ(sent.message.term, 3);
  EXPECT_EQ(read_all(sent.source.get()).size(), sent.source->size());
}

TEST_F(StateTransferTest, RaftTakesTheSnapshot) {
  ASSERT_TRUE(transfer().ok());
  ASSERT_EQ(taken_.size(), 1);
  EXPECT_EQ(names(), kBoth);
  auto before = follower_->reader().value();

  follower_->switch_to(receiver_->take(taken_[0].snapshot));
  taken_.clear();
  EXPECT_EQ(hash(*follower_), hash(*leader_.get()));
  EXPECT_EQ(revision(follower_->reader().value()), 51);
  uint64_t index, term;
  ASSERT_TRUE(follower_->applied(&index, &term).ok());
  EXPECT_EQ(index, 9);
  EXPECT_EQ(term, 3);

  // Who reads the old store goes on, and then it goes.
  receiver_->remove_discarded();
  EXPECT_EQ(follower_->reap(), std::vector<std::string>());
  EXPECT_EQ(revision(before), 1);
  before.close();
  EXPECT_EQ(follower_->reap(), std::vector<std::string>{dir_->store_path()});
  EXPECT_EQ(follower_->reap(), std::vector<std::string>());
  fs::remove_all(dir_->store_path());
  EXPECT_EQ(names(), kOnlyNew);

  // And it is all there after a start.
  follower_.reset();
  follower_ = open_store(dir_->store_path(9)).value();
  EXPECT_EQ(hash(*follower_), hash(*leader_.get()));
}

TEST_F(StateTransferTest, RaftIgnoresTheSnapshot) {
  ASSERT_TRUE(transfer().ok());
  receiver_->remove_discarded();
  EXPECT_EQ(names(), kBoth);
  taken_.clear();
  receiver_->remove_discarded();
  EXPECT_EQ(names(), kOnlyOld);
  // It may come again.
  EXPECT_TRUE(transfer().ok());
}

TEST_F(StateTransferTest, TheSameOneWaitsForRaft) {
  ASSERT_TRUE(transfer().ok());
  EXPECT_EQ(transfer().code(), StatusCode::kInUse);
  EXPECT_EQ(names(), kBoth);
  EXPECT_EQ(taken_.size(), 1);
}

TEST_F(StateTransferTest, OneThatIsNotNewerIsNotLoaded) {
  applied_index_ = 9;
  EXPECT_TRUE(transfer().ok());
  ASSERT_EQ(taken_.size(), 1);
  EXPECT_EQ(receiver_->take(taken_[0].snapshot), nullptr);
  EXPECT_EQ(names(), kOnlyOld);
}

TEST_F(StateTransferTest, BadFilesLeaveNothingBehind) {
  Sent sent = send();
  const std::string file = read_all(sent.source.get());
  EXPECT_EQ(receive(sent.message, file.substr(0, file.size() - 1), file.size()).message(),
            "the snapshot's file has " + std::to_string(file.size() - 1) + " bytes of the " +
                std::to_string(file.size()) + " that it should have");
  EXPECT_EQ(receive(sent.message, file.substr(0, 20'000), 0).code(), StatusCode::kCorruption);
  EXPECT_EQ(receive(sent.message, "", 0).code(), StatusCode::kCorruption);
  std::string damaged = file;
  damaged[damaged.size() / 2] ^= 1;
  damaged[4096 * 3] ^= 1;
  EXPECT_FALSE(receive(sent.message, damaged, file.size()).ok());
  auto buckets = bbolt::read_image(file).value();
  buckets["auth"]["authEnabled"] = "\1";
  EXPECT_EQ(receive(sent.message, bbolt::write_image(buckets), 0).message(),
            "the cluster has authentication enabled, which this member cannot enforce "
            "(--auth-plugin=none): it must not serve the data");
  EXPECT_EQ(names(), kOnlyOld);
  EXPECT_TRUE(taken_.empty());
  EXPECT_TRUE(receive(sent.message, file, file.size()).ok());
}

TEST_F(StateTransferTest, AConnectionThatEndsEarly) {
  Sent sent = send();
  std::string file = read_all(sent.source.get());
  {
    auto sink = receiver_->receive(sent.message, file.size()).value();
    ASSERT_TRUE(sink->write(file.substr(0, 10'000)).ok());
  }
  EXPECT_EQ(names(), kOnlyOld);
}

TEST_F(StateTransferTest, NotMoreThanSomeAtOnce) {
  auto first = receiver_->receive(wanted(), 0);
  auto second = receiver_->receive(wanted(), 0);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(receiver_->receive(wanted(), 0).status().code(), StatusCode::kDropped);
  first->reset();
  EXPECT_TRUE(receiver_->receive(wanted(), 0).ok());

  for (int i = 0; i < kSnapshotsSentMax; ++i) sender_->send(wanted());
  sender_->send(wanted(7));
  EXPECT_TRUE(failed_.empty());  // Not within the call.
  run_steps();
  EXPECT_EQ(failed_, std::vector<raft::NodeId>{7});
  EXPECT_EQ(sent_.size(), kSnapshotsSentMax);
  sent_.pop_front();
  sender_->send(wanted());
  run_steps();
  EXPECT_EQ(sent_.size(), kSnapshotsSentMax);
}

TEST_F(StateTransferTest, AMemberThatWasRemovedGetsNone) {
  is_member_ = false;
  sender_->send(wanted());
  run_steps();
  EXPECT_TRUE(sent_.empty());
  EXPECT_EQ(failed_, std::vector<raft::NodeId>{2});
}

TEST_F(StateTransferTest, Stop) {
  sender_->send(wanted());
  sender_->stop();
  run_steps();
  EXPECT_TRUE(sent_.empty());

  make_sender();
  Sent sent = send();
  std::string file = read_all(sent.source.get());
  auto sink = receiver_->receive(sent.message, file.size()).value();
  ASSERT_TRUE(sink->write(file.substr(0, 10'000)).ok());
  receiver_->stop();
  EXPECT_EQ(sink->write(file.substr(10'000)).code(), StatusCode::kStopped);
  EXPECT_EQ(sink->finish().code(), StatusCode::kStopped);
  EXPECT_FALSE(receiver_->receive(sent.message, 0).ok());
}

}  // namespace
}  // namespace mortise::server
