#include "host/wal/writer.h"

#include <gtest/gtest.h>

#include <semaphore>

#include "host/wal/test_util.h"

namespace mortise::wal {
namespace {

// Holds each sync of the disk until the test lets it go.
class Gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_; });
  }
  void wait_for_arrival() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return arrived_ > 0; });
  }
  void open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int arrived_ = 0;
  bool open_ = false;
};

// What the callbacks said.
class Heard {
 public:
  WriterOptions options() {
    WriterOptions options;
    options.on_persisted = [this](uint64_t number) { note([&] { persisted_.push_back(number); }); };
    options.on_failed = [this](const Status& status) { note([&] { failed_.push_back(status); }); };
    options.on_release_failed = [this](const Status& status) {
      note([&] { release_failed_.push_back(status); });
    };
    return options;
  }
  void wait_for(uint64_t number) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !persisted_.empty() && persisted_.back() >= number; });
  }
  void wait_for_failure() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !failed_.empty(); });
  }
  std::vector<uint64_t> persisted() { return copy(persisted_); }
  std::vector<Status> failed() { return copy(failed_); }
  std::vector<Status> release_failed() { return copy(release_failed_); }

 private:
  template <typename Action>
  void note(Action action) {
    std::lock_guard lock(mutex_);
    action();
    changed_.notify_all();
  }
  template <typename T>
  T copy(const T& value) {
    std::lock_guard lock(mutex_);
    return value;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<uint64_t> persisted_;
  std::vector<Status> failed_;
  std::vector<Status> release_failed_;
};

class WriterTest : public testing::Test {
 protected:
  std::unique_ptr<Writer> make(WriterOptions options, uint64_t segment_bytes = 1 << 20) {
    Opened opened = open_log(sim_options(disk_, segment_bytes));
    EXPECT_TRUE(opened.status.ok()) << opened.status.message();
    recovered_ = opened.sink.entries;
    state_ = opened.wal->recovered().hard_state;
    return std::make_unique<Writer>(std::move(opened.wal), std::move(options));
  }

  Status submit(Writer& writer, uint64_t number, size_t bytes = 50) {
    const OwnedEntry owned = entry(number, 1, bytes);
    const EntryRecord records[] = {{owned.term, owned.index, owned.type, owned.data}};
    WriteRequest request;
    request.number = number;
    request.entries = records;
    request.must_sync = true;
    return writer.submit(request);
  }

  static WriteRequest state_only(uint64_t number, const HardState& state, bool must_sync = false) {
    WriteRequest request;
    request.number = number;
    request.hard_state = state;
    request.must_sync = must_sync;
    return request;
  }

  // Reads the log, after stop() of its writer.
  void read_back() { EXPECT_TRUE(make(Heard().options())->stop().ok()); }

  SimDisk disk_{1};
  std::vector<OwnedEntry> recovered_;  // What the last make() found.
  std::optional<HardState> state_;
};

TEST_F(WriterTest, WritesAndAcknowledgesInOrder) {
  Heard heard;
  auto writer = make(heard.options());
  for (uint64_t n = 1; n <= 500; ++n) ASSERT_TRUE(submit(*writer, n).ok());
  ASSERT_TRUE(writer->stop().ok());
  const auto persisted = heard.persisted();
  ASSERT_FALSE(persisted.empty());
  EXPECT_EQ(persisted.back(), 500u);
  EXPECT_TRUE(std::is_sorted(persisted.begin(), persisted.end()));
  EXPECT_EQ(persisted.size() + 1, writer->counters().batches);
  EXPECT_EQ(submit(*writer, 501).code(), StatusCode::kStopped);
  disk_.power_loss();
  read_back();
  EXPECT_EQ(recovered_.size(), 500u);
}

TEST_F(WriterTest, AllThatWaitsIsOneBatch) {
  Heard heard;
  Gate gate;
  auto writer = make(heard.options());
  const uint64_t syncs = writer->counters().sync.count;
  disk_.on_sync([&] { gate.pass(); });
  ASSERT_TRUE(submit(*writer, 1).ok());
  gate.wait_for_arrival();
  for (uint64_t n = 2; n <= 100; ++n) ASSERT_TRUE(submit(*writer, n).ok());
  EXPECT_TRUE(heard.persisted().empty());
  gate.open();
  ASSERT_TRUE(writer->stop().ok());
  EXPECT_EQ(heard.persisted(), (std::vector<uint64_t>{1, 100}));
  EXPECT_EQ(writer->counters().sync.count - syncs, 2u);
  disk_.on_sync(nullptr);
  read_back();
  EXPECT_EQ(recovered_.size(), 100u);
}

// A writer on a busy machine that has just written a batch large enough to gather the next one,
// with entries up to 9, and would gather for an hour.
class GatheringTest : public WriterTest {
 protected:
  void SetUp() override {
    WriterOptions options = heard_.options();
    options.gather_time = std::chrono::hours(1);
    options.machine_is_busy = [this] {
      asked_.release();
      return true;
    };
    Gate gate;
    writer_ = make(std::move(options), 8 << 20);
    disk_.on_sync([&] { gate.pass(); });
    ASSERT_TRUE(submit(*writer_, 1).ok());
    gate.wait_for_arrival();
    for (uint64_t n = 2; n < 2 + Writer::kGatherRecordsMin; ++n) {
      ASSERT_TRUE(submit(*writer_, n).ok());
    }
    gate.open();
    heard_.wait_for(9);
    disk_.on_sync(nullptr);
    asked_.acquire();
  }

  // Each after the thread had time to take the one before.
  void submit_slowly(uint64_t first, uint64_t last) {
    for (uint64_t n = first; n <= last; ++n) {
      ASSERT_TRUE(submit(*writer_, n).ok());
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }

  Heard heard_;
  std::counting_semaphore<> asked_{0};
  std::unique_ptr<Writer> writer_;
};

TEST_F(GatheringTest, EndsWithAVote) {
  submit_slowly(10, 20);
  ASSERT_TRUE(writer_->submit(state_only(21, {3, 7, 0})).ok());
  heard_.wait_for(21);
  EXPECT_EQ(heard_.persisted(), (std::vector<uint64_t>{1, 9, 21}));
}

TEST_F(GatheringTest, EndsWithEnoughBytes) {
  submit_slowly(10, 20);
  ASSERT_TRUE(submit(*writer_, 21, Writer::kGatherBytesMax).ok());
  heard_.wait_for(21);
  EXPECT_EQ(heard_.persisted(), (std::vector<uint64_t>{1, 9, 21}));
}

TEST_F(GatheringTest, EndsWithStop) {
  submit_slowly(10, 20);
  ASSERT_TRUE(writer_->stop().ok());
  EXPECT_EQ(heard_.persisted(), (std::vector<uint64_t>{1, 9, 20}));
  disk_.power_loss();
  read_back();
  EXPECT_EQ(recovered_.size(), 20u);
}

TEST_F(GatheringTest, IsForLargeBatchesOnly) {
  ASSERT_TRUE(submit(*writer_, 10).ok());
  ASSERT_TRUE(writer_->submit(state_only(11, {3, 7, 0})).ok());
  heard_.wait_for(11);
  const OwnedEntry owned = entry(11, 3, 50);  // After a batch of one.
  const EntryRecord records[] = {{owned.term, owned.index, owned.type, owned.data}};
  WriteRequest request;
  request.number = 12;
  request.entries = records;
  ASSERT_TRUE(writer_->submit(request).ok());
  heard_.wait_for(12);
}

TEST_F(WriterTest, CommitOnlyStatesWaitForTheNextBatch) {
  Heard heard;
  {
    auto writer = make(heard.options());
    WriteRequest first = state_only(1, {3, 7, 0});
    ASSERT_TRUE(writer->submit(first).ok());  // A new term is always written.
    heard.wait_for(1);
    EXPECT_EQ(writer->counters().batches, 2u);
    ASSERT_TRUE(writer->submit(state_only(2, {3, 7, 4})).ok());
    ASSERT_TRUE(writer->submit(state_only(5, {3, 7, 5})).ok());
    writer->defer_hard_state({3, 7, 6});
    heard.wait_for(5);
    EXPECT_EQ(writer->counters().batches, 2u);
    ASSERT_TRUE(submit(*writer, 6).ok());
    heard.wait_for(6);
    EXPECT_EQ(writer->counters().batches, 3u);
    disk_.limit_space(0);  // Nothing of what follows, stop() included, reaches the disk.
    ASSERT_TRUE(writer->submit(state_only(7, {3, 7, 9})).ok());
    heard.wait_for(7);
    EXPECT_FALSE(writer->stop().ok());
    disk_.limit_space(UINT64_MAX);
  }
  disk_.power_loss();
  read_back();
  EXPECT_EQ(state_, (HardState{3, 7, 6}));
}

TEST_F(WriterTest, StopFlushesDeferredStates) {
  Heard heard;
  auto writer = make(heard.options());
  ASSERT_TRUE(writer->submit(state_only(1, {2, 1, 0})).ok());
  writer->defer_hard_state({2, 1, 44});
  ASSERT_TRUE(writer->stop().ok());
  ASSERT_TRUE(writer->stop().ok());
  disk_.power_loss();
  read_back();
  EXPECT_EQ(state_, (HardState{2, 1, 44}));
}

TEST_F(WriterTest, VoteIsAlwaysWritten) {
  Heard heard;
  auto writer = make(heard.options());
  ASSERT_TRUE(writer->submit(state_only(1, {2, 1, 0})).ok());
  heard.wait_for(1);
  ASSERT_TRUE(writer->submit(state_only(2, {2, 5, 0})).ok());
  heard.wait_for(2);
  EXPECT_EQ(writer->counters().batches, 3u);
  ASSERT_TRUE(writer->submit(state_only(3, {2, 5, 1}, true)).ok());  // Asked for.
  heard.wait_for(3);
  EXPECT_EQ(writer->counters().batches, 4u);
}

TEST_F(WriterTest, SnapshotComesBeforeEntries) {
  Heard heard;
  {
    auto writer = make(heard.options());
    ASSERT_TRUE(submit(*writer, 1).ok());
    ASSERT_TRUE(submit(*writer, 2).ok());
    const EntryRecord records[] = {{5, 11, 0, "after"}};
    WriteRequest request;
    request.number = 3;
    request.snapshot = SnapshotMark{10, 5, true};
    request.entries = records;
    ASSERT_TRUE(writer->submit(request).ok());
    ASSERT_TRUE(writer->stop().ok());
  }
  read_back();
  EXPECT_EQ(recovered_, (std::vector<OwnedEntry>{{5, 11, 0, "after"}}));
}

TEST_F(WriterTest, FailedSyncIsFinal) {
  Heard heard;
  auto writer = make(heard.options());
  ASSERT_TRUE(submit(*writer, 1).ok());
  heard.wait_for(1);
  disk_.fail_syncs(true);
  ASSERT_TRUE(submit(*writer, 2).ok());
  heard.wait_for_failure();
  disk_.fail_syncs(false);
  EXPECT_EQ(submit(*writer, 3).code(), StatusCode::kIo);
  writer->release(1);
  EXPECT_EQ(writer->stop().code(), StatusCode::kIo);
  EXPECT_EQ(heard.persisted(), (std::vector<uint64_t>{1}));
  EXPECT_EQ(heard.failed().size(), 1u);
  EXPECT_EQ(writer->counters().batches, 2u);
  writer.reset();
  disk_.power_loss();
  read_back();
  ASSERT_GE(recovered_.size(), 1u);
  EXPECT_LE(recovered_.size(), 2u);
}

TEST_F(WriterTest, FullDiskIsFinalAndTheLogReopens) {
  Heard heard;
  auto writer = make(heard.options());
  disk_.limit_space(5000);
  uint64_t number = 0;
  while (submit(*writer, number + 1, 300).ok()) {
    ++number;
    ASSERT_LT(number, 100'000u);
  }
  EXPECT_EQ(writer->stop().code(), StatusCode::kNoSpace);
  ASSERT_EQ(heard.failed().size(), 1u);
  EXPECT_EQ(heard.failed()[0].code(), StatusCode::kNoSpace);
  const auto persisted = heard.persisted();
  const uint64_t acknowledged = persisted.empty() ? 0 : persisted.back();
  writer.reset();
  disk_.limit_space(UINT64_MAX);
  read_back();
  EXPECT_GE(recovered_.size(), acknowledged);
  for (size_t i = 0; i < recovered_.size(); ++i) EXPECT_EQ(recovered_[i], entry(i + 1, 1, 300));
}

TEST_F(WriterTest, FailureWakesAWaitingProducer) {
  Heard heard;
  Gate gate;
  WriterOptions options = heard.options();
  options.waiting_bytes_max = 100;
  auto writer = make(std::move(options));
  disk_.on_sync([&] { gate.pass(); });
  disk_.fail_syncs(true);
  ASSERT_TRUE(submit(*writer, 1).ok());
  gate.wait_for_arrival();
  ASSERT_TRUE(submit(*writer, 2).ok());  // Fills the room.
  Status refused;
  std::thread producer([&] { refused = submit(*writer, 3); });
  gate.open();
  producer.join();
  EXPECT_EQ(refused.code(), StatusCode::kIo);
}

TEST_F(WriterTest, WaitingBytesAreLimited) {
  Heard heard;
  Gate gate;
  WriterOptions options = heard.options();
  options.waiting_bytes_max = 1000;
  auto writer = make(std::move(options));
  disk_.on_sync([&] { gate.pass(); });
  ASSERT_TRUE(submit(*writer, 1).ok());
  gate.wait_for_arrival();
  std::thread producer([&] {
    for (uint64_t n = 2; n <= 21; ++n) ASSERT_TRUE(submit(*writer, n, 400).ok());
    ASSERT_TRUE(submit(*writer, 22, 5000).ok());  // Larger than the limit: goes alone.
  });
  gate.open();
  producer.join();
  ASSERT_TRUE(writer->stop().ok());
  // Two requests of 400 bytes fit together, so 20 of them make ten batches or more.
  EXPECT_GE(heard.persisted().size(), 12u);
  EXPECT_EQ(heard.persisted().back(), 22u);
  disk_.on_sync(nullptr);
  read_back();
  EXPECT_EQ(recovered_.size(), 22u);
}

TEST_F(WriterTest, RequestBeyondTheFormatIsRefused) {
  Heard heard;
  auto writer = make(heard.options());
  // Refused for its size; the bytes are never looked at.
  const EntryRecord records[] = {{1, 1, 0, std::string_view("x", kPayloadBytesMax)}};
  WriteRequest request;
  request.number = 1;
  request.entries = records;
  EXPECT_EQ(writer->submit(request).code(), StatusCode::kInvalid);
  ASSERT_TRUE(submit(*writer, 1).ok());
  heard.wait_for(1);
}

TEST_F(WriterTest, ReleaseRunsOnTheThread) {
  Heard heard;
  auto writer = make(heard.options(), 1024);
  for (uint64_t n = 1; n <= 20; ++n) ASSERT_TRUE(submit(*writer, n, 600).ok());
  heard.wait_for(20);
  writer->release(10);
  writer->release(19);
  writer->release(5);
  ASSERT_TRUE(writer->stop().ok());
  EXPECT_LE(writer->counters().segments, 2u);
  writer.reset();
  read_back();
  ASSERT_FALSE(recovered_.empty());
  EXPECT_EQ(recovered_.back().index, 20u);
}

TEST_F(WriterTest, FailedReleaseIsToldAndNotFatal) {
  Heard heard;
  auto writer = make(heard.options(), 1024);
  for (uint64_t n = 1; n <= 5; ++n) ASSERT_TRUE(submit(*writer, n, 900).ok());
  heard.wait_for(5);
  disk_.fail_removes(true);
  writer->release(4);
  ASSERT_TRUE(submit(*writer, 6, 900).ok());
  ASSERT_TRUE(writer->stop().ok());
  EXPECT_EQ(heard.release_failed().size(), 1u);
  EXPECT_EQ(heard.persisted().back(), 6u);
  EXPECT_TRUE(heard.failed().empty());
}

TEST_F(WriterTest, CallbackMayRelease) {
  Heard heard;
  WriterOptions options = heard.options();
  std::atomic<Writer*> target = nullptr;
  const auto persisted = options.on_persisted;
  options.on_persisted = [&](uint64_t number) {
    if (Writer* writer = target.load()) writer->release(number);
    persisted(number);
  };
  auto writer = make(std::move(options), 1024);
  target = writer.get();
  for (uint64_t n = 1; n <= 50; ++n) ASSERT_TRUE(submit(*writer, n, 300).ok());
  ASSERT_TRUE(writer->stop().ok());
  EXPECT_EQ(heard.persisted().back(), 50u);
}

TEST(WriterDeathTest, NumbersMustRise) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  SimDisk disk(1);
  Heard heard;
  Opened opened = open_log(sim_options(disk));
  Writer writer(std::move(opened.wal), heard.options());
  WriteRequest request;
  request.number = 1;
  ASSERT_TRUE(writer.submit(request).ok());
  EXPECT_DEATH(static_cast<void>(writer.submit(request)), "request 1 after 1");
}

}  // namespace
}  // namespace mortise::wal
