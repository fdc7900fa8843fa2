// Simple tokens: how long they live, what ends them, and who is who at all.
#include <gtest/gtest.h>

#include <set>

#include "plugins/auth_rbac/requests.h"
#include "plugins/auth_rbac/simple_tokens.h"
#include "plugins/auth_rbac/test_util.h"

namespace mortise::auth_rbac {
namespace {

using std::chrono::seconds;

class Tokens : public testing::Test {
 protected:
  Tokens() : hash(KeyedHash::make()) { make(100, 50); }
  void make(size_t most, size_t of_user) {
    tokens = std::make_unique<SimpleTokens>(
        *hash, seconds(300), [this] { return std::chrono::nanoseconds(now); }, most, of_user);
  }
  std::string owner(std::string_view token) {
    std::string user;
    return tokens->find(token, user) ? user : "";
  }
  seconds now{1000};
  std::unique_ptr<KeyedHash> hash;
  std::unique_ptr<SimpleTokens> tokens;
};

TEST_F(Tokens, PrefixesAreSixteenRandomLetters) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string prefix = SimpleTokens::make_prefix();
    ASSERT_EQ(prefix.size(), 16u);
    for (const char c : prefix) ASSERT_TRUE(isalpha(static_cast<unsigned char>(c)));
    ASSERT_TRUE(seen.insert(prefix).second);
  }
}

TEST_F(Tokens, IndexIsBehindTheOnlyDot) {
  uint64_t index = 0;
  EXPECT_TRUE(SimpleTokens::index_of("abc.17", index));
  EXPECT_EQ(index, 17u);
  for (const char* bad : {"", "abc", "abc.", "abc.x", "abc.1.2", "abc.-1", "abc. 1", "abc.1x",
                          "abc.18446744073709551616"}) {
    EXPECT_FALSE(SimpleTokens::index_of(bad, index)) << bad;
  }
}

TEST_F(Tokens, LiveFromTheirLastUse) {
  tokens->add("u", "t.1");
  now += seconds(299);
  EXPECT_EQ(owner("t.1"), "u");
  now += seconds(299);
  EXPECT_EQ(owner("t.1"), "u");
  now += seconds(301);
  EXPECT_EQ(owner("t.1"), "");
  EXPECT_EQ(owner("t.1"), "");  // And do not come back.
}

TEST_F(Tokens, OnlyTheWholeTokenCounts) {
  tokens->add("u", "abcdefghijklmnop.1");
  for (const char* other :
       {"abcdefghijklmnop.2", "abcdefghijklmnop.", "abcdefghijklmnop", "Abcdefghijklmnop.1",
        "abcdefghijklmnop.1 ", "abcdefghijklmnop.01", ""}) {
    EXPECT_EQ(owner(other), "") << other;
  }
}

TEST_F(Tokens, EndWithTheirUser) {
  tokens->add("u", "t.1");
  tokens->add("u", "t.2");
  tokens->add("v", "t.3");
  tokens->end_user("u");
  EXPECT_EQ(owner("t.1") + owner("t.2"), "");
  EXPECT_EQ(owner("t.3"), "v");
  tokens->add("u", "t.4");
  EXPECT_EQ(owner("t.4"), "u");
  tokens->end_all();
  EXPECT_EQ(owner("t.3") + owner("t.4"), "");
  EXPECT_EQ(tokens->size(), 0u);
}

TEST_F(Tokens, OldestUnusedMakesRoom) {
  make(4, 4);
  for (const char* t : {"t.1", "t.2", "t.3", "t.4"}) tokens->add(t, t);
  now += seconds(1);
  EXPECT_EQ(owner("t.1"), "t.1");
  tokens->add("t.5", "t.5");
  EXPECT_EQ(tokens->size(), 4u);
  EXPECT_EQ(owner("t.1"), "t.1");  // Used, so another had to go.
  EXPECT_EQ(owner("t.2"), "");
  for (int i = 6; i < 1000; ++i) {
    const std::string t = "t." + std::to_string(i);
    tokens->add(t, t);
    ASSERT_LE(tokens->size(), 4u);
    ASSERT_EQ(owner(t), t);
  }
}

TEST_F(Tokens, OneUserCannotTakeAllRoom) {
  make(100, 3);
  tokens->add("v", "v.1");
  for (int i = 0; i < 500; ++i) tokens->add("u", "u." + std::to_string(i));
  EXPECT_EQ(tokens->size(), 4u);
  EXPECT_EQ(owner("v.1"), "v");
  EXPECT_EQ(owner("u.499"), "u");
  EXPECT_EQ(owner("u.496"), "");
}

TEST_F(Tokens, ExpiredOnesAreSwept) {
  for (int i = 0; i < 50; ++i) tokens->add("u", "t." + std::to_string(i));
  now += seconds(1000);
  for (int i = 0; i < 10; ++i) tokens->add("v", "v." + std::to_string(i));
  EXPECT_EQ(tokens->size(), 10u);
}

// ---- At the plugin: who is it? ----

class Identity : public testing::Test {
 protected:
  Identity() {
    m.enable();
    m.propose(kUserAdd, request({"u", "pw"}));
  }
  Member m;
};

TEST_F(Identity, TokenIsItsUser) {
  const std::string token = m.token("u", "pw");
  ASSERT_EQ(token.size(), 16 + 1 + std::to_string(m.index).size());
  EXPECT_EQ(m.user_of(token), "u");
  mortise_identity out{};
  EXPECT_EQ(m.identify("", out).code, 0);
  EXPECT_EQ(out.user_size, 0u);
}

TEST_F(Identity, TokenOfALaterEntryIsWaitedFor) {
  const std::string token = "abcdefghijklmnop." + std::to_string(m.index + 1);
  mortise_identity out{};
  EXPECT_EQ(m.identify(token, out).code, MORTISE_AUTH_WAIT);
  EXPECT_EQ(out.wait_index, m.index + 1);
  LogInRequest r;
  r.name = "u";
  r.simple_token = "abcdefghijklmnop";
  m.apply(kAuthenticate, r.encode());
  EXPECT_EQ(m.user_of(token), "u");
}

TEST_F(Identity, ForgedTokensAreUnauthenticated) {
  const std::string token = m.token("u", "pw");
  const std::string letters = token.substr(0, 16);
  for (const std::string& forged :
       {letters, letters + ".", letters + ".0", letters + ".1", "x" + token, token + "0.1",
        std::string("root"), std::string("."), std::string(".1"), std::string(100'000, 'a') + ".1",
        std::string("\0\0.1", 4)}) {
    mortise_identity out{};
    const auto status = m.identify(forged, out);
    EXPECT_EQ(status.code, 16) << forged.substr(0, 40);
    EXPECT_EQ(status.message, "etcdserver: invalid auth token");
    EXPECT_EQ(out.user_size, 0u);
  }
}

TEST_F(Identity, WhatEndsAUsersTokens) {
  const auto fresh = [&] {
    const std::string token = m.token("u", "pw");
    EXPECT_EQ(m.user_of(token), "u");
    return token;
  };
  std::string token = fresh();
  m.propose(kUserChangePassword, request({"u", "pw"}));
  EXPECT_EQ(m.user_of(token), "");
  token = fresh();
  m.apply(kUserDelete, request({"u"}));
  EXPECT_EQ(m.user_of(token), "");
  m.propose(kUserAdd, request({"u", "pw"}));
  EXPECT_EQ(m.user_of(token), "");  // The new user of that name is another one.
  token = fresh();
  m.apply(kAuthDisable);
  m.apply(kAuthEnable);
  EXPECT_EQ(m.user_of(token), "");
  token = fresh();
  m.propose(kUserAdd, request({"v", "pw"}));
  m.propose(kUserChangePassword, request({"v", "pw2"}));
  m.apply(kUserDelete, request({"v"}));
  EXPECT_EQ(m.user_of(token), "u");  // What happens to others does not matter.
}

// A member that was away gets the state without the entries between.
TEST_F(Identity, SnapshotEndsTokensOfUsersThatChanged) {
  m.propose(kUserAdd, request({"v", "pw"}));
  m.propose(kUserAdd, request({"w", "pw"}));
  const std::string u = m.token("u", "pw"), v = m.token("v", "pw"), w = m.token("w", "pw");
  Member other;
  other.rows.all = m.rows.all;
  other.index = m.index;
  ASSERT_TRUE(other.rbac->load(other.rows.txn()).ok());
  other.propose(kUserChangePassword, request({"v", "pw"}));
  other.apply(kUserDelete, request({"w"}));
  m.rows.all = other.rows.all;
  ASSERT_TRUE(m.rbac->load(m.rows.txn()).ok());
  EXPECT_EQ(m.user_of(u), "u");
  EXPECT_EQ(m.user_of(v), "");
  EXPECT_EQ(m.user_of(w), "");
  other.apply(kAuthDisable);
  m.rows.all = other.rows.all;
  ASSERT_TRUE(m.rbac->load(m.rows.txn()).ok());
  m.apply(kAuthEnable);
  EXPECT_EQ(m.user_of(u), "");
}

TEST_F(Identity, TokenOfBeforeTheChangeHasTheOldRevision) {
  const std::string token = m.token("u", "pw");
  mortise_identity out{};
  ASSERT_EQ(m.identify(token, out).code, 0);
  m.apply(kRoleAdd, request({"r"}));
  const mortise_access what = access(MORTISE_ACCESS_READ, "k");
  EXPECT_EQ(m.rbac->authorize(out, {&what, 1}).code, MORTISE_AUTH_STALE);
  ASSERT_EQ(m.identify(token, out).code, 0);  // Asked again, it is as new as the state.
  EXPECT_EQ(m.rbac->authorize(out, {&what, 1}).code, 7);
}

TEST(CommonName, CountsOnlyIfConfiguredAndNotThroughTheGateway) {
  for (const bool on : {false, true}) {
    Member m(on ? R"({"bcrypt_cost":4,"client_cert_auth":true})" : R"({"bcrypt_cost":4})");
    mortise_identity out{};
    EXPECT_EQ(m.identify("", out, "root").code, 0);
    EXPECT_EQ(out.user_size, 0u);  // Auth is off.
    m.enable();
    EXPECT_EQ(m.identify("", out, "root").code, 0);
    EXPECT_EQ(std::string(out.user, out.user_size), on ? "root" : "");
    const auto through = m.identify("", out, "root", MORTISE_CALLER_VIA_GATEWAY);
    EXPECT_EQ(through.code, on ? 3 : 0);  // Whoever means to be that user is told.
    EXPECT_EQ(through.message.starts_with("CommonName of client"), on);
    EXPECT_EQ(out.user_size, 0u);
    EXPECT_EQ(m.identify("", out, "", MORTISE_CALLER_VIA_GATEWAY).code, 0);
    EXPECT_EQ(m.identify("bad", out, "root").code, 16);  // A bad token does not fall back.
    EXPECT_EQ(m.identify("", out, std::string(300, 'x')).code, 0);
    EXPECT_EQ(out.user_size, 0u);
  }
}

TEST(NoTokens, NobodyCanLogIn) {
  Member m(R"({"token":"","bcrypt_cost":4})");
  m.enable();
  EXPECT_EQ(m.login("root", "pw").status.message,
            "etcdserver: authentication failed, invalid user ID or password");
  mortise_identity out{};
  EXPECT_EQ(m.identify("abcdefghijklmnop.1", out).code, 16);
}

}  // namespace
}  // namespace mortise::auth_rbac
