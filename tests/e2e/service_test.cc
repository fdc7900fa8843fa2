// The process as systemd and a shell see it: readiness and watchdog, signals, descriptors and
// limits, where the log goes, and the lines that operators wait for. What etcd 3.4 does too is also
// asked of it.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "tests/lib/client.h"
#include "tests/lib/node.h"

namespace mortise::testing {
namespace {

std::vector<nlohmann::json> entries_of(const std::string& text) {
  std::vector<nlohmann::json> out;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    out.push_back(nlohmann::json::parse(line, nullptr, false));
    EXPECT_TRUE(out.back().is_object()) << line;
  }
  return out;
}

bool has_line(const std::string& log, std::string_view message) {
  return log.find("\"msg\":\"" + std::string(message) + "\"") != std::string::npos;
}

void wait_for_line(const Node& node, std::string_view message) {
  const auto end = std::chrono::steady_clock::now() + kStartBound;
  while (!has_line(node.log(), message)) {
    ASSERT_LT(std::chrono::steady_clock::now(), end) << message << " missing in\n" << node.log();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

std::string shell_words(const std::vector<std::string>& argv) {
  std::string out;
  for (const std::string& word : argv) out += "'" + word + "' ";
  return out;
}

// systemd's end.
class NotifySocket {
 public:
  explicit NotifySocket(const std::string& name) {
    fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    name.copy(address.sun_path, name.size());
    if (name[0] == '@') address.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    timeval limit{60, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }
  ~NotifySocket() { ::close(fd_); }
  std::string receive() {
    char data[256];
    const ssize_t n = ::recv(fd_, data, sizeof data, 0);
    return n < 0 ? "nothing came" : std::string(data, static_cast<size_t>(n));
  }
  bool is_empty() {
    char byte;
    return ::recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0;
  }

 private:
  int fd_;
};

TEST(Systemd, IsToldOfReadinessAndStop) {
  TempDir dir;
  const std::string abstract = "@mortise-service-test-" + std::to_string(::getpid());
  for (const std::string& name : {dir.path() + "/notify", abstract}) {
    NotifySocket systemd(name);
    Node node(mortise_target("lmdb"), {.env = {"NOTIFY_SOCKET=" + name}});
    ASSERT_EQ(node.start().message(), "");
    EXPECT_EQ(systemd.receive(), "READY=1");
    Client client(node.endpoint());
    EXPECT_TRUE(client.put("k", "v").ok());
    node.stop();
    EXPECT_EQ(systemd.receive(), "STOPPING=1");
    EXPECT_TRUE(systemd.is_empty());  // No watchdog was asked for.
    EXPECT_TRUE(has_line(node.log(), "notifying init daemon"));
    EXPECT_TRUE(has_line(node.log(), "successfully notified init daemon"));
  }
}

TEST(Systemd, IsNotToldBeforeClientsAreServed) {
  TempDir dir;
  NotifySocket systemd(dir.path() + "/notify");
  // One of two founders: nobody is served before the other one runs.
  NodeOptions options;
  options.env = {"NOTIFY_SOCKET=" + dir.path() + "/notify"};
  options.peer_url = "http://127.0.0.1:" + std::to_string(free_port());
  options.initial_cluster =
      "node=" + options.peer_url + ",other=http://127.0.0.1:" + std::to_string(free_port());
  Node node(mortise_target("lmdb"), options);
  ASSERT_EQ(node.launch().message(), "");
  wait_for_line(node, "starting etcd server");
  EXPECT_TRUE(systemd.is_empty());
  EXPECT_FALSE(has_line(node.log(), "notifying init daemon"));
  node.stop();
}

TEST(Systemd, WatchdogIsFed) {
  TempDir dir;
  NotifySocket systemd(dir.path() + "/notify");
  Node node(mortise_target("lmdb"),
            {.env = {"NOTIFY_SOCKET=" + dir.path() + "/notify", "WATCHDOG_USEC=400000"}});
  ASSERT_EQ(node.start().message(), "");
  EXPECT_EQ(systemd.receive(), "READY=1");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(systemd.receive(), "WATCHDOG=1");
  node.stop();
}

TEST(Systemd, WatchdogOfAnotherProcessIsLeftAlone) {
  TempDir dir;
  NotifySocket systemd(dir.path() + "/notify");
  Node node(mortise_target("lmdb"), {.env = {"NOTIFY_SOCKET=" + dir.path() + "/notify",
                                             "WATCHDOG_USEC=1000", "WATCHDOG_PID=1"}});
  ASSERT_EQ(node.start().message(), "");
  EXPECT_EQ(systemd.receive(), "READY=1");
  node.stop();
  EXPECT_EQ(systemd.receive(), "STOPPING=1");
}

class SignalTest : public ::testing::TestWithParam<std::string> {
 protected:
  Target target() const { return GetParam() == "etcd" ? etcd_target() : mortise_target("lmdb"); }
  void SetUp() override {
    if (!available(target())) GTEST_SKIP() << "not installed";
  }
};

TEST_P(SignalTest, ThoseWithoutAMeaningChangeNothing) {
  Node node(target());
  ASSERT_EQ(node.start().message(), "");
  for (int number : {SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGIO, SIGPWR, SIGXCPU, SIGXFSZ,
                     SIGWINCH, SIGCHLD, SIGURG, SIGCONT}) {
    node.signal(number);
  }
  Client client(node.endpoint());
  EXPECT_TRUE(client.put("k", "v").ok());
  EXPECT_TRUE(node.running());
  auto exit = node.stop();
  ASSERT_TRUE(exit.has_value());
  EXPECT_EQ(exit->signal, SIGTERM);
}

TEST_P(SignalTest, HangupEndsItAtOnce) {
  Node node(target());
  ASSERT_EQ(node.start().message(), "");
  node.signal(SIGHUP);
  auto exit = node.wait(kStopBound);
  ASSERT_TRUE(exit.has_value());
  EXPECT_EQ(exit->signal, SIGHUP);
}

// The first one says how the process ends.
TEST_P(SignalTest, ASecondOneChangesNothing) {
  Node node(target());
  ASSERT_EQ(node.start().message(), "");
  node.signal(SIGTERM);
  if (!node.target().is_etcd()) wait_for_line(node, "received signal; shutting down");
  node.signal(node.target().is_etcd() ? SIGTERM : SIGINT);
  auto exit = node.wait(kStopBound);
  ASSERT_TRUE(exit.has_value());
  EXPECT_EQ(exit->signal, SIGTERM);
}

INSTANTIATE_TEST_SUITE_P(Targets, SignalTest, ::testing::Values("mortise", "etcd"),
                         [](const auto& info) { return info.param; });

// Its listener takes connections and nobody answers.
class SilentServer {
 public:
  SilentServer() {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(fd_, 16), 0);
    EXPECT_EQ(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    timeval limit{60, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }
  ~SilentServer() { ::close(fd_); }
  int port() const { return port_; }
  int accept() { return ::accept(fd_, nullptr, nullptr); }

 private:
  int fd_;
  int port_ = 0;
};

TEST(Signals, EndAStartThatWaitsForOthers) {
  SilentServer other;
  NodeOptions options;
  options.peer_url = "http://127.0.0.1:" + std::to_string(free_port());
  options.initial_cluster =
      "node=" + options.peer_url + ",other=http://127.0.0.1:" + std::to_string(other.port());
  Node node(mortise_target("lmdb"), options);
  ASSERT_EQ(node.launch().message(), "");
  const int question = other.accept();  // It asks now, and gets no answer.
  ASSERT_GE(question, 0) << node.log();
  node.signal(SIGTERM);
  auto exit = node.wait(kStopBound);
  ::close(question);
  ASSERT_TRUE(exit.has_value());
  EXPECT_EQ(exit->signal, SIGTERM);
  // Neither did the question time out, nor was anything closed in order.
  EXPECT_TRUE(has_line(node.log(), "received signal; shutting down"));
  EXPECT_FALSE(has_line(node.log(), "closing etcd server")) << node.log();
  EXPECT_FALSE(has_line(node.log(), "bootstrap successfully")) << node.log();
}

TEST(Descriptors, ClosedStandardOnesAreNotGivenToFiles) {
  TempDir dir;
  Node node(mortise_target("lmdb"), {.flags = {"--log-outputs=" + dir.path() + "/node.log"}});
  Command command;
  command.argv = {"/bin/sh", "-c", "exec " + shell_words(node.argv()) + " <&- >&- 2>&-"};
  auto process = Process::start(command);
  ASSERT_TRUE(process.ok());
  const auto end = std::chrono::steady_clock::now() + kStartBound;
  while (!has_line(read_text(dir.path() + "/node.log"), "ready to serve client requests")) {
    ASSERT_LT(std::chrono::steady_clock::now(), end);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  for (const char* fd : {"0", "1", "2"}) {
    const auto link = "/proc/" + std::to_string((*process)->pid()) + "/fd/" + fd;
    EXPECT_EQ(std::filesystem::read_symlink(link), "/dev/null");
  }
  (*process)->signal(SIGTERM);
  EXPECT_TRUE((*process)->wait(kStopBound).has_value());
}

int connect_to(const std::string& endpoint) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port =
      htons(static_cast<uint16_t>(std::stoi(endpoint.substr(endpoint.find(':') + 1))));
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  return fd;
}

// One that cannot open the next file of its log has to stop: clients must not bring it there.
TEST(Descriptors, ClientsLeaveSomeToTheServer) {
  Node node(mortise_target("lmdb"));
  TempDir dir;
  Command command;
  command.argv = {"/bin/sh", "-c", "ulimit -n 200; exec " + shell_words(node.argv())};
  command.output_path = dir.path() + "/out";
  auto process = Process::start(command);
  ASSERT_TRUE(process.ok());
  const auto end = std::chrono::steady_clock::now() + kStartBound;
  while (!has_line(read_text(command.output_path), "ready to serve client requests")) {
    ASSERT_LT(std::chrono::steady_clock::now(), end) << read_text(command.output_path);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  Client early(node.endpoint());
  ASSERT_TRUE(early.put("k", "v").ok());

  constexpr std::string_view kHello("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
  std::vector<int> flood;
  int refused = 0;
  for (int i = 0; i < 250; ++i) {
    flood.push_back(connect_to(node.endpoint()));
    (void)!::send(flood.back(), kHello.data(), kHello.size(), MSG_NOSIGNAL);
  }
  for (const int fd : flood) {
    char byte;
    refused += ::recv(fd, &byte, 1, 0) <= 0;  // The others get the server's settings.
  }
  EXPECT_GT(refused, 100);
  const std::filesystem::path open_ones = "/proc/" + std::to_string((*process)->pid()) + "/fd";
  const auto count = std::distance(std::filesystem::directory_iterator(open_ones), {});
  EXPECT_LE(count, 170);
  EXPECT_TRUE(has_line(read_text(command.output_path), "rejected connection on client endpoint"));
  EXPECT_TRUE(early.put("k", "w").ok());
  for (const int fd : flood) ::close(fd);
  // There is room again, as soon as the server has seen that they went.
  grpc::Status late;
  while (!(late = Client(node.endpoint()).put("k", "x")).ok()) {
    ASSERT_LT(std::chrono::steady_clock::now(), end + kStartBound) << late.error_message();
  }
  (*process)->signal(SIGTERM);
  EXPECT_TRUE((*process)->wait(kStopBound).has_value());
}

TEST(Descriptors, TooFewEndTheStartAndASoftLimitIsRaised) {
  Node node(mortise_target("lmdb"));
  const std::string program = shell_words(node.argv());
  Output refused = run_command({.argv = {"/bin/sh", "-c", "ulimit -n 120; exec " + program}});
  EXPECT_EQ(refused.exit.code, 1);
  const auto entries = entries_of(refused.text);
  ASSERT_FALSE(entries.empty());
  EXPECT_EQ(entries.back()["level"], "fatal");
  EXPECT_EQ(entries.back()["msg"],
            "file descriptor limit of etcd process is too low; please set higher");
  EXPECT_EQ(entries.back()["limit"], 120);
  EXPECT_EQ(entries.back()["recommended-limit"], 150);

  TempDir dir;
  Command command;
  command.argv = {"/bin/sh", "-c", "ulimit -Sn 120; exec " + program};
  command.output_path = dir.path() + "/out";
  auto process = Process::start(command);
  ASSERT_TRUE(process.ok());
  const auto end = std::chrono::steady_clock::now() + kStartBound;
  while (!has_line(read_text(command.output_path), "ready to serve client requests")) {
    ASSERT_LT(std::chrono::steady_clock::now(), end) << read_text(command.output_path);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  (*process)->signal(SIGTERM);
  EXPECT_TRUE((*process)->wait(kStopBound).has_value());
}

TEST(LogOutputs, GetEachLine) {
  TempDir dir;
  const std::string one = dir.path() + "/one.log", two = dir.path() + "/two.log";
  Node node(mortise_target("lmdb"), {.flags = {"--log-outputs=stderr," + one + "," + two}});
  ASSERT_EQ(node.start().message(), "");
  ASSERT_TRUE(node.stop().has_value());
  EXPECT_TRUE(has_line(node.log(), "closed etcd server"));
  EXPECT_EQ(read_text(one), node.log());
  EXPECT_EQ(read_text(two), node.log());
}

TEST(LogOutputs, AFileRotates) {
  TempDir dir;
  const std::string path = dir.path() + "/node.log";
  // Almost full, so that the lines of a start do not fit.
  write_text(path, std::string((1 << 20) - 1000, '\n'));
  Node node(mortise_target("lmdb"),
            {.flags = {"--log-outputs=" + path, "--enable-log-rotation",
                       R"(--log-rotation-config-json={"maxsize": 1, "compress": true})"}});
  ASSERT_EQ(node.start().message(), "");
  ASSERT_TRUE(node.stop().has_value());
  int others = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dir.path())) {
    if (entry.path() != path) ++others;
  }
  EXPECT_EQ(others, 1);
  EXPECT_TRUE(has_line(read_text(path), "closed etcd server"));
}

TEST(LogOutputs, OneThatCannotBeHadIsNamed) {
  Node node(mortise_target("lmdb"), {.flags = {"--log-outputs=/proc/nowhere/x.log"}});
  Output output = run_command({.argv = node.argv()});
  EXPECT_EQ(output.exit.code, 1);
  const auto entries = entries_of(output.text);
  ASSERT_FALSE(entries.empty());
  EXPECT_EQ(entries.back()["msg"], "failed to verify flags");
  EXPECT_NE(entries.back()["error"].get<std::string>().find("/proc/nowhere"), std::string::npos);
  if (std::filesystem::exists("/run/systemd/journal/socket")) return;
  Node journal(mortise_target("lmdb"), {.flags = {"--log-outputs=systemd/journal"}});
  output = run_command({.argv = journal.argv()});
  EXPECT_EQ(output.exit.code, 1);
  EXPECT_NE(output.text.find("can't find journal"), std::string::npos) << output.text;
}

// Those that scripts and etcd's own tests wait for, in their order.
TEST(LogLines, OfAStartAndAStop) {
  Node node(mortise_target("lmdb"), {.flags = {"--bootstrap-defrag-threshold-megabytes=100",
                                               "--snapshot-catchup-entries=1000"}});
  ASSERT_EQ(node.start().message(), "");
  wait_for_line(node, "successfully notified init daemon");
  ASSERT_TRUE(node.stop().has_value());
  const std::vector<std::string> wanted = {
      "Running: ",
      "Initialize and start etcd server",
      "configuring peer listeners",
      "configuring client listeners",
      "opened backend db",
      "restore consistentIndex",
      "Skipping defragmentation",
      "bootstrapping cluster",
      "starting an etcd server",
      "bootstrapping storage",
      "bootstrapping raft",
      "starting local member",
      "bootstrap successfully",
      "kvstore restored",
      "enabled backend quota with default value",
      "starting etcd server",
      "now serving peer/client/metrics",
      "serving peer traffic",
      "added member",
      "published local member to cluster through raft",
      "ready to serve client requests",
      "notifying init daemon",
      "successfully notified init daemon",
      "received signal; shutting down",
      "closing etcd server",
      "skipped leadership transfer for single voting member cluster",
      "closed etcd server"};
  size_t found = 0;
  std::vector<std::string> raft;
  for (const auto& entry : entries_of(node.log())) {
    if (found < wanted.size() && entry["msg"] == wanted[found]) ++found;
    if (entry.value("logger", "") == "raft") raft.push_back(entry["msg"]);
    if (entry["msg"] != "starting an etcd server") continue;
    EXPECT_EQ(entry["snapshot-catchup-entries"], 1000);
    EXPECT_EQ(entry["v2-deprecation"], "write-only");
    EXPECT_EQ(entry["quota-backend-bytes"], 2147483648);
    EXPECT_EQ(entry["member-initialized"], false);
  }
  EXPECT_EQ(found, wanted.size()) << "first one missing: "
                                  << wanted[std::min(found, wanted.size() - 1)] << "\n"
                                  << node.log();
  const auto said = [&](const std::string& part) {
    return std::any_of(raft.begin(), raft.end(),
                       [&](const std::string& m) { return m.find(part) != std::string::npos; });
  };
  EXPECT_TRUE(said(" became leader at term 2"));
  EXPECT_TRUE(said(" elected leader "));
  ASSERT_EQ(node.start().message(), "");
  EXPECT_TRUE(has_line(node.log(), "server has already been initialized"));
}

TEST(MemoryLock, IsTakenWhereAllowed) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers make mlock() do nothing";
#endif
  if (::geteuid() != 0) GTEST_SKIP() << "needs CAP_IPC_LOCK";
  Node node(mortise_target("lmdb"), {.flags = {"--memory-mlock"}});
  const Status started = node.start();
  if (has_line(node.log(),
               "cannot lock memory (--memory-mlock); allow it with CAP_IPC_LOCK or "
               "LimitMEMLOCK")) {
    GTEST_SKIP() << "not allowed here";
  }
  ASSERT_EQ(started.message(), "");
  const std::string status = read_text("/proc/" + std::to_string(node.pid()) + "/status");
  const size_t at = status.find("VmLck:");
  ASSERT_NE(at, std::string::npos);
  EXPECT_GT(std::atol(status.c_str() + at + 6), 1000) << status.substr(at, 40);
}

}  // namespace
}  // namespace mortise::testing
