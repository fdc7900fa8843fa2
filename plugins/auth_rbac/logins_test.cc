// Passwords: how they are hashed on their way into the log, and how they are checked.
#include "plugins/auth_rbac/logins.h"

#include <gtest/gtest.h>
#include <time.h>

#include <cstdio>
#include <thread>

#include "plugins/auth_rbac/base64.h"
#include "plugins/auth_rbac/bcrypt.h"
#include "plugins/auth_rbac/requests.h"
#include "plugins/auth_rbac/test_util.h"

namespace mortise::auth_rbac {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr char kFailed[] = "etcdserver: authentication failed, invalid user ID or password";
constexpr char kTooMany[] = "etcdserver: too many requests";

// Hashes that Go's library made.
TEST(Bcrypt, TakesHashesOfGo) {
  const std::string long_one =
      "0123456789012345678901234567890123456789012345678901234567890123456789ab";
  const std::pair<std::string, const char*> hashes[] = {
      {"", "$2a$04$XuZO1.OopqEPf1vZsqbgquCB35XQFpDnP/F73shDsba66Y3/5PL6W"},
      {"pw", "$2a$04$sulBVrobEllb.IIpTrXbMOxbjP81l8hLpqQ6HqjRtilsN3tFryT7y"},
      {"p\xc3\xa4sswort\xff\xa3", "$2a$04$IncgDRU/eMwmib/y57rggevCoMHK4SB3Jr0GBhCHt9/ev9gh5EfSC"},
      {"\xff\xa3\x33\x34\xff\xff\xff\xa3\x33\x34\x35",
       "$2a$04$57pUrnlipoRAFyFcgFlh7e7xHlU/vrt6YJBlBtoxg4o4gLYb2N2Yi"},
      {long_one, "$2a$04$R3to2DtYuHHicIG70nAmy.lTDqdXjtoQYoftwuaNVciM2FzgSwbXC"}};
  for (const auto& [password, hash] : hashes) {
    EXPECT_TRUE(bcrypt_matches(password, hash)) << hash;
    EXPECT_FALSE(bcrypt_matches(password + "x", hash) && password.size() < 72) << hash;
    EXPECT_FALSE(bcrypt_matches("x" + password, hash)) << hash;
  }
  // Only the first 72 bytes count, in Go as here.
  EXPECT_TRUE(bcrypt_matches(long_one + "more", hashes[4].second));
}

TEST(Bcrypt, MakesHashesInTheFormOfGo) {
  const std::string a = bcrypt_hash("pw", 4), b = bcrypt_hash("pw", 4);
  EXPECT_EQ(a.substr(0, 7), "$2a$04$");
  EXPECT_EQ(a.size(), 60u);
  EXPECT_NE(a, b);  // Each has its salt.
  EXPECT_TRUE(bcrypt_matches("pw", a));
  EXPECT_FALSE(bcrypt_matches("pW", a));
  EXPECT_EQ(bcrypt_hash("pw", 10).substr(0, 7), "$2a$10$");
}

TEST(Bcrypt, NulDoesNotEndAPassword) {
  const std::string hash = bcrypt_hash("a", 4);
  EXPECT_TRUE(bcrypt_matches("a", hash));
  EXPECT_FALSE(bcrypt_matches(std::string("a\0b", 3), hash));
  EXPECT_FALSE(bcrypt_matches(std::string("a\0", 2), hash));
}

TEST(Bcrypt, WhatIsNoHashMatchesNothing) {
  for (const char* bad : {"", "*", "*0", "pw", "$2a$04$", "$1$abcdefgh$0123456789012345678901",
                          "$2a$99$XuZO1.OopqEPf1vZsqbgquCB35XQFpDnP/F73shDsba66Y3/5PL6W"}) {
    EXPECT_FALSE(bcrypt_matches("pw", bad)) << bad;
    EXPECT_FALSE(bcrypt_matches("", bad)) << bad;
  }
}

// ---- prepare() ----

class Prepare : public testing::Test {
 protected:
  Answer prepare(uint32_t field, const std::string& bytes) {
    Answers answers;
    m.rbac->prepare(field, sdk::Buffer::from(bytes), answers.prepare_done());
    return answers.wait()[0];
  }
  Member m;
};

TEST_F(Prepare, PasswordsAreHashedAndBlanked) {
  const Answer user = prepare(kUserAdd, request({"u", "geheim"}));
  ASSERT_EQ(user.status.code, 0);
  EXPECT_EQ(user.bytes.find("geheim"), std::string::npos);
  UserAddRequest r;
  ASSERT_TRUE(r.parse(user.bytes));
  std::string hash;
  ASSERT_TRUE(base64_decode(r.hashed_password, hash));
  EXPECT_EQ(hash.substr(0, 7), "$2a$04$");
  EXPECT_TRUE(bcrypt_matches("geheim", hash));
  EXPECT_EQ(r.name, "u");
  EXPECT_FALSE(r.options.has_value());

  const Answer change = prepare(kUserChangePassword, request({"u", "neu"}));
  ChangePasswordRequest c;
  ASSERT_TRUE(c.parse(change.bytes));
  EXPECT_TRUE(c.password.empty());
  ASSERT_TRUE(base64_decode(c.hashed_password, hash));
  EXPECT_TRUE(bcrypt_matches("neu", hash));
}

TEST_F(Prepare, GivenHashesAreKept) {
  UserAddRequest r;
  r.name = "u";
  r.hashed_password = base64_encode(bcrypt_hash("pw", 4));
  EXPECT_EQ(prepare(kUserAdd, r.encode()).bytes, r.encode());
  const std::string change = request({"u", "", r.hashed_password});
  EXPECT_EQ(prepare(kUserChangePassword, change).bytes, change);
}

TEST_F(Prepare, PasswordOfAUserWithoutOneIsNotLogged) {
  UserAddRequest r;
  r.name = "u";
  r.password = Secret("geheim");
  r.options = UserOptions{true};
  const Answer answer = prepare(kUserAdd, r.encode());
  EXPECT_EQ(answer.status.code, 0);
  EXPECT_EQ(answer.bytes.find("geheim"), std::string::npos);
}

TEST_F(Prepare, WhatCannotBeStoredIsRefused) {
  EXPECT_EQ(prepare(kUserAdd, request({"u", std::string(73, 'x')})).status.message,
            "bcrypt: password length exceeds 72 bytes");
  EXPECT_EQ(prepare(kUserAdd, request({"u", std::string(72, 'x')})).status.code, 0);
  EXPECT_EQ(prepare(kUserAdd, request({"u", std::string("a\0b", 3)})).status.code, 3);
  EXPECT_EQ(prepare(kUserAdd, request({std::string(257, 'x'), "pw"})).status.code, 3);
  EXPECT_EQ(prepare(kUserAdd, request({std::string(256, 'x'), "pw"})).status.code, 0);
  EXPECT_EQ(prepare(kRoleAdd, request({std::string(1025, 'x')})).status.code, 3);
  EXPECT_EQ(prepare(kRoleAdd, request({std::string(1024, 'x')})).status.code, 0);
  EXPECT_EQ(prepare(kUserAdd, "\x0a\x7f").status.code, 3);
  EXPECT_EQ(prepare(kUserChangePassword, "\x0a\x7f").status.code, 3);
}

TEST_F(Prepare, AuthenticateLosesItsPasswordAndGetsAToken) {
  LogInRequest r;
  ASSERT_TRUE(r.parse(prepare(kAuthenticate, request({"u", "geheim", "chosen"})).bytes));
  EXPECT_EQ(r.name, "u");
  EXPECT_EQ(r.simple_token.size(), 16u);
  EXPECT_EQ(prepare(kAuthenticate, request({"u", "geheim"})).bytes.find("geheim"),
            std::string::npos);
}

// Members of etcd's end at such entries.
TEST_F(Prepare, NamesAreUtf8) {
  for (const char* bad : {"\x80", "\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                          "\xe0\x80\x80", "\xf0\x80\x80\x80", "a\xff"}) {
    for (const uint32_t field :
         {1012, 1100, 1101, 1102, 1103, 1104, 1105, 1200, 1201, 1202, 1203, 1204}) {
      EXPECT_EQ(prepare(field, request({bad, "x"})).status.code, 3) << field;
    }
    EXPECT_EQ(prepare(1104, request({"x", bad})).status.code, 3);
    EXPECT_EQ(prepare(1204, request({"x", bad})).status.code, 0);  // A key may be anything.
  }
  for (const char* good :
       {"\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xed\x9f\xbf", "\x7f"}) {
    EXPECT_EQ(prepare(1200, request({good})).status.code, 0);
  }
}

TEST_F(Prepare, OthersGoAsTheyCame) {
  const std::string bytes = request({"a", "b", "c"});
  for (const uint32_t field :
       {1000, 1011, 1013, 1101, 1102, 1104, 1105, 1106, 1107, 1201, 1202, 1203, 1204}) {
    EXPECT_EQ(prepare(field, bytes).bytes, bytes);
  }
}

// ---- login() ----

class Login : public testing::Test {
 protected:
  Login() {
    m.enable();
    m.propose(kUserAdd, request({"u", "pw"}));
    UserAddRequest r;
    r.name = "cn";
    r.options = UserOptions{true};
    m.apply(kUserAdd, r.encode());
  }
  Member m;
};

TEST_F(Login, RightAndWrong) {
  const Answer right = m.login("u", "pw");
  EXPECT_EQ(right.status.code, 0);
  EXPECT_EQ(right.bytes, "");  // The log brings it.
  mortise_auth_state now{};
  m.rbac->state(now);
  EXPECT_EQ(right.auth_revision, now.revision);
  for (const char* wrong : {"", "pW", "pw ", "p"}) {
    EXPECT_EQ(m.login("u", wrong).status.message, kFailed);
  }
  EXPECT_EQ(m.login("x", "pw").status.message, kFailed);
  EXPECT_EQ(m.login("", "pw").status.message, kFailed);
  EXPECT_EQ(m.login(std::string(100'000, 'x'), "pw").status.message, kFailed);
  EXPECT_EQ(m.login("u", std::string("pw\0x", 4)).status.message, kFailed);
  const Answer cn = m.login("cn", "");
  EXPECT_EQ(cn.status.code, 2);
  EXPECT_EQ(cn.status.message,
            "auth: authentication failed, password was given for no password user");
  m.apply(kAuthDisable);
  EXPECT_EQ(m.login("u", "pw").status.message, "etcdserver: authentication is not enabled");
}

TEST_F(Login, RememberedPasswordsEndWithTheirUser) {
  EXPECT_EQ(m.login("u", "pw").status.code, 0);
  EXPECT_EQ(m.login("u", "pw").status.code, 0);
  m.propose(kUserChangePassword, request({"u", "new"}));
  EXPECT_EQ(m.login("u", "pw").status.message, kFailed);
  EXPECT_EQ(m.login("u", "new").status.code, 0);
  m.apply(kUserDelete, request({"u"}));
  EXPECT_EQ(m.login("u", "new").status.message, kFailed);
  m.propose(kUserAdd, request({"u", "other"}));
  EXPECT_EQ(m.login("u", "new").status.message, kFailed);
  EXPECT_EQ(m.login("u", "other").status.code, 0);
}

TEST_F(Login, GuessesAreLimitedAndARememberedPasswordIsNot) {
  EXPECT_EQ(m.login("u", "pw", "10.0.0.1:1").status.code, 0);
  int refused = 0;
  for (int i = 0; i < 90; ++i) {
    const Answer answer =
        m.login("u", "guess" + std::to_string(i), "10.0.0.2:" + std::to_string(i));
    ASSERT_NE(answer.status.code, 0);
    refused += answer.status.message == kTooMany;
  }
  EXPECT_GE(refused, 1);
  EXPECT_EQ(m.login("u", "pw", "10.0.0.2:99").status.code, 0);
  // Somebody else's guesses do not keep away who has not been here yet.
  m.propose(kUserChangePassword, request({"u", "fresh"}));
  EXPECT_EQ(m.login("u", "fresh", "10.0.0.3:1").status.code, 0);
}

TEST_F(Login, EqualLoginsShareOneCheck) {
  Answers answers;
  for (int i = 0; i < 500; ++i) m.rbac->login("u", "pw", "10.0.0.1:1", answers.login_done());
  for (int i = 0; i < 500; ++i) m.rbac->login("u", "no", "10.0.0.1:1", answers.login_done());
  int right = 0;
  for (const Answer& a : answers.wait(1000)) right += a.status.code == 0;
  EXPECT_EQ(right, 500);
}

// Guesses of names that nobody has do not run into the limits of a user.
TEST_F(Login, WhoSendsManyHoldsUpNobodyElse) {
  Answers flood;  // Ends last: the member answers all when it ends.
  Member slow(R"({"token":"simple","bcrypt_cost":9})");
  slow.enable();
  constexpr size_t kFlood = 200;
  for (size_t i = 0; i < kFlood; ++i) {
    slow.rbac->login("x" + std::to_string(i), "guess", "10.0.0.9:1", flood.login_done());
  }
  EXPECT_EQ(slow.login("root", "pw", "10.0.0.1:1").status.code, 0);
  EXPECT_LT(flood.size(), kFlood / 2);
}

TEST_F(Login, ManyAddressesDoNotTakeAllRoom) {
  Answers flood;  // Ends last: the member answers all when it ends.
  Member slow(R"({"token":"simple","bcrypt_cost":9})");
  slow.enable();
  constexpr size_t kFlood = kHashTasksMax + 100;
  for (size_t i = 0; i < kFlood; ++i) {
    slow.rbac->login("x" + std::to_string(i), "guess", "10.0.0." + std::to_string(i % 10) + ":1",
                     flood.login_done());
  }
  EXPECT_EQ(slow.login("root", "pw", "10.0.1.1:1").status.code, 0);
  slow.rbac.reset();
  EXPECT_EQ(flood.size(), kFlood);
}

TEST_F(Login, AllAreAnsweredWhenThePluginEnds) {
  Answers answers;
  for (int i = 0; i < 200; ++i) {
    const std::string name = "x" + std::to_string(i);
    m.rbac->login(name, "pw", "10.0.0." + std::to_string(i % 20) + ":1", answers.login_done());
    m.rbac->prepare(kUserAdd, sdk::Buffer::from(request({name, "pw"})), answers.prepare_done());
  }
  m.rbac.reset();
  EXPECT_EQ(answers.size(), 400u);
}

TEST_F(Login, ManyAtOnce) {
  Answers answers;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        m.rbac->login("u", i % 5 == 0 ? "pw" : std::to_string(i), "10.0.0." + std::to_string(t),
                      answers.login_done());
      }
    });
  }
  for (int i = 0; i < 50; ++i) m.propose(kUserChangePassword, request({"u", "pw"}));
  for (auto& t : threads) t.join();
  for (const Answer& a : answers.wait(200)) {
    EXPECT_TRUE(a.status.code == 0 || a.status.message == kFailed || a.status.message == kTooMany);
  }
}

double process_seconds() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

// Prints what a login with a remembered password costs, entry of the log and all, in time of the
// processor; fails only if it is far from what it is meant to be.
TEST_F(Login, CostOfARememberedPassword) {
  ASSERT_FALSE(m.token("u", "pw").empty());
  constexpr int kLogins = 20'000;
  const double begin = process_seconds();
  for (int i = 0; i < kLogins; ++i) ASSERT_FALSE(m.token("u", "pw").empty());
  const double took_us = (process_seconds() - begin) * 1e6 / kLogins;
  std::printf("a login with a remembered password: %.1f us\n", took_us);
  EXPECT_LT(took_us, 2'000);
}

// ---- The parts ----

TEST(FailureLimits, RefillAndGiveBack) {
  const auto hash = KeyedHash::make();
  milliseconds now{0};
  FailureLimits limits(*hash, [&] { return std::chrono::nanoseconds(now); });
  const auto burst = [&](std::string_view user, std::string_view from) {
    int admitted = 0;
    while (limits.admit(user, from)) ++admitted;
    return admitted;
  };
  EXPECT_EQ(burst("u", "a:1"), 20);
  EXPECT_EQ(burst("u", "a:2"), 0);  // The port does not matter.
  EXPECT_EQ(burst("v", "a:1"), 20);
  EXPECT_EQ(burst("u", "b:1"), 20);
  now += seconds(1);
  EXPECT_EQ(burst("u", "a:1"), 1);
  limits.give_back("u", "a:1");
  EXPECT_EQ(burst("u", "a:1"), 1);
  // Many addresses empty the user's own; ten come back in a second.
  for (int i = 0; i < 20; ++i) burst("u", "c" + std::to_string(i) + ":1");
  EXPECT_EQ(burst("u", "d:1"), 0);
  now += milliseconds(100);
  EXPECT_EQ(burst("u", "e:1"), 1);
  now += seconds(1000);
  EXPECT_EQ(burst("u", "a:1"), 20);
}

TEST(FailureLimits, TableIsBounded) {
  const auto hash = KeyedHash::make();
  FailureLimits limits(*hash, steady_now, 8);
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(limits.admit("u" + std::to_string(i), "a:1"));
}

TEST(VerifiedPasswords, BoundedAndBoundToTheStoredHash) {
  const auto hash = KeyedHash::make();
  VerifiedPasswords passwords(*hash, 2);
  UserRecord a, b, c;
  a.name = "a";
  b.name = "b";
  c.name = "c";
  a.password = "hash";
  passwords.add(a, "pw");
  passwords.add(b, "pw");
  EXPECT_TRUE(passwords.knows(a, "pw"));
  EXPECT_FALSE(passwords.knows(a, "pw2"));
  passwords.add(c, "pw");
  EXPECT_FALSE(passwords.knows(b, "pw"));  // The longest unused.
  EXPECT_TRUE(passwords.knows(a, "pw"));
  a.password = "other hash";
  EXPECT_FALSE(passwords.knows(a, "pw"));
}

TEST(AddressOf, ANetworkOfIpv6IsOne) {
  const std::string one = address_of("[2001:db8:0:1:2:3:4:5]:4321");
  EXPECT_EQ(one, "2001:db8:0:1::/64");
  EXPECT_EQ(address_of("[2001:db8:0:1:ffff::1]:1"), one);
  EXPECT_NE(address_of("[2001:db8:0:2:2:3:4:5]:4321"), one);
  EXPECT_EQ(address_of("[fe80::1%eth0]:1"), "fe80::/64");
  // IPv4 over a socket of IPv6.
  EXPECT_EQ(address_of("[::ffff:10.0.0.1]:4321"), "10.0.0.1");
  EXPECT_EQ(address_of("[nonsense]:1"), "[nonsense]");
}

TEST(TurnQueue, SendersTakeTurns) {
  TurnQueue<int> queue;
  for (int i = 1; i <= 3; ++i) queue.push("a", i);
  queue.push("b", 10);
  queue.push("c", 20);
  std::vector<int> out;
  while (!queue.empty()) out.push_back(queue.pop());
  EXPECT_EQ(out, (std::vector<int>{1, 10, 20, 2, 3}));
}

TEST(TurnQueue, WhoHasMostMakesRoom) {
  TurnQueue<int> queue;
  int out = 0;
  EXPECT_FALSE(queue.make_room_for("a", out));
  for (int i = 1; i <= 3; ++i) queue.push("a", i);
  EXPECT_FALSE(queue.make_room_for("a", out));
  EXPECT_TRUE(queue.make_room_for("b", out));
  EXPECT_EQ(out, 3);
  queue.push("b", 10);
  EXPECT_FALSE(queue.make_room_for("b", out));  // Then it would be the other way round.
  EXPECT_EQ(queue.pop(), 1);
  EXPECT_EQ(queue.pop(), 10);
  EXPECT_EQ(queue.pop(), 2);
  EXPECT_TRUE(queue.empty());
}

TEST(AddressOf, LeavesThePort) {
  EXPECT_EQ(address_of("10.0.0.1:4321"), "10.0.0.1");
  EXPECT_EQ(address_of("[::1]:4321"), "::/64");
  EXPECT_EQ(address_of("unix:/tmp/a:b"), "unix:/tmp/a:b");
  EXPECT_EQ(address_of(""), "");
}

}  // namespace
}  // namespace mortise::auth_rbac
