// Debian's etcdctl does the same on our server, with each backend, and on Debian's etcd, and prints
// the same.
#include <gtest/gtest.h>

#include <regex>

#include "tests/lib/client.h"
#include "tests/lib/node.h"

namespace mortise::testing {
namespace {

// A server and what its answers are compared by: ids and addresses replaced by names, lease ids
// remembered.
class Session {
 public:
  explicit Session(const Target& target) : node_(target, {.in_memory = true}) {}

  void start() {
    Status status = node_.start();
    ASSERT_TRUE(status.ok()) << status.message();
  }

  Command command(const std::vector<std::string>& arguments) {
    Command command;
    command.argv = {"etcdctl", "--endpoints=" + node_.endpoint()};
    for (const std::string& argument : arguments) {
      command.argv.push_back(argument == "$LEASE" ? lease_ : argument);
    }
    command.env = {"ETCDCTL_API=3"};
    return command;
  }

  // Exit code and normalised output.
  std::string run(const std::vector<std::string>& arguments, const std::string& input = "") {
    Command c = command(arguments);
    if (!input.empty()) {
      c.input_path = node_.dir() + "/input";
      write_text(c.input_path, input);
    }
    Output output = run_command(c);
    EXPECT_FALSE(output.timed_out);
    return "exit " + std::to_string(output.exit.code) + "\n" + normalised(output.text);
  }

  std::string run_raw(const std::vector<std::string>& arguments) {
    return run_command(command(arguments)).text;
  }

  // A command that goes on until its output holds `end`.
  std::string run_until(const std::vector<std::string>& arguments, const std::string& end) {
    Command c = command(arguments);
    c.output_path = node_.dir() + "/watch" + std::to_string(++outputs_);
    auto process = Process::start(c);
    if (!process.ok()) return process.status().message();
    auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (read_text(c.output_path).find(end) == std::string::npos && (*process)->running() &&
           std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    *process = nullptr;
    return normalised(read_text(c.output_path));
  }

  Node& node() { return node_; }

 private:
  std::string normalised(std::string text) {
    std::smatch match;
    // "lease 694d7e3b1c2f0a05 granted with TTL(600s)"
    if (std::regex_search(text, match, std::regex("lease ([0-9a-f]{8,16}) granted with TTL")))
      lease_ = match[1];
    auto replace = [&](const std::string& pattern, const std::string& by) {
      text = std::regex_replace(text, std::regex(pattern), by);
    };
    if (!lease_.empty()) replace(lease_, "LEASE");
    replace(node_.endpoint(), "ENDPOINT");
    replace(node_.peer_url(), "PEER");
    replace("\"cluster_id\":[0-9]+", "\"cluster_id\":CLUSTER");
    replace("\"(member_id|ID)\":[0-9]+", "\"$1\":ID");
    replace("\"raft_term\":[0-9]+", "\"raft_term\":TERM");
    replace("\"lease\":[0-9]{10,}", "\"lease\":LEASE");
    replace("took = [0-9.]+[a-zµ]+", "took = TIME");
    replace("remaining\\([0-9]+s\\)", "remaining(TIME)");
    replace("^[0-9a-f]{8,16}, started", "MEMBER, started");
    // The client's own log lines name the time and its source.
    replace("\\{\"level\":\"warn\",\"ts\":[^\n]*\n", "");
    return text;
  }

  Node node_;
  std::string lease_;
  int outputs_ = 0;
};

class EtcdctlTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!available(etcd_target())) GTEST_SKIP() << "Debian's etcd is not installed";
    if (run_command({.argv = {"etcdctl", "version"}}).exit.code != 0) GTEST_SKIP() << "no etcdctl";
    etcd_ = std::make_unique<Session>(etcd_target());
    ours_ = std::make_unique<Session>(mortise_target(GetParam()));
    etcd_->start();
    ours_->start();
  }

  // Both print the same; returns it.
  std::string same(const std::vector<std::string>& arguments, const std::string& input = "") {
    std::string want = etcd_->run(arguments, input);
    std::string got = ours_->run(arguments, input);
    EXPECT_EQ(want, got) << ::testing::PrintToString(arguments);
    return got;
  }

  void fill() {
    for (const char* key : {"k/3", "k/1", "k/2", "other", "k/4"})
      same({"put", key, std::string("value of ") + key});
    same({"put", "k/2", "second value"});
  }

  std::unique_ptr<Session> etcd_, ours_;
};

TEST_P(EtcdctlTest, PutAndGet) {
  fill();
  EXPECT_EQ(same({"get", "k/1"}), "exit 0\nk/1\nvalue of k/1\n");
  same({"get", "absent"});
  same({"get", "k/", "--prefix"});
  same({"get", "k/1", "k/3"});
  same({"get", "k/2", "--from-key"});
  same({"get", "", "--from-key", "--keys-only"});
  same({"get", "k/2", "--rev=5"});
  same({"get", "k/2", "--rev=4", "--print-value-only"});
  same({"get", "k/", "--prefix", "--limit=2"});
  same({"get", "k/", "--prefix", "--keys-only"});
  same({"get", "k/", "--prefix", "--count-only", "--write-out=fields"});
  for (const char* order : {"ascend", "descend"}) {
    for (const char* target : {"create", "key", "modify", "value", "version"}) {
      same({"get", "k/", "--prefix", std::string("--order=") + order,
            std::string("--sort-by=") + target});
    }
  }
  same({"get", "k/", "--prefix", "-w", "json"});
  same({"get", "k/1", "--consistency=s", "-w", "json"});
  same({"put", "k/1", "new", "--prev-kv"});
  same({"put", "k/1", "--ignore-value"});
  same({"put", "", "value"});
  same({"put", "absent", "--ignore-value"});
  same({"get", "k/1", "--rev=1000"});
}

TEST_P(EtcdctlTest, Del) {
  fill();
  same({"del", "other", "-w", "json"});
  same({"del", "other"});
  same({"del", "k/", "--prefix", "--prev-kv"});
  same({"get", "", "--prefix"});
  same({"put", "k/1", "again", "-w", "json"});
  same({"get", "k/1", "-w", "json"});
}

TEST_P(EtcdctlTest, Txn) {
  fill();
  same({"txn"},
       "value(\"k/1\") = \"value of k/1\"\nmod(\"k/2\") > \"4\"\n\nput k/1 changed\nget k/1\nput n "
       "new\n\nget k/2\n\n");
  same({"txn"},
       "create(\"k/9\") = \"0\"\nversion(\"k/2\") != \"2\"\n\nput k/9 x\n\nget k/ --prefix\ndel "
       "k/3\n\n");
  same({"txn", "-w", "json"}, "\nput a 1\ndel k/ --prefix\n\n\n");
  same({"txn"}, "\nput a 1\nput a 2\n\n\n");
  same({"get", "", "--prefix", "-w", "json"});
}

TEST_P(EtcdctlTest, WatchFromAnOldRevision) {
  fill();
  same({"del", "k/4"});
  same({"put", "k/end", "last"});
  std::vector<std::string> watch = {"watch", "--prefix", "--rev=2", "k/"};
  EXPECT_EQ(etcd_->run_until(watch, "last"), ours_->run_until(watch, "last"));
  watch.push_back("--prev-kv");
  std::string seen = ours_->run_until(watch, "last");
  EXPECT_EQ(etcd_->run_until(watch, "last"), seen);
  EXPECT_NE(seen.find("DELETE\nk/4\nvalue of k/4\nk/4\n"), std::string::npos) << seen;
  watch = {"watch", "--rev=2", "k/1", "k/3", "-w", "json"};
  EXPECT_EQ(etcd_->run_until(watch, "\"mod_revision\":7"),
            ours_->run_until(watch, "\"mod_revision\":7"));
  same({"compaction", "8"});
  watch = {"watch", "--prefix", "--rev=3", "k/"};
  const std::string last_line = "canceled by the server";
  std::string canceled = ours_->run_until(watch, last_line);
  EXPECT_EQ(etcd_->run_until(watch, last_line), canceled);
  EXPECT_NE(canceled.find("required revision has been compacted"), std::string::npos) << canceled;
}

TEST_P(EtcdctlTest, Leases) {
  same({"lease", "list"});
  same({"lease", "grant", "600"});
  same({"lease", "list"});
  same({"put", "held", "v", "--lease", "$LEASE"});
  same({"lease", "timetolive", "$LEASE"});
  EXPECT_EQ(same({"lease", "timetolive", "$LEASE", "--keys"}),
            "exit 0\nlease LEASE granted with TTL(600s), remaining(TIME), attached keys([held])\n");
  same({"lease", "keep-alive", "--once", "$LEASE"});
  same({"get", "held", "-w", "json"});
  same({"lease", "revoke", "$LEASE"});
  same({"get", "held", "-w", "json"});
  same({"lease", "revoke", "$LEASE"});
  same({"lease", "timetolive", "$LEASE"});
  same({"lease", "keep-alive", "--once", "$LEASE"});
  same({"lease", "list"});
  same({"lease", "grant", "9000000001"});
}

TEST_P(EtcdctlTest, CompactionAndHash) {
  fill();
  same({"compaction", "4"});
  same({"get", "k/1", "--rev=3"});
  same({"get", "k/1", "--rev=4"});
  same({"compaction", "4"});
  same({"compaction", "400"});
  same({"del", "k/3"});
  same({"compaction", "8", "--physical"});
  same({"endpoint", "hashkv"});
  same({"put", "k/5", "v"});
  same({"endpoint", "hashkv"});
  same({"endpoint", "hashkv", "-w", "json"});
  same({"defrag"});
  same({"get", "", "--prefix", "-w", "json"});
  same({"endpoint", "hashkv"});
}

// These use the keys by themselves, without the server's services.
TEST_P(EtcdctlTest, LockAndElect) {
  EXPECT_EQ(same({"lock", "m", "echo", "inside"}), "exit 0\ninside\n");
  EXPECT_EQ(same({"get", "m/", "--prefix"}), "exit 0\n");
  // The key, and behind it the empty value.
  for (Session* session : {etcd_.get(), ours_.get()}) {
    std::string locked = session->run_until({"lock", "m"}, "\n\n");
    EXPECT_TRUE(std::regex_match(locked, std::regex("m/[0-9a-f]+\n\n"))) << locked;
    std::string elected = session->run_until({"elect", "e", "candidate"}, "candidate\n");
    EXPECT_TRUE(std::regex_match(elected, std::regex("e/[0-9a-f]+\ncandidate\n"))) << elected;
  }
}

TEST_P(EtcdctlTest, EndpointsAndMembers) {
  same({"endpoint", "health"});
  same({"member", "list"});
  same({"alarm", "list"});
  same({"alarm", "disarm"});
  std::string status = ours_->run_raw({"endpoint", "status"});
  // address, id, version, size, leader, learner, term, index, applied, errors
  EXPECT_TRUE(std::regex_match(
      status,
      std::regex(
          ours_->node().endpoint() +
          ", [0-9a-f]{8,16}, 3\\.7\\.1, [0-9.]+ [kMG]?B, true, false, [0-9]+, [0-9]+, [0-9]+, \n")))
      << status;
  // The id is the same wherever it is shown.
  std::string id =
      status.substr(status.find(", ") + 2, status.find(", 3.7.1") - status.find(", ") - 2);
  EXPECT_EQ(ours_->run_raw({"member", "list"}).substr(0, id.size()), id);
}

INSTANTIATE_TEST_SUITE_P(Backends, EtcdctlTest, ::testing::Values("rocksdb", "lmdb"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace mortise::testing
