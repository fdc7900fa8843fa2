// The buckets of a real etcd 3.7.1, as rows: they are understood, and changing them and back gives
// the same bytes.
#include <gtest/gtest.h>

#include <fstream>

#include "plugins/auth_rbac/test_util.h"

namespace mortise::auth_rbac {
namespace {

std::string unhex(std::string_view hex) {
  std::string out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    out.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return out;
}

class Buckets : public testing::Test {
 protected:
  Buckets() {
    const std::map<std::string, char> tags = {{"auth", MORTISE_AUTH_ROW_STATE},
                                              {"authRoles", MORTISE_AUTH_ROW_ROLE},
                                              {"authUsers", MORTISE_AUTH_ROW_USER}};
    std::ifstream in("testdata/buckets_of_etcd.txt");
    std::string bucket, key, value;
    while (in >> bucket >> key >> value) m.rows.all[tags.at(bucket) + unhex(key)] = unhex(value);
    stored = m.rows.all;
    EXPECT_EQ(stored.size(), 8u);
    EXPECT_TRUE(m.rbac->load(m.rows.txn()).ok());
  }
  bool may(std::string_view user, mortise_access_kind kind, std::string_view key,
           std::string_view end = {}) {
    return m.may(user, access(kind, key, end)).code == 0;
  }
  Member m;
  std::map<std::string, std::string> stored;
};

TEST_F(Buckets, AreUnderstood) {
  mortise_auth_state state{};
  m.rbac->state(state);
  EXPECT_EQ(state.enabled, 1u);
  EXPECT_EQ(state.revision, 15u);
  EXPECT_EQ(m.login("alice", "wonder").status.code, 0);
  EXPECT_EQ(m.login("root", "pw").status.code, 0);
  EXPECT_NE(m.login("alice", "pw").status.code, 0);
  EXPECT_EQ(m.login("robot", "pw").status.code, 2);
  EXPECT_TRUE(may("root", MORTISE_ACCESS_ADMIN, ""));
  EXPECT_TRUE(may("robot", MORTISE_ACCESS_READ, "/a/", "/a0"));
  EXPECT_TRUE(may("robot", MORTISE_ACCESS_READ, "/one"));
  EXPECT_FALSE(may("robot", MORTISE_ACCESS_READ, "/one1"));
  EXPECT_FALSE(may("robot", MORTISE_ACCESS_WRITE, "/a/k"));
  EXPECT_TRUE(may("alice", MORTISE_ACCESS_WRITE, "/a/k"));
  EXPECT_TRUE(may("alice", MORTISE_ACCESS_WRITE, "/x", std::string_view("\0", 1)));
  EXPECT_FALSE(may("alice", MORTISE_ACCESS_READ, "/x"));
}

TEST_F(Buckets, ChangedAndChangedBackAreTheSameBytes) {
  ASSERT_EQ(m.apply(kUserRevokeRole, request({"alice", "readers"})).code, 0);
  ASSERT_EQ(m.apply(kUserGrantRole, request({"alice", "readers"})).code, 0);
  ASSERT_EQ(m.apply(kRoleRevokePermission, request({"readers", "/one"})).code, 0);
  EXPECT_NE(m.rows.all.at("rreaders"), stored.at("rreaders"));
  ASSERT_EQ(m.apply(kRoleGrantPermission,
                    permission_request("readers", PermissionType::kRead, "/one", ""))
                .code,
            0);
  ASSERT_EQ(m.apply(kRoleAdd, request({"other"})).code, 0);
  ASSERT_EQ(m.apply(kUserGrantRole, request({"robot", "other"})).code, 0);
  ASSERT_EQ(m.apply(kRoleDelete, request({"other"})).code, 0);
  stored["aauthRevision"].back() += 7;
  EXPECT_EQ(m.rows.all, stored);
}

}  // namespace
}  // namespace mortise::auth_rbac
