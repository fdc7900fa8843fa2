// Who may do what: the rules one by one, and a model that is obviously right against a million
// random decisions.
#include <gtest/gtest.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <random>
#include <set>
#include <sstream>

#include "plugins/auth_rbac/test_util.h"

namespace mortise::auth_rbac {
namespace {

using namespace std::string_literals;

const std::string kOpen(1, '\0');

std::string no_password(std::string_view name) {
  std::string out = request({name});
  put_message(out, 3, "\x08\x01");
  return out;
}

// A member with auth on and the user "u", who holds the role "r".
class Access : public testing::Test {
 protected:
  Access() {
    m.enable();
    m.apply(kRoleAdd, request({"r"}));
    m.apply(kUserAdd, no_password("u"));
    m.apply(kUserGrantRole, request({"u", "r"}));
  }
  void grant(PermissionType type, std::string_view key, std::string_view end) {
    ASSERT_EQ(m.apply(kRoleGrantPermission, permission_request("r", type, key, end)).code, 0);
  }
  bool reads(std::string_view key, std::string_view end = {}) {
    return m.may("u", access(MORTISE_ACCESS_READ, key, end)).code == 0;
  }
  bool writes(std::string_view key, std::string_view end = {}) {
    return m.may("u", access(MORTISE_ACCESS_WRITE, key, end)).code == 0;
  }
  Member m;
};

TEST_F(Access, NothingIsAllowedThatWasNotGranted) {
  EXPECT_FALSE(reads("k"));
  EXPECT_FALSE(writes("k"));
  EXPECT_EQ(m.may("u", access(MORTISE_ACCESS_READ, "k")).message, "etcdserver: permission denied");
  EXPECT_EQ(m.may("u", access(6)).code, 7);
  EXPECT_EQ(m.may("u", access(0)).code, 7);
  EXPECT_EQ(m.may("root", access(6)).code, 7);  // Unknown to root as well.
}

TEST_F(Access, PointsAndRanges) {
  grant(PermissionType::kRead, "k", "");
  EXPECT_TRUE(reads("k"));
  EXPECT_TRUE(reads("k", "k\0"s));
  EXPECT_FALSE(reads("k", "k\0\0"s));
  EXPECT_FALSE(reads("k\0"s));
  EXPECT_FALSE(reads("k", kOpen));
  EXPECT_FALSE(writes("k"));
  grant(PermissionType::kReadWrite, "a", "c");
  EXPECT_TRUE(reads("a", "c"));
  EXPECT_TRUE(writes("b\xff"));
  EXPECT_FALSE(reads("a", "c\0"s));
  EXPECT_FALSE(reads("c"));
  grant(PermissionType::kRead, "c", "e");  // Touches the one before.
  EXPECT_TRUE(reads("a", "e"));
  EXPECT_FALSE(writes("a", "e"));
  grant(PermissionType::kWrite, "m", kOpen);
  EXPECT_TRUE(writes("m", kOpen));
  EXPECT_TRUE(writes("z", kOpen));
  EXPECT_TRUE(writes("\xff\xff"));
  EXPECT_FALSE(writes("l", kOpen));
  EXPECT_FALSE(reads("m"));
}

TEST_F(Access, AllKeys) {
  grant(PermissionType::kRead, kOpen, kOpen);
  EXPECT_TRUE(reads(kOpen, kOpen));
  EXPECT_TRUE(reads("x"));
  EXPECT_FALSE(writes("x"));
}

TEST_F(Access, RootMayAll) {
  EXPECT_EQ(m.may("root", access(MORTISE_ACCESS_WRITE, kOpen, kOpen)).code, 0);
  EXPECT_EQ(m.may("root", access(MORTISE_ACCESS_ADMIN)).code, 0);
  EXPECT_EQ(m.may("root", access(MORTISE_ACCESS_ROLE, "r")).code, 0);
  EXPECT_EQ(m.may("u", access(MORTISE_ACCESS_ADMIN)).code, 7);
  EXPECT_EQ(m.may("u", access(MORTISE_ACCESS_ROLE, "r")).code, 0);
  EXPECT_EQ(m.may("u", access(MORTISE_ACCESS_ROLE, "root")).code, 7);
  EXPECT_EQ(m.may("u", access(MORTISE_ACCESS_LOGGED_IN)).code, 0);
}

TEST_F(Access, NobodyAndStrangers) {
  for (const auto kind : {MORTISE_ACCESS_READ, MORTISE_ACCESS_WRITE, MORTISE_ACCESS_ADMIN,
                          MORTISE_ACCESS_ROLE, MORTISE_ACCESS_LOGGED_IN}) {
    const mortise_access what = access(kind, "k");
    EXPECT_EQ(m.rbac->authorize(identity_of("", 0), {&what, 1}).message,
              "etcdserver: user name is empty");
  }
  EXPECT_EQ(m.may("x", access(MORTISE_ACCESS_READ, "k")).message, "etcdserver: permission denied");
  EXPECT_EQ(m.may("x", access(MORTISE_ACCESS_ADMIN)).message, "etcdserver: user name not found");
}

TEST_F(Access, OldRevisionIsToldFromARefusal) {
  grant(PermissionType::kRead, "k", "");
  mortise_auth_state now{};
  m.rbac->state(now);
  const mortise_access what = access(MORTISE_ACCESS_READ, "k");
  EXPECT_EQ(m.rbac->authorize(identity_of("u", now.revision), {&what, 1}).code, 0);
  EXPECT_EQ(m.rbac->authorize(identity_of("u", now.revision + 1), {&what, 1}).code, 0);
  const auto stale = m.rbac->authorize(identity_of("u", now.revision - 1), {&what, 1});
  EXPECT_EQ(stale.code, MORTISE_AUTH_STALE);
  EXPECT_EQ(stale.message, "etcdserver: revision of auth store is old");
}

TEST_F(Access, OneRefusalInAListRefusesAll) {
  grant(PermissionType::kRead, "k", "");
  const std::array list = {access(MORTISE_ACCESS_READ, "k"), access(MORTISE_ACCESS_READ, "l"),
                           access(MORTISE_ACCESS_READ, "k")};
  mortise_auth_state now{};
  m.rbac->state(now);
  EXPECT_EQ(m.rbac->authorize(identity_of("u", now.revision), list).code, 7);
  EXPECT_EQ(m.rbac->authorize(identity_of("u", now.revision), {list.data(), 1}).code, 0);
}

TEST_F(Access, AllMayAllWhileAuthIsOff) {
  m.apply(kAuthDisable);
  EXPECT_EQ(m.may("", access(MORTISE_ACCESS_WRITE, kOpen, kOpen)).code, 0);
  EXPECT_EQ(m.may("", access(MORTISE_ACCESS_ADMIN)).code, 0);
}

// ---- Ranges that end before they begin ----

TEST_F(Access, ReversedRangesAreJudgedAsInEtcd) {
  grant(PermissionType::kReadWrite, "d", "f");
  EXPECT_TRUE(reads("d", "a"));
  EXPECT_TRUE(writes("e", "e"));
  EXPECT_FALSE(reads("f", "d"));
  EXPECT_FALSE(reads("c", "a"));
  // Now the point is at the root, or the range is, according to which role's name is first.
  grant(PermissionType::kRead, "b", "");
  EXPECT_FALSE(reads("d", "a"));
  EXPECT_TRUE(writes("d", "a"));
  m.apply(kRoleRevokePermission, request({"r", "b"}));
  EXPECT_TRUE(reads("d", "a"));
  m.apply(kRoleAdd, request({"s"}));
  m.apply(kRoleGrantPermission, permission_request("s", PermissionType::kRead, "b", ""));
  m.apply(kUserGrantRole, request({"u", "s"}));
  EXPECT_TRUE(reads("d", "a"));
}

// Decisions that etcd's own tree made.
TEST(PermissionTree, DecidesAsEtcdDoes) {
  std::ifstream in("testdata/reversed_ranges_of_etcd.txt");
  ASSERT_TRUE(in);
  size_t permitted = 0, refused = 0;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with('#')) continue;
    PermissionTree tree;
    std::istringstream words(line);
    std::string word;
    while (words >> word && word != ":") {
      const std::string end = word.substr(1);
      tree.add(to_interval(word.substr(0, 1), end == "~" ? kOpen : end));
    }
    while (words >> word) {
      const bool expected = word[0] == '+';
      ASSERT_EQ(tree.permits(word.substr(1, 1), word.substr(2)), expected)
          << word << " in " << line;
      ++(expected ? permitted : refused);
    }
  }
  EXPECT_GT(permitted, 100u);
  EXPECT_GT(refused, 100u);
}

// ---- The flat model: 64 keys, and for each user and key one bit for reading and one for writing
// ----

constexpr int kKeys = 64;

std::string key_of(int i) {
  return {static_cast<char>('a' + i / 8), static_cast<char>('a' + i % 8)};
}

struct Range {
  int first;
  int last;  // Behind it.
  std::string key;
  std::string end;
};

Range random_range(std::mt19937_64& random, int longest) {
  Range r;
  r.first = static_cast<int>(random() % kKeys);
  r.key = key_of(r.first);
  const uint64_t kind = random() % 8;
  r.last = r.first + 1 + static_cast<int>(random() % static_cast<uint64_t>(longest));
  if (kind == 0 || r.last >= kKeys) {
    r.last = kKeys;
    r.end = kOpen;
  } else if (kind < 4) {
    r.last = r.first + 1;
  } else {
    r.end = key_of(r.last);
  }
  return r;
}

struct Bits {
  bool read = false;
  bool write = false;
};

// In the model an open end goes to the last key and a point is one key. So that both mean the same,
// keys between those of the model exist for ranges: [aa, ab) holds more than "aa".
struct Model {
  // Per key: the point itself, and all between it and the next one.
  std::array<Bits, kKeys> at, behind;
  Bits open;

  void grant(PermissionType type, const Range& r) {
    const auto set = [&](Bits& b) {
      b.read |= type != PermissionType::kWrite;
      b.write |= type != PermissionType::kRead;
    };
    for (int i = r.first; i < r.last; ++i) {
      set(at[i]);
      if (!r.end.empty()) set(behind[i]);
    }
    if (r.end == kOpen) set(open);
  }
  bool may(bool write, const Range& r) const {
    const auto has = [&](const Bits& b) { return write ? b.write : b.read; };
    bool all = r.end != kOpen || has(open);
    for (int i = r.first; i < r.last; ++i) {
      all = all && has(at[i]) && (r.end.empty() || has(behind[i]));
    }
    return all;
  }
};

PermissionType random_type(std::mt19937_64& random) {
  return static_cast<PermissionType>(random() % 3);
}

TEST(FlatModel, AMillionDecisions) {
  std::mt19937_64 random(20'261'121);
  constexpr int kUsers = 4, kRounds = 100, kLists = 4'000, kLength = 4;
  size_t granted = 0;
  for (int round = 0; round < kRounds; ++round) {
    Member m;
    m.enable();
    std::array<Model, kUsers> models;
    for (int role = 0; role < 6; ++role) {
      const std::string name = "r" + std::to_string(role);
      m.apply(kRoleAdd, request({name}));
      std::array<bool, kUsers> holds{};
      for (bool& h : holds) h = random() % 2 == 0;
      for (int i = 0; i < 8; ++i) {
        const Range r = random_range(random, 24);
        const PermissionType type = random_type(random);
        // Replacing an equal one would take away; the model only adds.
        RoleRecord record;
        record.parse(m.rows.all.at("r" + name));
        const bool known = std::any_of(
            record.permissions.begin(), record.permissions.end(),
            [&](const Permission& p) { return p.key == r.key && p.range_end == r.end; });
        if (known) continue;
        m.apply(kRoleGrantPermission, permission_request(name, type, r.key, r.end));
        for (int u = 0; u < kUsers; ++u) {
          if (holds[u]) models[u].grant(type, r);
        }
      }
      for (int u = 0; u < kUsers; ++u) {
        const std::string user = "u" + std::to_string(u);
        m.apply(kUserAdd, no_password(user));  // Refused from the second role on.
        if (holds[u]) m.apply(kUserGrantRole, request({user, name}));
      }
    }
    mortise_auth_state now{};
    m.rbac->state(now);
    for (int i = 0; i < kLists; ++i) {
      const auto u = static_cast<size_t>(random() % kUsers);
      std::array<Range, kLength> ranges;
      std::array<mortise_access, kLength> list;
      const size_t length = 1 + random() % kLength;
      bool expected = true;
      for (size_t n = 0; n < length; ++n) {
        ranges[n] = random_range(random, 6);
        const bool write = random() % 3 == 0;
        list[n] = access(write ? MORTISE_ACCESS_WRITE : MORTISE_ACCESS_READ, ranges[n].key,
                         ranges[n].end);
        expected = expected && models[u].may(write, ranges[n]);
      }
      const auto status = m.rbac->authorize(identity_of("u" + std::to_string(u), now.revision),
                                            {list.data(), length});
      ASSERT_EQ(status.code, expected ? 0 : 7) << "round " << round << ", list " << i;
      granted += expected;
    }
  }
  EXPECT_GT(granted, 50'000u);
}

double thread_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

// Prints what a decision costs a user with a thousand ranges that do not touch, in time of the
// processor; fails only if it is far from what it is meant to be.
TEST(Cost, ADecisionAmongAThousandRanges) {
  Member m;
  m.enable();
  m.apply(kRoleAdd, request({"r"}));
  m.apply(kUserAdd, no_password("u"));
  m.apply(kUserGrantRole, request({"u", "r"}));
  RoleRecord role;
  role.name = "r";
  std::vector<std::string> keys;
  for (int i = 0; i < 1000; ++i) {
    char text[64];
    std::snprintf(text, sizeof(text), "/registry/things/namespace-%04d", i);
    role.permissions.push_back({2, std::string(text) + "/", std::string(text) + "0"});
    keys.push_back(std::string(text) + "/name");
  }
  m.rows.all["rr"] = role.encode();
  ASSERT_TRUE(m.rbac->load(m.rows.txn()).ok());
  mortise_auth_state now{};
  m.rbac->state(now);
  const mortise_identity who = identity_of("u", now.revision);
  constexpr int kDecisions = 200'000;
  const double begin = thread_seconds();
  int allowed = 0;
  for (int i = 0; i < kDecisions; ++i) {
    const mortise_access what = access(MORTISE_ACCESS_WRITE, keys[(i * 7919) % 1000]);
    allowed += m.rbac->authorize(who, {&what, 1}).code == 0;
  }
  const double took_ns = (thread_seconds() - begin) * 1e9;
  EXPECT_EQ(allowed, kDecisions);
  std::printf("a decision among 1,000 ranges: %.0f ns\n", took_ns / kDecisions);
  EXPECT_LT(took_ns / kDecisions, 100'000);
}

}  // namespace
}  // namespace mortise::auth_rbac
