#include "host/lock/line.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace mortise::lock {
namespace {

using Ids = std::vector<uint64_t>;

TEST(LineTest, TheExampleOfTheHeader) {
  Line line;
  line.add_key(5);
  auto seven = line.enter_last(7, 1);
  line.add_key(7);
  line.add_key(8);
  auto nine = line.enter_last(9, 2);
  line.add_key(9);
  EXPECT_EQ(line.first(), Ids());
  line.remove_key(5);
  EXPECT_EQ(line.first(), Ids{1});
  EXPECT_TRUE(line.is_first(seven));
  line.leave(seven);
  EXPECT_EQ(line.first(), Ids());
  line.remove_key(8);
  EXPECT_FALSE(line.is_first(nine));
  line.remove_key(7);
  EXPECT_EQ(line.first(), Ids{2});
  line.leave(nine);
  EXPECT_TRUE(line.empty());
}

TEST(LineTest, SeveralWithOneKeyHaveTheirTurnTogether) {
  Line line;
  line.add_key(2);
  line.enter_last(3, 1);
  line.enter_last(3, 2);
  line.add_key(3);
  Line::Place place;
  EXPECT_TRUE(line.enter(3, 3, &place)) << "the counts stay right";
  line.remove_key(2);
  EXPECT_EQ(line.first(), (Ids{1, 2, 3}));
}

TEST(LineTest, WhoComesWithAnOldKeyNeedsANewCount) {
  Line line;
  for (int64_t revision : {2, 3, 4}) line.add_key(revision);
  Line::Place place;
  EXPECT_FALSE(line.enter(3, 1, &place));
  line.forget_keys();
  for (int64_t revision : {2, 3, 4}) line.add_key(revision);
  EXPECT_EQ(line.first(), Ids());
  line.remove_key(2);
  EXPECT_EQ(line.first(), Ids{1});
}

TEST(LineTest, KeysMayGoWhileTheyAreCounted) {
  Line line;
  auto place = line.enter_last(5, 1);
  line.remove_key(3);  // Its addition comes later.
  line.add_key(2);
  line.add_key(3);
  EXPECT_FALSE(line.is_first(place));
  line.remove_key(2);
  EXPECT_TRUE(line.is_first(place));
}

// Against lists of all keys and all that wait.
class Model {
 public:
  explicit Model(uint64_t seed) : random_(seed) {}

  void step() {
    switch (random_() % 6) {
      case 0:
      case 1: come(); break;
      case 2: add_other(); break;
      case 3: remove_key(); break;
      case 4: leave(); break;
      default: come_again();
    }
    Ids want;
    for (const auto& [place, id] : waiting_) {
      if (!keys_.empty() && *keys_.begin() < place.revision) break;
      want.push_back(id);
    }
    ASSERT_EQ(line_.first(), want);
    ASSERT_EQ(line_.empty(), waiting_.empty());
  }

 private:
  void come() {
    ++revision_;
    auto place = line_.enter_last(revision_, ++id_);
    line_.add_key(revision_);
    keys_.insert(revision_);
    waiting_[place] = id_;
  }
  void add_other() {
    line_.add_key(++revision_);
    keys_.insert(revision_);
  }
  void remove_key() {
    if (keys_.empty()) return;
    // The oldest more often than others, so that turns come.
    auto at = keys_.begin();
    if (random_() % 3 == 0) std::advance(at, random_() % keys_.size());
    line_.remove_key(*at);
    keys_.erase(at);
  }
  void leave() {
    if (waiting_.empty()) return;
    auto at = waiting_.begin();
    if (random_() % 2 == 0) std::advance(at, random_() % waiting_.size());
    line_.leave(at->first);
    waiting_.erase(at);
  }
  void come_again() {
    if (keys_.empty()) return;
    auto at = keys_.begin();
    std::advance(at, random_() % keys_.size());
    Line::Place place;
    if (!line_.enter(*at, ++id_, &place)) {
      line_.forget_keys();
      for (int64_t revision : keys_) line_.add_key(revision);
    }
    waiting_[place] = id_;
  }

  std::mt19937_64 random_;
  Line line_;
  std::set<int64_t> keys_;
  std::map<Line::Place, uint64_t> waiting_;
  int64_t revision_ = 1;
  uint64_t id_ = 0;
};

TEST(LineTest, AgreesWithAModel) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    Model model(seed);
    for (int i = 0; i < 300; ++i) ASSERT_NO_FATAL_FAILURE(model.step());
  }
}

}  // namespace
}  // namespace mortise::lock
