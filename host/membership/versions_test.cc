#include "host/membership/versions.h"

#include "gtest/gtest.h"

namespace mortise::membership {
namespace {

using Servers = std::vector<std::optional<Version>>;
constexpr Version k35{3, 5}, k36{3, 6}, k37{3, 7};

TEST(Versions, Parse) {
  for (const char* text : {"3.6", "3.6.0", "3.6.11", "3.6.1-rc.0", "3.6.1+x"}) {
    EXPECT_EQ(parse_version(text), k36) << text;
  }
  for (const char* text :
       {"", "3", "3.", "3.06", "3.6.", "3.6.1x", "v3.6", "not_decided", "3.-1"}) {
    EXPECT_FALSE(parse_version(text)) << text;
  }
  EXPECT_EQ(k36.text(), "3.6.0");
}

TEST(Version, IsShownWithoutItsPatch) {
  EXPECT_EQ(shown_version("3.7.0"), "3.7");
  EXPECT_EQ(shown_version("not_decided"), "not_decided");
  EXPECT_EQ(shown_version(""), "");
}

TEST(Versions, ANewClusterBeginsWithTheOldestUntilAllAreKnown) {
  EXPECT_EQ(next_cluster_version({}, {}, {k37, {}, k37}), kOldestVersion);
  EXPECT_EQ(next_cluster_version({}, {}, {k37, k36}), k36);
}

TEST(Versions, RisesWhenAllMembersCan) {
  EXPECT_EQ(next_cluster_version(kOldestVersion, {}, {k37, k37}), k37);
  EXPECT_EQ(next_cluster_version(k36, {}, {k37, k36}), std::nullopt);
  EXPECT_EQ(next_cluster_version(k36, {}, {k37, {}}), std::nullopt);
  EXPECT_EQ(next_cluster_version(k37, {}, {k36, k36}), std::nullopt) << "it falls by request only";
}

TEST(Versions, FallsWhileADowngradeIsUnderWay) {
  EXPECT_EQ(next_cluster_version(k37, k36, {k37, k37}), k36);
  EXPECT_EQ(next_cluster_version(k36, k36, {k37, k37}), std::nullopt);
  EXPECT_EQ(next_cluster_version(k37, k35, {k37, k37}), std::nullopt);
  EXPECT_EQ(next_cluster_version(k37, k36, {k37, {}}), std::nullopt);
  EXPECT_TRUE(has_reached(k36, {k36, k36}));
  EXPECT_FALSE(has_reached(k36, {k36, k37}));
  EXPECT_FALSE(has_reached(k36, Servers{k36, {}}));
}

TEST(Versions, Joining) {
  EXPECT_TRUE(may_join({k36, k37}, false));
  EXPECT_FALSE(may_join({}, false));
  EXPECT_FALSE(may_join({k37, {3, 8}}, false));
  EXPECT_FALSE(may_join({{2, 3}}, false));
  EXPECT_TRUE(may_join({{3, 8}}, true));
  EXPECT_FALSE(may_join({k37}, true));
}

}  // namespace
}  // namespace mortise::membership
