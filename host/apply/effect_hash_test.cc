#include "host/apply/effect_hash.h"

#include <gtest/gtest.h>

#include "host/store/store.h"

namespace mortise::apply {
namespace {

using Rows = store::WriteBatch;

uint64_t digest(const Rows& rows, uint64_t index = 7, uint64_t term = 2, int64_t revision = 5) {
  return effect_digest(index, term, revision, rows.ops());
}

Rows put(std::string_view name, std::string_view value, store::Keyspace in = store::kRevisions) {
  Rows rows;
  rows.put(in, name, value);
  return rows;
}

TEST(EffectDigest, SaysWhatAnEntryDid) {
  const uint64_t plain = digest(put("r1", "v"));
  EXPECT_EQ(plain, digest(put("r1", "v")));
  EXPECT_NE(plain, digest(put("r2", "v")));
  EXPECT_NE(plain, digest(put("r1", "w")));
  EXPECT_NE(plain, digest(put("r1", "")));
  EXPECT_NE(plain, digest(put("r1v", "")));
  EXPECT_NE(plain, digest(put("r1", "v"), 8));
  EXPECT_NE(plain, digest(put("r1", "v"), 7, 3));
  EXPECT_NE(plain, digest(put("r1", "v"), 7, 2, 6));
  EXPECT_NE(plain, digest(Rows()));
  Rows twice = put("r1", "v");
  twice.put(store::kRevisions, "r2", "v");
  Rows turned = put("r2", "v");
  turned.put(store::kRevisions, "r1", "v");
  EXPECT_NE(digest(twice), digest(turned));
  Rows removed;
  removed.remove(store::kLeaseKeys, "k");
  EXPECT_NE(digest(removed), digest(put("k", "", store::kLeaseKeys)));
}

TEST(EffectDigest, LeavesOutWhatMembersMayDifferIn) {
  const uint64_t plain = digest(Rows());
  EXPECT_EQ(plain, digest(put("b", "1", store::kKeyCounts)));
  EXPECT_EQ(plain, digest(put("k", "v", store::kCurrent)));
  EXPECT_EQ(plain, digest(put("m", "v", store::kMembers)));
  EXPECT_EQ(digest(put("l", "ttl 1", store::kLeases)), digest(put("l", "ttl 2", store::kLeases)));
  EXPECT_NE(plain, digest(put("l", "", store::kLeases)));
}

class Sums {
 public:
  explicit Sums(uint64_t first) : hash_(std::make_unique<EffectHash>()) { hash_->start(first); }
  // Entries up to `last`; one has done something else.
  void add_to(uint64_t last, uint64_t wrong = 0) {
    for (uint64_t index = hash_->span().newest + 1; index <= last; ++index) {
      hash_->add(effect_digest(index, 1, index == wrong ? 1 : 2, {}));
    }
    hash_->show();
  }
  EffectHash* operator->() { return hash_.get(); }
  uint64_t between(uint64_t from, uint64_t to) {
    return hash_->sum(to).value() - hash_->sum(from).value();
  }

 private:
  std::unique_ptr<EffectHash> hash_;
};

TEST(EffectHash, ComparesMembersThatBeganAtDifferentEntries) {
  Sums all(0), late(30), wrong(10);
  all.add_to(100);
  late.add_to(90);
  wrong.add_to(100, 60);
  EXPECT_EQ(late->span().first, 30u);
  EXPECT_EQ(late->span().newest, 90u);
  EXPECT_EQ(all.between(30, 90), late.between(30, 90));
  EXPECT_EQ(all.between(30, 59), wrong.between(30, 59));
  EXPECT_NE(all.between(30, 60), wrong.between(30, 60));
  EXPECT_NE(all.between(30, 90), wrong.between(30, 90));
  EXPECT_EQ(all.between(60, 90), wrong.between(60, 90));
  EXPECT_EQ(late->sum(29), std::nullopt);
  EXPECT_EQ(late->sum(91), std::nullopt);
}

TEST(EffectHash, ShowsWhatIsCommitted) {
  Sums sums(5);
  sums->add(1);
  EXPECT_EQ(sums->span().newest, 5u);
  EXPECT_EQ(sums->sum(6), std::nullopt);
  sums->show();
  EXPECT_EQ(sums->sum(6), 1u);
  sums->add(2);
  sums->start(9);
  sums->show();
  EXPECT_EQ(sums->span().newest, 9u);
}

TEST(EffectHash, KeepsSomeSumsForLonger) {
  const uint64_t mark = 4 * EffectHash::kMarkEvery;
  Sums sums(100), same(mark);
  const uint64_t last = mark + EffectHash::kNewestMax;
  sums.add_to(last - 1);
  EXPECT_TRUE(sums->sum(mark + 1));
  sums.add_to(last + 1);
  same.add_to(last + 1);
  EXPECT_EQ(sums->sum(mark + 1), std::nullopt);
  EXPECT_EQ(sums.between(mark, last), same.between(mark, last));
  EXPECT_EQ(sums->sum(100), 0u) << "where it began";
  sums.add_to(EffectHash::kMarkEvery * (EffectHash::kMarksMax + 4));
  EXPECT_EQ(sums->sum(mark), std::nullopt);
  EXPECT_TRUE(sums->sum(mark + EffectHash::kMarkEvery));
}

}  // namespace
}  // namespace mortise::apply
