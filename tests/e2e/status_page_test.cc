// The status page in a real browser: it runs under its own policy, asks the server and shows what
// it is told.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "tests/lib/client.h"
#include "tests/lib/node.h"

namespace mortise::testing {
namespace {

constexpr const char* kBrowser = "/usr/bin/chromium";

// The document as the browser has it after some seconds of its own time, and what it said.
std::string document_of(const std::string& url, const std::string& profile) {
  return run_command(
             {.argv = {kBrowser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
                       "--no-first-run", "--disable-background-networking",
                       "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
                       "--enable-logging=stderr", "--user-data-dir=" + profile,
                       "--virtual-time-budget=7000", "--dump-dom", url}})
      .text;
}

void enable_users(Client& client) {
  const auto did = [](const grpc::Status& status) { EXPECT_EQ(status_text(status), "OK"); };
  etcdserverpb::AuthUserAddRequest user;
  user.set_name("root");
  user.set_password("pw");
  etcdserverpb::AuthUserAddResponse added;
  did(client.call(client.auth(), &etcdserverpb::Auth::Stub::UserAdd, user, &added));
  etcdserverpb::AuthUserGrantRoleRequest grant;
  grant.set_user("root");
  grant.set_role("root");
  etcdserverpb::AuthUserGrantRoleResponse granted;
  did(client.call(client.auth(), &etcdserverpb::Auth::Stub::UserGrantRole, grant, &granted));
  etcdserverpb::AuthEnableResponse enabled;
  did(client.call(client.auth(), &etcdserverpb::Auth::Stub::AuthEnable,
                  etcdserverpb::AuthEnableRequest(), &enabled));
}

// With users, nothing that is theirs; and the form for a name and a password.
TEST(StatusPage, AsksForALogin) {
  if (!std::filesystem::exists(kBrowser)) GTEST_SKIP() << "no Chromium";
  Node node(mortise_target("lmdb"), {.name = "member-one"});
  ASSERT_EQ(node.start().message(), "");
  Client client(node.endpoint());
  ASSERT_TRUE(client.put("fruit/apple", "green").ok());
  enable_users(client);
  const std::string profile = ::testing::TempDir() + "status_login." + std::to_string(getpid());
  const std::string page = document_of(node.client_url() + "/ui#keys=fruit/", profile);
  std::filesystem::remove_all(profile);
  for (const char* wanted : {">login needed<", "id=\"login\">", "user name is empty"}) {
    EXPECT_NE(page.find(wanted), std::string::npos) << wanted << "\n" << page;
  }
  for (const char* secret : {"apple", "green", "(this one)"}) {
    EXPECT_EQ(page.find(secret), std::string::npos) << secret << "\n" << page;
  }
}

TEST(StatusPage, ShowsTheMemberAndItsKeys) {
  if (!std::filesystem::exists(kBrowser)) GTEST_SKIP() << "no Chromium";
  Node node(mortise_target("lmdb"), {.name = "member-one"});
  ASSERT_EQ(node.start().message(), "");
  Client client(node.endpoint());
  ASSERT_TRUE(client.put("fruit/apple", "<b>green</b>").ok());
  ASSERT_TRUE(client.put("fruit/pear", std::string("\x01\xff", 2)).ok());
  ASSERT_TRUE(client.put("zebra", "x").ok());
  const std::string profile = ::testing::TempDir() + "status_page." + std::to_string(getpid());
  const std::string page = document_of(node.client_url() + "/ui#keys=fruit/", profile);
  std::filesystem::remove_all(profile);
  for (const char* wanted :
       {"member-one (this one)", "<b>leader</b>", ">healthy<", "fruit/apple",
        "&lt;b&gt;green&lt;/b&gt;", "0x01ff", "2 of 2 keys, revision 4", "<path d=\"M"}) {
    EXPECT_NE(page.find(wanted), std::string::npos) << wanted << "\n" << page;
  }
  EXPECT_EQ(page.find("zebra"), std::string::npos);
  EXPECT_EQ(page.find("Content Security Policy"), std::string::npos) << page;
  EXPECT_EQ(page.find("Uncaught"), std::string::npos) << page;
}

}  // namespace
}  // namespace mortise::testing
