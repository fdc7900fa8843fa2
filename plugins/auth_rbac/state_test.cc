// What each auth request does to rows, revision and later requests, and what refusals say.
#include "plugins/auth_rbac/state.h"

#include <gtest/gtest.h>

#include <random>

#include "plugins/auth_rbac/base64.h"
#include "plugins/auth_rbac/bcrypt.h"
#include "plugins/auth_rbac/permission_order.h"
#include "plugins/auth_rbac/requests.h"
#include "plugins/auth_rbac/test_util.h"

namespace mortise::auth_rbac {
namespace {

using namespace std::string_literals;

// A user without a password, as its request is logged.
std::string user_add(std::string_view name) {
  UserAddRequest r;
  r.name = name;
  r.options = UserOptions{true};
  return r.encode();
}

uint64_t revision(Member& m) {
  mortise_auth_state state{};
  state.struct_size = sizeof(state);
  m.rbac->state(state);
  return state.revision;
}

std::string hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    constexpr char kDigits[] = "0123456789abcdef";
    out.push_back(kDigits[static_cast<uint8_t>(c) >> 4]);
    out.push_back(kDigits[static_cast<uint8_t>(c) & 15]);
  }
  return out;
}

std::vector<std::string> listed(std::string_view response) {
  std::vector<std::string> out;
  Reader in(response);
  while (in.next()) out.emplace_back(in.bytes());
  return out;
}

struct Step {
  uint32_t field;
  std::string bytes;
  std::string message;  // Empty: granted.
  uint64_t revision;    // Afterwards.
};

void play(Member& m, const std::vector<Step>& steps) {
  for (size_t i = 0; i < steps.size(); ++i) {
    SCOPED_TRACE("step " + std::to_string(i));
    EXPECT_EQ(m.apply(steps[i].field, steps[i].bytes).message, steps[i].message);
    EXPECT_EQ(revision(m), steps[i].revision);
  }
}

TEST(State, EveryRuleForUsers) {
  Member m;
  play(m, {{kAuthEnable, "", "etcdserver: root user does not exist", 1},
           {kUserAdd, user_add(""), "etcdserver: user name is empty", 1},
           {kUserAdd, user_add("root"), "", 2},
           {kUserAdd, user_add("root"), "etcdserver: user name already exists", 2},
           {kAuthEnable, "", "etcdserver: root user does not have root role", 2},
           {kUserGrantRole, request({"nobody", "root"}), "etcdserver: user name not found", 2},
           {kUserGrantRole, request({"root", "r"}), "etcdserver: role name not found", 2},
           {kUserGrantRole, request({"root", "root"}), "", 3},
           {kUserGrantRole, request({"root", "root"}), "", 3},  // Held already.
           {kAuthEnable, "", "", 3},
           {kAuthEnable, "", "", 3},
           {kUserRevokeRole, request({"root", "root"}), "etcdserver: invalid auth management", 3},
           {kUserDelete, request({"root"}), "etcdserver: invalid auth management", 3},
           {kUserAdd, user_add("a"), "", 4},
           {kUserRevokeRole, request({"a", "r"}), "etcdserver: role is not granted to the user", 4},
           {kUserChangePassword, request({"b"}), "etcdserver: user name not found", 4},
           {kUserChangePassword, request({"a"}), "", 5},
           {kUserGet, request({"b"}), "etcdserver: user name not found", 5},
           {kUserDelete, request({"b"}), "etcdserver: user name not found", 5},
           {kUserDelete, request({"a"}), "", 6},
           {kAuthDisable, "", "", 7},
           {kAuthDisable, "", "", 7},
           {kUserRevokeRole, request({"root", "root"}), "", 8},
           {kUserDelete, request({"root"}), "", 9}});
}

TEST(State, EveryRuleForRoles) {
  Member m;
  const std::string grant = permission_request("r", PermissionType::kRead, "a", "c");
  play(m, {{kRoleAdd, request({""}), "etcdserver: role name is empty", 1},
           {kRoleAdd, request({"r"}), "", 2},
           {kRoleAdd, request({"r"}), "etcdserver: role name already exists", 2},
           {kRoleGet, request({"s"}), "etcdserver: role name not found", 2},
           {kRoleGrantPermission, request({"r"}), "etcdserver: permission not given", 2},
           {kRoleGrantPermission, permission_request("r", PermissionType::kRead, "", "c"),
            "etcdserver: invalid auth management", 2},
           {kRoleGrantPermission, permission_request("r", PermissionType::kRead, "c", "a"),
            "etcdserver: invalid auth management", 2},
           {kRoleGrantPermission, permission_request("r", PermissionType::kRead, "c", "c"),
            "etcdserver: invalid auth management", 2},
           {kRoleGrantPermission, permission_request("s", PermissionType::kRead, "a", ""),
            "etcdserver: role name not found", 2},
           {kRoleGrantPermission, grant, "", 3},
           {kRoleGrantPermission, grant, "", 4},  // The same again is a change as well.
           {kRoleRevokePermission, request({"r", "a", "b"}),
            "etcdserver: permission is not granted to the role", 4},
           {kRoleRevokePermission, request({"s", "a", "c"}), "etcdserver: role name not found", 4},
           {kRoleRevokePermission, request({"r", "a", "c"}), "", 5},
           {kRoleDelete, request({"s"}), "etcdserver: role name not found", 5},
           {kRoleDelete, request({"r"}), "", 6}});
}

TEST(State, RootRoleIsKnownWithoutBeingAdded) {
  Member m;
  m.enable();
  EXPECT_EQ(m.apply(kRoleDelete, request({"root"})).message, "etcdserver: invalid auth management");
  EXPECT_EQ(m.apply(kRoleGet, request({"root"})).message, "etcdserver: role name not found");
  EXPECT_EQ(m.apply(kRoleAdd, request({"root"})).code, 0);
  EXPECT_EQ(m.apply(kRoleGet, request({"root"})).code, 0);
  EXPECT_EQ(hex(m.response), "120508021a0100");  // Read and write from the first key on.
}

TEST(State, RowsAreEtcdsBytes) {
  Member m;
  m.propose(kUserAdd, user_add("u"));
  m.apply(kRoleAdd, request({"r2"}));
  m.apply(kRoleAdd, request({"r1"}));
  m.apply(kUserGrantRole, request({"u", "r2"}));
  m.apply(kUserGrantRole, request({"u", "r1"}));
  m.apply(kRoleGrantPermission, permission_request("r1", PermissionType::kReadWrite, "k", "\0"s));
  m.apply(kRoleGrantPermission, permission_request("r1", PermissionType::kRead, "a", ""));
  EXPECT_EQ(hex(m.rows.all.at("uu")),
            "0a0175"
            "1a027231"
            "1a027232"
            "22020801");
  EXPECT_EQ(hex(m.rows.all.at("rr1")),
            "0a027231"
            "1203120161"
            "1208080212016b1a0100");
  EXPECT_EQ(hex(m.rows.all.at("aauthRevision")), "0000000000000008");
  EXPECT_EQ(m.rows.all.count("aauthEnabled"), 0u);
  m.enable();
  EXPECT_EQ(hex(m.rows.all.at("aauthEnabled")), "01");
  m.apply(kAuthDisable);
  EXPECT_EQ(hex(m.rows.all.at("aauthEnabled")), "00");
}

TEST(State, OptionsAreStoredEvenIfNoneWereGiven) {
  Member m;
  UserAddRequest r;
  r.name = "u";
  r.hashed_password = base64_encode("hash");
  m.apply(kUserAdd, r.encode());
  EXPECT_EQ(hex(m.rows.all.at("uu")),
            "0a0175"
            "120468617368"
            "2200");
}

TEST(State, ChangedPasswordOfAUserWithoutOneStaysAway) {
  Member m;
  m.apply(kUserAdd, user_add("u"));
  m.apply(kUserChangePassword, request({"u", "", base64_encode("hash")}));
  EXPECT_EQ(hex(m.rows.all.at("uu")),
            "0a0175"
            "22020801");
}

TEST(State, BadBase64IsRefused) {
  Member m;
  EXPECT_EQ(m.apply(kUserAdd, request({"u", "", "", "a"})).message,
            "auth: authentication failed, password was given for no password user");
  EXPECT_TRUE(m.rows.all.empty());
}

// The first permission with the key decides whether one is replaced.
TEST(State, PermissionIsReplacedOnlyIfItIsTheFirstOfItsKey) {
  Member m;
  m.apply(kRoleAdd, request({"r"}));
  const auto grant = [&](PermissionType type, std::string_view end) {
    m.apply(kRoleGrantPermission, permission_request("r", type, "k", end));
  };
  grant(PermissionType::kRead, "m");
  grant(PermissionType::kRead, "z");
  grant(PermissionType::kWrite, "m");      // The first: replaced.
  grant(PermissionType::kReadWrite, "z");  // The second: there are two of it now.
  RoleRecord role;
  ASSERT_TRUE(role.parse(m.rows.all.at("rr")));
  ASSERT_EQ(role.permissions.size(), 3u);
  EXPECT_EQ(role.permissions[0].range_end, "m");
  EXPECT_EQ(role.permissions[0].type, 1u);
  EXPECT_EQ(role.permissions[1].type, 0u);
  EXPECT_EQ(role.permissions[2].type, 2u);
  m.apply(kRoleRevokePermission, request({"r", "k", "z"}));  // Both go.
  ASSERT_TRUE((role = RoleRecord{}, role.parse(m.rows.all.at("rr"))));
  EXPECT_EQ(role.permissions.size(), 1u);
}

// The order that Go's sort.Sort leaves after each of 70 additions, as a hash of keys and range
// ends.
TEST(State, PermissionsOfOneKeyAreInGosOrder) {
  for (const auto& [keys, wanted] :
       {std::pair{1u, 1370569110u}, {3u, 3336385145u}, {7u, 2940247999u}}) {
    std::vector<Permission> all;
    uint32_t random = 1;
    for (int n = 0; n < 70; ++n) {
      random = random * 1664525 + 1013904223;
      all.push_back(
          {0, std::string(1, static_cast<char>('a' + (random >> 16) % keys)), std::to_string(n)});
      sort_permissions(all);
    }
    uint32_t hash = 2166136261;
    for (const Permission& p : all) {
      for (const char c : p.key + p.range_end + ",") {
        hash = (hash ^ static_cast<uint8_t>(c)) * 16777619;
      }
    }
    EXPECT_EQ(hash, wanted) << keys << " keys";
  }
}

TEST(State, DeletedRoleLeavesItsHolders) {
  Member m;
  m.apply(kRoleAdd, request({"a"}));
  m.apply(kRoleAdd, request({"b"}));
  m.apply(kUserAdd, user_add("u"));
  m.apply(kUserAdd, user_add("v"));
  m.apply(kUserGrantRole, request({"u", "b"}));
  m.apply(kUserGrantRole, request({"u", "a"}));
  m.apply(kUserGet, request({"u"}));
  EXPECT_EQ(listed(m.response), (std::vector<std::string>{"a", "b"}));
  m.apply(kRoleDelete, request({"a"}));
  m.apply(kUserGet, request({"u"}));
  EXPECT_EQ(listed(m.response), (std::vector<std::string>{"b"}));
  m.apply(kUserList);
  EXPECT_EQ(listed(m.response), (std::vector<std::string>{"u", "v"}));
  m.apply(kRoleList);
  EXPECT_EQ(listed(m.response), (std::vector<std::string>{"b"}));
  EXPECT_EQ(revision(m), 8u);  // One for the role and all who held it.
}

TEST(State, StatusAndAuthenticate) {
  Member m;
  EXPECT_EQ(m.apply(kAuthStatus).code, 0);
  EXPECT_EQ(hex(m.response), "1801");
  EXPECT_EQ(m.apply(kAuthenticate, request({"root"})).message,
            "etcdserver: authentication is not enabled");
  m.enable();
  m.apply(kUserAdd, user_add("cn"));
  m.apply(kAuthStatus);
  EXPECT_EQ(hex(m.response), "10011804");
  EXPECT_EQ(m.apply(kAuthenticate, request({"x"})).message,
            "etcdserver: authentication failed, invalid user ID or password");
  EXPECT_EQ(m.apply(kAuthenticate, request({"cn"})).message,
            "etcdserver: authentication failed, invalid user ID or password");
  LogInRequest r;
  r.name = "root";
  r.simple_token = "abcdefghijklmnop";
  EXPECT_EQ(m.apply(kAuthenticate, r.encode()).code, 0);
  EXPECT_EQ(listed(m.response)[0], "abcdefghijklmnop." + std::to_string(m.index));
}

TEST(State, RefusedAndUnknownRequestsWriteNothing) {
  Member m;
  m.enable();
  const auto before = m.rows.all;
  EXPECT_EQ(m.apply(4711).code, 13);
  EXPECT_EQ(m.apply(kUserAdd, "\x0a\x7f").code, 3);
  EXPECT_EQ(m.apply(kUserDelete, "\xff").code, 3);
  EXPECT_EQ(m.rows.all, before);
}

// etcd 3.4 logs passwords. All members have to make the same hash of one.
TEST(State, PasswordOutOfAnOldLogIsHashedAlikeEverywhere) {
  Member a, b;
  a.apply(kUserAdd, request({"u", "pw"}));
  b.apply(kUserAdd, request({"u", "pw"}));
  EXPECT_EQ(a.rows.all, b.rows.all);
  UserRecord user;
  ASSERT_TRUE(user.parse(a.rows.all.at("uu")));
  EXPECT_TRUE(bcrypt_matches("pw", user.password));
}

TEST(State, LoadFindsWhatWasApplied) {
  Member a, b;
  a.enable();
  a.apply(kRoleAdd, request({"r"}));
  a.apply(kRoleGrantPermission, permission_request("r", PermissionType::kRead, "k", ""));
  a.apply(kUserAdd, user_add("u"));
  a.apply(kUserGrantRole, request({"u", "r"}));
  b.rows.all = a.rows.all;
  ASSERT_TRUE(b.rbac->load(b.rows.txn()).ok());
  EXPECT_EQ(b.rows.all, a.rows.all);
  EXPECT_EQ(revision(b), revision(a));
  EXPECT_EQ(b.may("u", access(MORTISE_ACCESS_READ, "k")).code, 0);
  EXPECT_EQ(b.may("u", access(MORTISE_ACCESS_WRITE, "k")).code, 7);
  // From there on, both do the same.
  a.apply(kUserGrantRole, request({"u", "root"}));
  b.apply(kUserGrantRole, request({"u", "root"}));
  EXPECT_EQ(b.rows.all, a.rows.all);
}

TEST(State, DamagedRowsAreFound) {
  for (const auto& [key, value] : std::map<std::string, std::string>{{"uu", "\x0a\x7f"},
                                                                     {"uu", "\x0a\x01v"},
                                                                     {"rr", "\x12\x01\xff"},
                                                                     {"aauthRevision", "1"},
                                                                     {"x", ""}}) {
    Member m;
    m.rows.all[key] = value;
    EXPECT_EQ(m.rbac->load(m.rows.txn()).code, MORTISE_E_CORRUPTION) << key;
  }
}

// The same random entries on two members, one of which is started anew now and then.
TEST(State, MembersWriteTheSameRows) {
  std::mt19937_64 random(7);
  Member a;
  auto b = std::make_unique<Member>();
  const auto pick = [&](int n) { return std::string(1, static_cast<char>('a' + random() % n)); };
  constexpr RequestField kFields[] = {kAuthEnable,
                                      kAuthDisable,
                                      kUserAdd,
                                      kUserDelete,
                                      kUserChangePassword,
                                      kUserGet,
                                      kUserGrantRole,
                                      kUserRevokeRole,
                                      kUserList,
                                      kRoleList,
                                      kRoleAdd,
                                      kRoleDelete,
                                      kRoleGet,
                                      kRoleGrantPermission,
                                      kRoleRevokePermission,
                                      kAuthenticate};
  size_t granted = 0;
  for (int i = 0; i < 20'000; ++i) {
    const uint32_t field = kFields[random() % std::size(kFields)];
    std::string bytes = request({pick(4), pick(5), pick(6)});
    if (random() % 8 == 0) bytes = request({"root", "root"});
    if (field == kUserAdd) bytes = random() % 4 == 0 ? user_add("root") : user_add(pick(4));
    if (field == kUserChangePassword) bytes = request({pick(4), "", base64_encode(pick(9))});
    if (field == kRoleGrantPermission) {
      bytes = permission_request(pick(5), static_cast<PermissionType>(random() % 4), pick(6),
                                 random() % 2 ? pick(9) : "");
    }
    const auto x = a.apply(field, bytes);
    const auto y = b->apply(field, bytes);
    ASSERT_EQ(x.message, y.message) << i;
    granted += x.code == 0;
    if (x.code == 0) {
      ASSERT_EQ(a.response, b->response) << i;
    }
    ASSERT_EQ(a.rows.all, b->rows.all) << i;
    if (random() % 200 == 0) {
      auto anew = std::make_unique<Member>();
      anew->rows.all = b->rows.all;
      anew->index = b->index;
      ASSERT_TRUE(anew->rbac->load(anew->rows.txn()).ok());
      b = std::move(anew);
    }
  }
  EXPECT_GT(granted, 5'000u);
}

}  // namespace
}  // namespace mortise::auth_rbac
