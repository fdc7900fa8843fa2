// What is wrong outside of the server gets a clear answer and harms nothing: flags, plugins, data
// directories, ports, damaged or foreign files. Bad requests are in bad_request_test.cc, a full
// disk in full_disk_test.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/lib/client.h"
#include "tests/lib/node.h"

namespace mortise::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::string build_dir() { return std::getenv("MORTISE_BUILD_DIR"); }

// The newest, or the only, segment of the log.
std::string segment_of(const Node& node) {
  std::string last;
  for (const auto& entry : fs::directory_iterator(node.data_dir() + "/member/wal")) {
    std::string path = entry.path();
    if (path.ends_with(".wal")) last = std::max(last, path);
  }
  return last;
}

class BadInputTest : public ::testing::TestWithParam<std::string> {
 protected:
  Target target() const { return mortise_target(GetParam()); }
  std::string other_backend() const { return GetParam() == "lmdb" ? "rocksdb" : "lmdb"; }

  // It says so in one line of its log, and exits with that code.
  void expect_refusal(Node* node, const std::string& text, int code = 1) {
    size_t before = node->log().size();
    ASSERT_EQ(node->launch().message(), "");
    auto exit = node->wait(kStartBound);
    ASSERT_TRUE(exit.has_value()) << "it runs";
    EXPECT_EQ(exit->code, code);
    EXPECT_EQ(exit->signal, 0);
    EXPECT_THAT(node->log().substr(before), HasSubstr(text));
  }

  // A stopped server with some data.
  std::unique_ptr<Node> used_node() {
    auto node = std::make_unique<Node>(target());
    EXPECT_EQ(node->start().message(), "");
    write(node.get(), 0, 20);
    EXPECT_TRUE(node->stop().has_value());
    return node;
  }

  void write(Node* node, int from, int to) {
    Client client(node->endpoint());
    for (int i = from; i < to; ++i) {
      grpc::Status status = client.put("k" + std::to_string(i), "v");
      ASSERT_TRUE(status.ok()) << status_text(status);
    }
  }

  void expect_keys(Node* node, int count) {
    ASSERT_EQ(node->start().message(), "");
    Client client(node->endpoint());
    etcdserverpb::RangeRequest request;
    request.set_key("k");
    request.set_range_end("l");
    etcdserverpb::RangeResponse response;
    ASSERT_TRUE(client.range(request, &response).ok());
    EXPECT_EQ(response.count(), count);
  }
};

TEST_P(BadInputTest, UnknownFlag) {
  Node node(target(), {.flags = {"--no-such-flag"}});
  expect_refusal(&node, "flag provided but not defined: -no-such-flag", 2);
}

TEST_P(BadInputTest, UnknownBackend) {
  Node node(target(), {.flags = {"--backend=nosuch"}});
  expect_refusal(&node, "nosuch");
}

TEST_P(BadInputTest, PluginFiles) {
  {
    Node node(target(), {.flags = {"--backend=/no/such/plugin.so"}});
    expect_refusal(&node, "/no/such/plugin.so");
  }
  TempDir dir;
  std::string text = dir.path() + "/text.so";
  write_text(text, "this is no program\n");
  {
    Node node(target(), {.flags = {"--backend=" + text}});
    expect_refusal(&node, text);
  }
  Node node(target(), {.flags = {"--backend=" + build_dir() + "/plugins/watch_interval.so"}});
  expect_refusal(&node, "mortise.backend");
}

TEST_P(BadInputTest, BackendOptionsLeaveNoDataBehind) {
  Node node(target(), {.flags = {"--backend-options={\"no-such-option\":1}"}});
  expect_refusal(&node, "no-such-option");
  EXPECT_FALSE(fs::exists(node.data_dir()));
}

TEST_P(BadInputTest, UnreadableDataDir) {
  if (::geteuid() == 0) {
    // As somebody else, if somebody else may execute the binary.
    Command command{.argv = {target().binary, "--version"}, .user = "nobody"};
    if (run_command(command).exit.code != 0)
      GTEST_SKIP() << "run by root, and nobody cannot run the server";
  }
  TempDir dir;
  std::string data = dir.path() + "/data";
  fs::create_directories(data + "/member");
  ::chmod(data.c_str(), 0);
  Node node(target(), {.data_dir = data, .user = ::geteuid() == 0 ? "nobody" : ""});
  expect_refusal(&node, "Permission denied");
  ::chmod(data.c_str(), 0700);
}

TEST_P(BadInputTest, DataDirThatIsAFile) {
  TempDir dir;
  write_text(dir.path() + "/data", "a file");
  Node node(target(), {.data_dir = dir.path() + "/data"});
  expect_refusal(&node, dir.path() + "/data");
  EXPECT_EQ(read_text(dir.path() + "/data"), "a file");
}

TEST_P(BadInputTest, DataDirOfAnEtcdAndOfOurs) {
  auto node = used_node();
  const std::string db = node->data_dir() + "/member/snap/db";
  fs::create_directories(node->data_dir() + "/member/snap");
  write_text(db, "somebody's database");
  expect_refusal(node.get(), "belongs to an etcd server (it has member/snap/db), and holds data");
  EXPECT_EQ(read_text(db), "somebody's database");
  fs::remove(db);
  expect_keys(node.get(), 20);
}

TEST_P(BadInputTest, ForeignFilesInTheStore) {
  Node node(target());
  std::string store = node.data_dir() + "/member/store";
  fs::create_directories(store);
  write_text(store + "/notes.txt", "somebody's notes");
  expect_refusal(&node, store);
  EXPECT_EQ(read_text(store + "/notes.txt"), "somebody's notes");
}

TEST_P(BadInputTest, DataDirInUse) {
  Node first(target());
  ASSERT_EQ(first.start().message(), "");
  write(&first, 0, 2);
  Node second(target(), {.data_dir = first.data_dir()});
  expect_refusal(&second, "is in use by another process");
  write(&first, 2, 4);
  first.kill();
  expect_keys(&second, 4);
}

TEST_P(BadInputTest, PortInUse) {
  Node first(target());
  ASSERT_EQ(first.start().message(), "");
  Node second(target(), {.client_url = first.client_url()});
  expect_refusal(&second, "ddress already in use");
  write(&first, 0, 2);
}

TEST_P(BadInputTest, NewerFormat) {
  auto node = used_node();
  bool lmdb = GetParam() == "lmdb";
  std::string marker = node->data_dir() + (lmdb ? "/member/store/CURRENT" : "/member/store/STORE");
  std::string text = read_text(marker), version = lmdb ? "mortise-lmdb 1\n" : "format 1\n";
  size_t at = text.find(version);
  ASSERT_NE(at, std::string::npos) << text;
  std::string newer = text;
  newer.replace(at, version.size(), lmdb ? "mortise-lmdb 2\n" : "format 2\n");
  write_text(marker, newer);
  expect_refusal(node.get(), "newer");
  EXPECT_EQ(read_text(marker), newer);
  write_text(marker, text);
  expect_keys(node.get(), 20);
}

TEST_P(BadInputTest, StoreOfTheOtherBackend) {
  auto node = used_node();
  Node other(mortise_target(other_backend()), {.data_dir = node->data_dir()});
  expect_refusal(&other, "was made with backend");
  expect_keys(node.get(), 20);
}

TEST_P(BadInputTest, LogMissing) {
  auto node = used_node();
  fs::rename(node->data_dir() + "/member/wal", node->dir() + "/wal");
  expect_refusal(node.get(), "there is no log");
  fs::rename(node->dir() + "/wal", node->data_dir() + "/member/wal");
  expect_keys(node.get(), 20);
}

TEST_P(BadInputTest, StoreMissing) {
  auto node = used_node();
  fs::rename(node->data_dir() + "/member/store", node->dir() + "/store");
  // The log has everything from its first entry on, so the store is made anew.
  expect_keys(node.get(), 20);
}

TEST_P(BadInputTest, LogDamagedInTheMiddle) {
  auto node = used_node();
  std::string segment = segment_of(*node), text = read_text(segment);
  size_t at = text.find("k7");
  ASSERT_NE(at, std::string::npos);
  std::string damaged = text;
  damaged[at] = 'x';
  write_text(segment, damaged);
  expect_refusal(node.get(), fs::path(segment).filename());
  EXPECT_THAT(node->log(), HasSubstr("offset"));
  EXPECT_EQ(read_text(segment), damaged);
  write_text(segment, text);
  expect_keys(node.get(), 20);
}

TEST_P(BadInputTest, TornTailOfTheLogIsRemoved) {
  auto node = used_node();
  std::string segment = segment_of(*node), text = read_text(segment);
  size_t end = text.find_last_not_of('\0') + 1;
  ASSERT_EQ(text[end - 1], 0x5a);
  ASSERT_LT(end + 64, text.size());
  // The beginning of a batch's header, as a crash while writing leaves it.
  text.replace(end, 16, std::string("MBAT\x40\0\0\0\x63\0\0\0\0\0\0\0", 16));
  write_text(segment, text);
  expect_keys(node.get(), 20);
  EXPECT_THAT(node->log(), HasSubstr("removed a write that a crash cut short"));
  write(node.get(), 20, 25);
  ASSERT_TRUE(node->stop().has_value());
  expect_keys(node.get(), 25);
}

INSTANTIATE_TEST_SUITE_P(Backends, BadInputTest, ::testing::Values("rocksdb", "lmdb"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace mortise::testing
