#include "host/server/systemd.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>

namespace mortise::server {
namespace {

// systemd's end of a datagram socket.
class Listener {
 public:
  explicit Listener(const std::string& name) : name_(name) {
    fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    name.copy(address.sun_path, name.size());
    if (name[0] == '@') address.sun_path[0] = '\0';
    auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    timeval limit{30, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }
  ~Listener() {
    ::close(fd_);
    if (name_[0] != '@') ::unlink(name_.c_str());
  }
  std::string receive() {
    std::string data(1 << 16, '\0');
    char control[CMSG_SPACE(sizeof(int))] = {};
    iovec part{data.data(), data.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    ssize_t n = ::recvmsg(fd_, &message, 0);
    if (n < 0) return "nothing came";
    data.resize(static_cast<size_t>(n));
    if (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr) data = read_file(header);
    return data;
  }

 private:
  static std::string read_file(cmsghdr* header) {
    int file = -1;
    std::memcpy(&file, CMSG_DATA(header), sizeof file);
    std::string text(static_cast<size_t>(::lseek(file, 0, SEEK_END)), '\0');
    EXPECT_EQ(::pread(file, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
    // Nobody can change what is being read.
    EXPECT_LT(::pwrite(file, "x", 1, 0), 0);
    ::close(file);
    return text;
  }

  const std::string name_;
  int fd_;
};

std::string unique(const std::string& prefix) {
  static int count = 0;
  return prefix + "mortise-notify-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
}

TEST(NotifySystemd, ReachesPathsAndAbstractNames) {
  for (const std::string& name : {unique("/tmp/"), unique("@")}) {
    Listener listener(name);
    ASSERT_TRUE(notify_systemd(name, "READY=1").ok());
    EXPECT_EQ(listener.receive(), "READY=1");
  }
}

TEST(NotifySystemd, NobodyToTellIsNoMistakeAndABadSocketIsOne) {
  EXPECT_TRUE(notify_systemd("", "READY=1").ok());
  EXPECT_FALSE(notify_systemd("vsock:2:1", "READY=1").ok());
  EXPECT_FALSE(notify_systemd("/" + std::string(200, 'x'), "READY=1").ok());
  EXPECT_FALSE(notify_systemd(unique("/tmp/"), "READY=1").ok());
}

TEST(WatchdogLimit, IsForTheProcessThatIsMeant) {
  ::unsetenv("WATCHDOG_PID");
  ::unsetenv("WATCHDOG_USEC");
  EXPECT_FALSE(watchdog_limit().has_value());
  ::setenv("WATCHDOG_USEC", "30000000", 1);
  EXPECT_EQ(watchdog_limit(), std::chrono::seconds(30));
  ::setenv("WATCHDOG_PID", "1", 1);
  EXPECT_FALSE(watchdog_limit().has_value());
  ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
  EXPECT_EQ(watchdog_limit(), std::chrono::seconds(30));
  for (const char* bad : {"", "0", "x", "-5", "1s"}) {
    ::setenv("WATCHDOG_USEC", bad, 1);
    EXPECT_FALSE(watchdog_limit().has_value()) << bad;
  }
}

TEST(Watchdog, IsFedWhileTheProcessWorksAndNotAfter) {
  const std::string name = unique("@");
  Listener listener(name);
  std::atomic<int> asked{0};
  Watchdog watchdog(name, std::chrono::milliseconds(20), [&] { return ++asked <= 3; });
  for (int i = 0; i < 3; ++i) EXPECT_EQ(listener.receive(), "WATCHDOG=1");
  while (asked < 6) ::usleep(1000);
  // What comes next is not from the watchdog.
  ASSERT_TRUE(notify_systemd(name, "STOPPING=1").ok());
  EXPECT_EQ(listener.receive(), "STOPPING=1");
}

TEST(Journal, WritesValuesWithLineBreaksBySize) {
  EXPECT_EQ(journal_datagram({{"PRIORITY", "6"}, {"MESSAGE", "two\nlines"}}),
            "PRIORITY=6\nMESSAGE\n" + std::string("\x09\0\0\0\0\0\0\0", 8) + "two\nlines\n");
}

TEST(Journal, LargeEntriesGoAsSealedFiles) {
  const std::string name = unique("/tmp/");
  Listener listener(name);
  auto journal = Journal::connect(name);
  ASSERT_TRUE(journal.ok()) << journal.status().message();
  ASSERT_TRUE((*journal)->send({{"MESSAGE", "small"}}).ok());
  EXPECT_EQ(listener.receive(), "MESSAGE=small\n");
  const std::string large(4 << 20, 'x');
  ASSERT_TRUE((*journal)->send({{"MESSAGE", large}}).ok());
  EXPECT_EQ(listener.receive(), "MESSAGE=" + large + "\n");
}

TEST(Journal, IsNotThereWithoutItsSocket) { EXPECT_FALSE(Journal::connect(unique("/tmp/")).ok()); }

}  // namespace
}  // namespace mortise::server
