#include "host/mvcc/compactor.h"

#include <gtest/gtest.h>

#include "host/mvcc/hash.h"
#include "host/mvcc/test_model.h"
#include "host/mvcc/writer.h"

namespace mortise::mvcc {
namespace {

namespace pb = ::etcdserverpb;
using testing::Model;
using testing::Rows;
using testing::TestStore;

// How compactions of the running test scan.
ScanBy scan_by = ScanBy::kCheaper;

class Compactor : public ::testing::TestWithParam<ScanBy> {
 protected:
  void SetUp() override { scan_by = GetParam(); }
};
class CompactionHash : public Compactor {};
INSTANTIATE_TEST_SUITE_P(By, Compactor, ::testing::Values(ScanBy::kChanges, ScanBy::kKeys));
INSTANTIATE_TEST_SUITE_P(By, CompactionHash, ::testing::Values(ScanBy::kChanges, ScanBy::kKeys));

// Does the same to a store and to the model.
class Pair {
 public:
  Pair() { MORTISE_CHECK(writer_.open().ok(), "open"); }

  pb::TxnRequest& txn() { return txn_; }
  void add_put(const std::string& key) {
    auto* put = txn_.add_success()->mutable_request_put();
    put->set_key(key);
    put->set_value(key + "-value");
  }
  void add_delete(const std::string& key, const std::string& end = "") {
    auto* del = txn_.add_success()->mutable_request_delete_range();
    del->set_key(key);
    del->set_range_end(end);
  }
  void run_txn() {
    std::string bytes = txn_.SerializeAsString();
    wire::TxnRequest decoded;
    ASSERT_TRUE(wire::decode(bytes, &decoded));
    Outcome outcome;
    ASSERT_TRUE(writer_.txn(decoded, true, &outcome).ok());
    pb::TxnResponse response;
    EXPECT_TRUE(model_.txn(txn_, &response).ok());
    EXPECT_EQ(outcome.revision, model_.revision());
    txn_.Clear();
  }
  void put(const std::string& key) {
    add_put(key);
    run_txn();
  }
  void del(const std::string& key, const std::string& end = "") {
    add_delete(key, end);
    run_txn();
  }
  void commit() {
    std::shared_ptr<EventBatch> events;
    ASSERT_TRUE(writer_.commit(++applied_, 1, &events).ok());
  }
  void compact(int64_t revision) {
    model_hash_ = model_.compaction_hash(revision);
    ASSERT_TRUE(writer_.compact(revision).ok());
    ASSERT_TRUE(model_.compact(revision).ok());
    commit();
  }
  int64_t finished() { return finished_compaction(store_.get()->reader().value()).value(); }

  // Stops after `pieces` of `piece_versions`; the last `lost` of them never reach the store, as if
  // the process had been killed. True if it came to its end.
  bool remove(size_t pieces, size_t lost, uint64_t piece_versions, uint64_t* removed) {
    std::vector<std::unique_ptr<Removal>> emitted;
    ScanResult scan;
    CompactionOptions options;
    options.batch_versions_max = piece_versions;
    options.scan_by = scan_by;
    options.pause = [&] { return emitted.size() < pieces; };
    int64_t previous = finished();
    Status status = find_removals(
        *store_.get(), previous, model_.compacted(), options,
        [&](std::unique_ptr<Removal> r) { emitted.push_back(std::move(r)); }, &scan);
    *removed = scan.removed;
    EXPECT_TRUE(status.ok() || status.code() == StatusCode::kStopped) << status.message();
    size_t committed = emitted.size() - std::min(lost, emitted.size());
    for (size_t i = 0; i < committed; ++i) {
      EXPECT_TRUE(store_.get()->commit(emitted[i]->batch, applied_, 1).ok());
    }
    if (!status.ok() || committed != emitted.size()) return false;
    expect_compaction_hash(previous, &scan.hash);
    return true;
  }
  uint64_t remove_all() {
    uint64_t removed = 0;
    EXPECT_TRUE(remove(SIZE_MAX, 0, 1000, &removed));
    return removed;
  }
  void expect_rows() {
    EXPECT_EQ(store_.rows(store::kRevisions), model_.revision_rows());
    EXPECT_EQ(store_.rows(store::kKeyHistory), model_.history_rows());
    EXPECT_EQ(store_.rows(store::kCurrent), model_.current_rows());
  }
  void expect_hashes() {
    View view = View::open(*store_.get()).value();
    for (int64_t r = std::max<int64_t>(model_.compacted(), 1); r <= model_.revision(); ++r) {
      HashKvResult result;
      ASSERT_TRUE(hash_kv(view, r, &result).ok());
      EXPECT_EQ(result.hash, model_.hash_kv(r))
          << "at " << r << ", compacted " << model_.compacted();
    }
  }
  uint32_t hash() {
    HashKvResult result;
    EXPECT_TRUE(hash_kv(View::open(*store_.get()).value(), 0, &result).ok());
    return result.hash;
  }
  // What is read at every revision that is kept, by key.
  void expect_reads() {
    View view = View::open(*store_.get()).value();
    ReadContext context{&view.reader(), nullptr, nullptr, view.state().revision,
                        view.state().compacted};
    for (int64_t r = std::max<int64_t>(model_.compacted(), 1); r <= model_.revision(); ++r) {
      wire::RangeRequest request;
      request.key = std::string_view("\0", 1);
      request.range_end = request.key;
      request.revision = r;
      ByteBuffer body;
      RangeResult result;
      ASSERT_TRUE(range(context, request, &body, &result).ok());
      ASSERT_TRUE(result.rpc.ok());
      pb::RangeResponse got;
      ASSERT_TRUE(got.ParseFromString(std::string(body.view())));
      Model::State expected = model_.at(r);
      ASSERT_EQ(static_cast<size_t>(got.kvs_size()), expected.size()) << "at " << r;
      auto it = expected.begin();
      for (const auto& kv : got.kvs())
        EXPECT_EQ(kv.SerializeAsString(), (it++)->second.SerializeAsString());
    }
  }
  void expect_all() {
    expect_rows();
    expect_hashes();
    expect_reads();
  }
  // From the start of a compaction that no other waited behind and that was not interrupted.
  void watch_hash() { watches_hash_ = true; }
  Rows rows(store::Keyspace keyspace) const { return store_.rows(keyspace); }
  int64_t revision() const { return model_.revision(); }

 private:
  void expect_compaction_hash(int64_t previous, ScanHash* hash) {
    if (!watches_hash_) return;
    if (!hash->kept) {
      hash->kept.emplace();
      ASSERT_TRUE(hash_rows_up_to(
                      *store_.get(), previous, [] { return true; }, &*hash->kept)
                      .ok());
    }
    EXPECT_EQ(join(*hash->kept, hash->since), model_hash_)
        << "compacted " << model_.compacted() << " after " << previous;
  }

  Model model_;
  TestStore store_;
  Writer writer_{store_.get(), [](int64_t) { return false; }, [] { return false; }};
  pb::TxnRequest txn_;
  uint64_t applied_ = 0;
  bool watches_hash_ = false;
  uint32_t model_hash_ = 0;
};

// Every kind of history: overwritten, deleted, made again, several changes in one txn.
void write_history(Pair* pair) {
  for (int round = 0; round < 3; ++round) {
    for (std::string key : {"a", "b", "c", "d"}) pair->put(key);
    pair->del("b");
    pair->add_put("e");
    pair->add_delete("e");
    pair->run_txn();
    pair->add_delete("a", std::string(1, '\0'));
    pair->add_put("a");
    pair->add_put("c");
    pair->run_txn();
  }
  pair->commit();
}

TEST_P(Compactor, ResumesAfterEveryPiece) {
  for (uint64_t piece_versions : {1, 2, 5}) {
    for (size_t lost : {0, 1}) {
      size_t stop_after = 0;
      for (bool whole = false; !whole; ++stop_after) {
        Pair pair;
        write_history(&pair);
        pair.compact(pair.revision() - 3);
        uint64_t removed = 0;
        whole = pair.remove(stop_after + 1, lost, piece_versions, &removed) || stop_after > 50;
        pair.expect_hashes();
        pair.expect_reads();
        // More is written before it goes on.
        pair.put("b");
        pair.del("c");
        pair.commit();
        pair.remove_all();
        pair.expect_all();
        EXPECT_EQ(pair.finished(), pair.revision() - 5);
        ASSERT_FALSE(::testing::Test::HasFailure())
            << piece_versions << " a piece, " << stop_after << " pieces";
      }
      EXPECT_GT(stop_after, 2u);
    }
  }
}

TEST_P(Compactor, StoppedAtEveryPieceItStillEnds) {
  Pair pair;
  write_history(&pair);
  pair.compact(pair.revision());
  uint64_t removed = 0;
  int runs = 1;
  while (!pair.remove(1, 0, 1, &removed)) {
    pair.expect_hashes();
    ASSERT_LT(++runs, 1000);
  }
  EXPECT_GT(runs, 10);
  pair.expect_all();
}

TEST_P(Compactor, AtEveryRevisionInTurn) {
  Pair pair;
  pair.watch_hash();
  write_history(&pair);
  for (int64_t r = 0; r <= pair.revision(); ++r) {
    pair.compact(r);
    pair.expect_hashes();
    pair.remove_all();
    pair.expect_all();
    ASSERT_FALSE(HasFailure()) << "compacted " << r;
  }
}

TEST_P(Compactor, AtEveryRevisionFromTheStart) {
  for (int64_t r = 2; r <= 22; ++r) {
    Pair pair;
    pair.watch_hash();
    write_history(&pair);
    pair.compact(r);
    pair.remove_all();
    pair.expect_all();
    ASSERT_FALSE(HasFailure()) << "compacted " << r;
  }
}

TEST_P(Compactor, SkippedCompactionsAreMadeUpFor) {
  Pair pair;
  write_history(&pair);
  pair.compact(5);
  pair.compact(9);
  pair.remove_all();
  pair.expect_all();
  write_history(&pair);
  pair.compact(pair.revision());
  pair.remove_all();
  pair.expect_all();
}

TEST_P(Compactor, TombstoneAtTheCompactedRevisionStaysUntilTheNext) {
  Pair pair;
  pair.put("k");  // 2
  pair.del("k");  // 3
  pair.put("x");  // 4
  pair.commit();
  pair.compact(3);
  EXPECT_EQ(pair.remove_all(), 1u);
  EXPECT_TRUE(pair.rows(store::kRevisions).contains(encode_revision({3, 0}, true)));
  EXPECT_TRUE(pair.rows(store::kKeyHistory).contains(history_key("k", 3)));
  pair.expect_all();
  pair.compact(4);
  EXPECT_EQ(pair.remove_all(), 1u);
  EXPECT_EQ(pair.rows(store::kRevisions).size(), 1u);
  pair.expect_all();
}

TEST_P(Compactor, TxnThatDeletesAndPutsAKeyKeepsThePut) {
  for (int64_t compacted : {3, 4}) {
    Pair pair;
    pair.put("k");  // 2
    pair.add_delete("k", std::string(1, '\0'));
    pair.add_put("k");
    pair.run_txn();  // 3
    pair.put("x");   // 4
    pair.commit();
    pair.compact(compacted);
    EXPECT_EQ(pair.remove_all(), 2u);
    EXPECT_TRUE(pair.rows(store::kRevisions).contains(encode_revision({3, 1})));
    EXPECT_TRUE(pair.rows(store::kKeyHistory).contains(history_key("k", 3)));
    pair.expect_all();
  }
}

TEST_P(Compactor, TxnThatPutsAndDeletesAKeyCountsEachVersionOnce) {
  Pair pair;
  pair.put("k");  // 2
  pair.add_put("k");
  pair.add_delete("k", std::string(1, '\0'));
  pair.run_txn();  // 3
  pair.put("x");   // 4
  pair.commit();
  pair.compact(4);
  EXPECT_EQ(pair.remove_all(), 3u);
  EXPECT_EQ(pair.rows(store::kRevisions).size(), 1u);
  EXPECT_EQ(pair.rows(store::kKeyHistory).size(), 1u);
  pair.expect_all();
}

TEST_P(CompactionHash, IsThatOfTheHistoryBeforeRowsGo) {
  for (int64_t step : {2, 3, 7}) {
    Pair pair;
    pair.watch_hash();
    for (int round = 0; round < 3; ++round) {
      int64_t from = pair.revision();
      write_history(&pair);
      for (int64_t r = from + 1; r <= pair.revision(); r += step) {
        pair.compact(r);
        pair.remove_all();
        ASSERT_FALSE(HasFailure()) << "step " << step;
      }
    }
  }
}

TEST_P(CompactionHash, WhereNoKeyIsLeftCoversAllThatTheLastCompactionLeft) {
  Pair pair;
  pair.watch_hash();
  pair.put("a");  // 2
  pair.put("b");  // 3
  pair.commit();
  pair.compact(3);
  pair.remove_all();
  pair.del("a", "c");  // 4
  pair.put("x");       // 5
  pair.del("x");       // 6
  pair.commit();
  for (int64_t r : {4, 5, 6}) {
    pair.compact(r);
    pair.remove_all();
  }
  pair.put("y");  // 7
  pair.del("y");  // 8
  pair.del("no such key");
  pair.put("z");  // 9
  pair.del("z");  // 10
  pair.put("z");  // 11
  pair.commit();
  pair.compact(7);
  pair.remove_all();
  pair.compact(10);
  pair.remove_all();
  pair.expect_all();
}

TEST(PastHashes, KeepsTheNewest) {
  PastHashes hashes;
  for (int64_t r : {3, 1, 2}) hashes.add({static_cast<uint32_t>(r * 100), r - 1, r});
  EXPECT_EQ(hashes.find(2)->hash, 200u);
  EXPECT_EQ(hashes.find(2)->compact_revision, 1);
  for (int64_t r = 4; r <= 11; ++r) hashes.add({0, r - 1, r});
  EXPECT_FALSE(hashes.find(1).has_value());
  EXPECT_TRUE(hashes.find(2).has_value());
  EXPECT_TRUE(hashes.find(11).has_value());
  EXPECT_FALSE(hashes.find(12).has_value());
}

// Where nothing lives at the revision, etcd has no set of revisions to keep and skips none.
TEST(HashKv, CoversAllThatIsStoredWhereNoKeyIsLeft) {
  Pair pair;
  pair.put("k");  // 2
  pair.put("k");  // 3
  pair.commit();
  pair.compact(3);
  pair.del("k");  // 4
  pair.commit();
  pair.expect_hashes();
  pair.remove_all();
  pair.expect_hashes();
  // The numbers are those of etcd 3.7.1 after the same commands.
  EXPECT_EQ(pair.hash(), 3226876590u);
  pair.put("x");
  pair.commit();
  pair.expect_hashes();
  EXPECT_EQ(pair.hash(), 2707496909u);
}

}  // namespace
}  // namespace mortise::mvcc
