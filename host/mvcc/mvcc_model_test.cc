// Random histories on the store and on a model of etcd's: every response, every event, every row
// and every hash must be the same. A failure prints the seed.
#include <gtest/gtest.h>

#include "host/mvcc/compactor.h"
#include "host/mvcc/hash.h"
#include "host/mvcc/test_random.h"
#include "host/mvcc/writer.h"

namespace mortise::mvcc {
namespace {

using testing::escape;
using testing::Model;
using testing::RandomOptions;
using testing::RandomRequests;
using testing::Rows;
using testing::TestStore;
namespace pb = ::etcdserverpb;

class History {
 public:
  History(uint64_t seed, RandomOptions options)
      : random_(seed, &model_, options),
        keeps_prev_(seed % 2 == 0),
        writer_(
            store_.get(), [this](int64_t id) { return model_.leases().contains(id); },
            [this] { return keeps_prev_; }) {
    EXPECT_TRUE(writer_.open().ok());
  }

  void step() {
    uint64_t kind = random_.below(100);
    if (kind < 30)
      put(random_.put());
    else if (kind < 38)
      delete_range(random_.delete_range());
    else if (kind < 70)
      txn(random_.txn());
    else if (kind < 75)
      grant();
    else if (kind < 78)
      revoke();
    else if (kind < 79)
      compact(random_.revision());
    else if (kind < 85)
      commit();
    else
      read(random_.range());
  }

  void grant() {
    constexpr int64_t kIds[] = {1, 2, INT64_MAX, -2,
                                -1};  // The highest name of a row is that of -1.
    model_.grant(kIds[random_.below(5)]);
  }
  void put(const pb::PutRequest& request) {
    pb::PutResponse expected;
    wire::PutRequest decoded;
    std::string bytes = request.SerializeAsString();
    ASSERT_TRUE(wire::decode(bytes, &decoded));
    Outcome outcome;
    ASSERT_TRUE(writer_.put(decoded, true, &outcome).ok());
    compare(request, model_.put(request, &expected), expected, outcome);
  }
  void delete_range(const pb::DeleteRangeRequest& request) {
    pb::DeleteRangeResponse expected;
    wire::DeleteRangeRequest decoded;
    std::string bytes = request.SerializeAsString();
    ASSERT_TRUE(wire::decode(bytes, &decoded));
    Outcome outcome;
    ASSERT_TRUE(writer_.delete_range(decoded, true, &outcome).ok());
    compare(request, model_.delete_range(request, &expected), expected, outcome);
  }
  void txn(const pb::TxnRequest& request) {
    // Reads at a revision of the batch need it committed; the applier does that.
    if (newest_read(request) > committed_) commit();
    pb::TxnResponse expected;
    wire::TxnRequest decoded;
    std::string bytes = request.SerializeAsString();
    ASSERT_TRUE(wire::decode(bytes, &decoded));
    Outcome outcome;
    bool respond = random_.percent(90);
    ASSERT_TRUE(writer_.txn(decoded, respond, &outcome).ok());
    RpcStatus rpc = model_.txn(request, &expected);
    if (respond) return compare(request, rpc, expected, outcome);
    EXPECT_EQ(outcome.rpc.message(), rpc.message());
    EXPECT_TRUE(outcome.body.empty());
    EXPECT_EQ(outcome.revision, rpc.ok() ? model_.revision() : 0);
  }
  void revoke() {
    if (model_.leases().empty()) return;
    int64_t lease = *std::next(model_.leases().begin(),
                               static_cast<int64_t>(random_.below(model_.leases().size())));
    Outcome outcome;
    ASSERT_TRUE(writer_.revoke_lease(lease, &outcome).ok());
    model_.revoke(lease);
    EXPECT_EQ(outcome.revision, model_.revision());
  }
  void compact(int64_t revision) {
    EXPECT_EQ(writer_.compact(revision).message(), model_.compact(revision).message());
  }
  void commit() {
    std::shared_ptr<EventBatch> batch;
    ASSERT_TRUE(writer_.commit(++applied_, 1, &batch).ok());
    EXPECT_EQ(batch->first_revision, committed_ + 1);
    EXPECT_EQ(batch->last_revision, model_.revision());
    committed_ = model_.revision();
    check_events(*batch);
    if (random_.percent(5)) remove_compacted();
    if (random_.percent(3)) check_rows();
  }
  void finish() {
    commit();
    remove_compacted();
    check_rows();
    for (int i = 0; i < 50; ++i) read(random_.range());
  }
  const Model& model() const { return model_; }
  RandomRequests& random() { return random_; }
  uint64_t removed() const { return removed_; }
  uint64_t blocks_most() const { return blocks_most_; }
  void reopen() {
    commit();
    writer_.~Writer();
    store_.reopen();
    new (&writer_) Writer(
        store_.get(), [this](int64_t id) { return model_.leases().contains(id); },
        [this] { return keeps_prev_; });
    ASSERT_TRUE(writer_.open().ok());
    EXPECT_EQ(writer_.revision(), model_.revision());
    EXPECT_EQ(writer_.key_count(), model_.current().size());
  }

  // The committed store, with the counts beside it and without.
  void read(const pb::RangeRequest& request) {
    if (model_.revision() != committed_) commit();
    View view = View::open(*store_.get()).value();
    StoredBlockCounts counts(&view.reader());
    for (const BlockCounts* with :
         {static_cast<const BlockCounts*>(&counts), (const BlockCounts*)nullptr}) {
      ReadContext context;
      context.reader = &view.reader();
      context.counts = with;
      context.revision = view.state().revision;
      context.compacted = view.state().compacted;
      // The compaction itself may wait for the next commit.
      if (context.compacted != model_.compacted()) return;
      pb::RangeResponse expected;
      wire::RangeRequest decoded;
      std::string bytes = request.SerializeAsString();
      ASSERT_TRUE(wire::decode(bytes, &decoded));
      Outcome outcome;
      RangeResult result;
      ASSERT_TRUE(range(context, decoded, &outcome.body, &result).ok());
      if (result.rpc.ok()) append_range_tail(result, &outcome.body);
      outcome.rpc = result.rpc;
      outcome.revision = context.revision;
      compare(request, model_.range(request, &expected), expected, outcome);
    }
  }

  void check_hashes() {
    View view = View::open(*store_.get()).value();
    for (int i = 0; i < 4; ++i) {
      int64_t revision = i == 0 ? 0 : random_.revision();
      HashKvResult result;
      ASSERT_TRUE(hash_kv(view, revision, &result).ok());
      if (revision < 0) continue;
      if (revision > 0 && revision < model_.compacted()) {
        EXPECT_EQ(result.rpc.message(), RpcStatus(rpc_errors::kCompacted).message());
      } else if (revision > model_.revision()) {
        EXPECT_EQ(result.rpc.message(), RpcStatus(rpc_errors::kFutureRevision).message());
      } else {
        EXPECT_EQ(result.hash, model_.hash_kv(revision == 0 ? model_.revision() : revision))
            << "at " << revision << " of " << model_.revision() << ", compacted "
            << model_.compacted();
        EXPECT_EQ(result.compact_revision, model_.compacted());
      }
    }
  }

  // Runs the compaction, stopped after every piece and started anew, so far as chance says.
  void remove_compacted() {
    if (model_.compacted() != view_state().compacted) commit();
    check_hashes();
    bool first = true;
    for (bool done = false; !done;) {
      int64_t previous = finished_compaction(store_.get()->reader().value()).value();
      if (previous == model_.compacted()) break;
      CompactionOptions options;
      options.batch_versions_max = 1 + random_.below(20);
      // One that was interrupted goes on by keys.
      options.scan_by = first && random_.percent(50) ? ScanBy::kChanges : ScanBy::kKeys;
      first = false;
      options.pause = [this] { return random_.percent(70); };
      ScanResult scan;
      Status status = find_removals(
          *store_.get(), previous, model_.compacted(), options,
          [&](std::unique_ptr<Removal> r) {
            ASSERT_TRUE(store_.get()->commit(r->batch, applied_, 1).ok());
          },
          &scan);
      done = status.ok();
      EXPECT_TRUE(done || status.code() == StatusCode::kStopped) << status.message();
      removed_ += scan.removed;
      if (random_.percent(30)) check_hashes();
    }
    EXPECT_EQ(finished_compaction(store_.get()->reader().value()).value(), model_.compacted());
  }

  void check_rows() {
    if (view_state().compacted != model_.compacted()) commit();
    remove_compacted();
    EXPECT_EQ(store_.rows(store::kRevisions), model_.revision_rows());
    EXPECT_EQ(store_.rows(store::kKeyHistory), model_.history_rows());
    EXPECT_EQ(store_.rows(store::kCurrent), model_.current_rows());
    EXPECT_EQ(store_.rows(store::kLeaseKeys), model_.lease_key_rows());
    EXPECT_EQ(writer_.key_count(), model_.current().size());
    check_blocks();
    check_hashes();
  }

 private:
  static int64_t newest_read(const pb::TxnRequest& request) {
    int64_t newest = 0;
    for (const auto* branch : {&request.success(), &request.failure()}) {
      for (const pb::RequestOp& op : *branch) {
        newest = std::max(newest, op.has_request_range() ? op.request_range().revision() : 0);
        if (op.has_request_txn()) newest = std::max(newest, newest_read(op.request_txn()));
      }
    }
    return newest;
  }
  State view_state() { return View::open(*store_.get()).value().state(); }

  template <typename Request, typename Response>
  void compare(const Request& request, const RpcStatus& rpc, const Response& expected,
               const Outcome& outcome) {
    ASSERT_EQ(outcome.rpc.message(), rpc.message()) << request.ShortDebugString();
    ASSERT_EQ(outcome.rpc.code(), rpc.code());
    if (!rpc.ok()) {
      EXPECT_EQ(outcome.body.size(), 0u);
      return;
    }
    Response got;
    ASSERT_TRUE(got.ParseFromString(std::string(outcome.body.view())));
    if (outcome.revision != 0) got.mutable_header()->set_revision(outcome.revision);
    ASSERT_EQ(got.SerializeAsString(), expected.SerializeAsString())
        << request.ShortDebugString() << "\n  expected " << expected.ShortDebugString()
        << "\n  got " << got.ShortDebugString();
  }

  void check_events(const EventBatch& batch) {
    size_t published = published_;
    published_ = model_.log().size();
    ASSERT_EQ(batch.events.size(), published_ - published);
    for (const Event& event : batch.events) {
      const Model::Version& v = model_.log()[published++];
      EXPECT_EQ(event.revision, (Revision{v.main, v.sub}));
      EXPECT_EQ(event.is_delete, v.tombstone);
      EXPECT_EQ(event.is_create, !v.tombstone && !v.before);
      EXPECT_EQ(event.key, v.kv.key());
      mvccpb::KeyValue shown = v.kv;
      if (v.tombstone) shown.set_mod_revision(v.main);
      EXPECT_EQ(event.key_value, shown.SerializeAsString());
      // A version of the same txn is not the previous value, which is looked up then.
      bool same_txn = v.before && v.before->mod_revision() == v.main;
      EXPECT_EQ(event.prev_known, !v.before || (keeps_prev_ && !same_txn));
      bool known = keeps_prev_ && v.before && !same_txn;
      std::string before = known ? v.before->SerializeAsString() : "";
      EXPECT_EQ(event.prev_kv, before);
    }
  }

  void check_blocks() {
    Rows rows = store_.rows(store::kKeyCounts);
    blocks_most_ = std::max<uint64_t>(blocks_most_, rows.size());
    const Model::State& keys = model_.current();
    for (auto it = rows.begin(); it != rows.end(); ++it) {
      ASSERT_EQ(it->first[0], 'b');
      auto from = keys.lower_bound(it->first.substr(1));
      auto to = std::next(it) == rows.end() ? keys.end()
                                            : keys.lower_bound(std::next(it)->first.substr(1));
      uint64_t count;
      ASSERT_EQ(it->second.size(), 8u);
      std::memcpy(&count, it->second.data(), 8);
      EXPECT_EQ(count, static_cast<uint64_t>(std::distance(from, to))) << escape(it->first);
      EXPECT_LE(count, kBlockKeysMax);
    }
  }

  Model model_;
  RandomRequests random_;
  bool keeps_prev_;
  TestStore store_;
  Writer writer_;
  uint64_t applied_ = 0;
  int64_t committed_ = 1;
  size_t published_ = 0;
  uint64_t removed_ = 0;
  uint64_t blocks_most_ = 0;
};

class MvccModel : public ::testing::TestWithParam<uint64_t> {};

TEST_P(MvccModel, AnswersAndStoresAsTheModel) {
  RandomOptions options;
  options.key_bytes_max = 1 + GetParam() % 3;
  History run(GetParam(), options);
  for (int i = 0; i < 3000; ++i) {
    run.step();
    ASSERT_FALSE(HasFailure()) << "seed " << GetParam() << ", step " << i;
  }
  run.finish();
  run.reopen();
  run.finish();
  EXPECT_GT(run.removed(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, MvccModel, ::testing::Range<uint64_t>(1, 13));

// Enough keys that blocks of the key counter split, and ranges deleted so that they join.
TEST(MvccModelLarge, CountsThroughSplitsAndJoins) {
  RandomOptions options;
  options.key_bytes_max = 7;
  options.old_reads_percent = 2;
  History run(99, options);
  uint64_t most = 0;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 40; ++i) {
      pb::TxnRequest txn;
      for (int j = 0; j < 100; ++j) {
        auto* put = txn.add_success()->mutable_request_put();
        put->set_key(run.random().key());
      }
      run.txn(txn);
      if (run.random().percent(30)) run.commit();
      pb::RangeRequest count = run.random().range();
      count.set_count_only(run.random().percent(70));
      count.set_limit(2);
      run.read(count);
      ASSERT_FALSE(HasFailure()) << "round " << round << ", step " << i;
    }
    run.commit();
    run.check_rows();
    most = std::max(most, run.blocks_most());
    for (int i = 0; i < 60; ++i) {
      run.delete_range(run.random().delete_range());
      if (run.random().percent(30)) run.commit();
    }
    // A third of the key space, then all of it in the last round.
    pb::DeleteRangeRequest many;
    many.set_key(std::string(1, round == 2 ? '\0' : static_cast<char>("\1ab"[round])));
    many.set_range_end(round == 2 ? std::string(1, '\0') : many.key() + "\xff");
    run.delete_range(many);
    run.commit();
    run.check_rows();
    ASSERT_FALSE(HasFailure()) << "round " << round;
    if (round == 1) run.reopen();
  }
  EXPECT_GT(most, 4u) << "the key space was never cut into blocks";
  EXPECT_TRUE(run.model().current().empty());
}

}  // namespace
}  // namespace mortise::mvcc
