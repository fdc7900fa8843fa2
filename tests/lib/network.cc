#include "tests/lib/network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "host/base/check.h"
#include "tests/lib/process.h"

namespace mortise::testing {
namespace {

namespace fs = std::filesystem;
constexpr size_t kFlowBytesMax = size_t{256} << 10;
constexpr size_t kStranger = ~size_t{0};

sockaddr_in loopback(int port) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  out.sin_port = htons(static_cast<uint16_t>(port));
  return out;
}

int remote_port(int fd) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  return ntohs(address.sin_port);
}

int open_listener(int port) {
  int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address = loopback(port);
  MORTISE_CHECK(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0,
                "a free port is free");
  MORTISE_CHECK(::listen(fd, 128) == 0, "listen");
  return fd;
}

// The inode of the socket of 127.0.0.1:local that is connected to 127.0.0.1:remote.
std::string socket_inode(int local, int remote) {
  char wanted[64];
  std::snprintf(wanted, sizeof wanted, "0100007F:%04X 0100007F:%04X ", static_cast<unsigned>(local),
                static_cast<unsigned>(remote));
  std::ifstream table("/proc/net/tcp");
  for (std::string line; std::getline(table, line);) {
    if (line.find(wanted) == std::string::npos) continue;
    std::istringstream fields(line);
    std::string field;
    for (int i = 0; i < 10; ++i) fields >> field;
    return field;
  }
  return "";
}

bool has_socket(pid_t pid, const std::string& inode) {
  std::string wanted = "socket:[" + inode + "]";
  std::error_code error;
  fs::directory_iterator files("/proc/" + std::to_string(pid) + "/fd", error), end;
  while (!error && files != end) {
    std::error_code gone;
    if (fs::read_symlink(files->path(), gone) == wanted) return true;
    files.increment(error);
  }
  return false;
}

}  // namespace

// One direction of a connection.
struct Network::Flow {
  int source = -1;
  int sink = -1;
  size_t from = kStranger;
  size_t to = kStranger;
  std::string buffer;
  bool source_ended = false;
  bool done = false;    // The end was passed on.
  bool broken = false;  // The connection is to be closed.
};

struct Network::Connection {
  Connection(int dialler_fd, int target_fd, size_t from, size_t to)
      : dialler(dialler_fd),
        target(target_fd),
        forth{.source = dialler_fd, .sink = target_fd, .from = from, .to = to},
        back{.source = target_fd, .sink = dialler_fd, .from = to, .to = from} {}
  ~Connection() {
    ::close(dialler);
    ::close(target);
  }
  bool over() const { return forth.broken || back.broken || (forth.done && back.done); }
  int dialler;
  int target;
  Flow forth, back;
};

Network::Network() {
  MORTISE_CHECK(::pipe2(wake_, O_CLOEXEC | O_NONBLOCK) == 0, "a pipe");
  thread_ = std::thread([this] { run(); });
}

Network::~Network() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake();
  thread_.join();
  for (const Member& member : members_) ::close(member.listener);
  ::close(wake_[0]);
  ::close(wake_[1]);
}

void Network::wake() {
  char byte = 0;
  [[maybe_unused]] ssize_t written = ::write(wake_[1], &byte, 1);
}

int Network::add_member(int port) {
  Member member;
  member.advertised_port = free_port();
  member.port = port;
  member.listener = open_listener(member.advertised_port);
  {
    std::lock_guard lock(mutex_);
    members_.push_back(member);
  }
  wake();
  return member.advertised_port;
}

void Network::set_process(size_t member, pid_t pid) {
  std::lock_guard lock(mutex_);
  members_[member].pid = pid;
}

void Network::cut(size_t from, size_t to) {
  {
    std::lock_guard lock(mutex_);
    cut_.emplace(from, to);
  }
  wake();
}

void Network::cut_both(size_t a, size_t b) {
  cut(a, b);
  cut(b, a);
}

void Network::isolate(size_t member) {
  size_t count = 0;
  {
    std::lock_guard lock(mutex_);
    count = members_.size();
  }
  for (size_t other = 0; other < count; ++other) {
    if (other != member) cut_both(member, other);
  }
}

void Network::mend() {
  {
    std::lock_guard lock(mutex_);
    cut_.clear();
  }
  wake();
}

bool Network::is_cut(const Flow& flow) {
  std::lock_guard lock(mutex_);
  return cut_.contains({flow.from, flow.to});
}

std::optional<size_t> Network::dialler_of(int fd, int proxy_port) {
  std::string inode = socket_inode(remote_port(fd), proxy_port);
  if (inode.empty() || inode == "0") return std::nullopt;
  std::vector<pid_t> pids;
  {
    std::lock_guard lock(mutex_);
    for (const Member& member : members_) pids.push_back(member.pid);
  }
  for (size_t i = 0; i < pids.size(); ++i) {
    if (pids[i] > 0 && has_socket(pids[i], inode)) return i;
  }
  return std::nullopt;
}

void Network::accept_one(size_t to) {
  Member member;
  {
    std::lock_guard lock(mutex_);
    member = members_[to];
  }
  int dialler = ::accept4(member.listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (dialler < 0) return;
  size_t from = dialler_of(dialler, member.advertised_port).value_or(kStranger);
  int target = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_in address = loopback(member.port);
  if (::connect(target, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 &&
      errno != EINPROGRESS) {
    ::close(target);
    ::close(dialler);
    return;
  }
  int on = 1;
  ::setsockopt(target, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(dialler, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  connections_.push_back(std::make_unique<Connection>(dialler, target, from, to));
}

void Network::move(Flow* flow) {
  if (flow->done || is_cut(*flow)) return;
  if (!flow->source_ended && flow->buffer.size() < kFlowBytesMax) {
    char bytes[16384];
    ssize_t got = ::recv(flow->source, bytes, sizeof bytes, 0);
    if (got > 0) flow->buffer.append(bytes, static_cast<size_t>(got));
    if (got == 0) flow->source_ended = true;
    // Not connected yet is no end.
    if (got < 0 && errno != EAGAIN && errno != EINTR && errno != ENOTCONN) flow->broken = true;
  }
  if (!flow->buffer.empty()) {
    ssize_t sent = ::send(flow->sink, flow->buffer.data(), flow->buffer.size(), MSG_NOSIGNAL);
    if (sent > 0) flow->buffer.erase(0, static_cast<size_t>(sent));
    if (sent < 0 && errno != EAGAIN && errno != EINTR && errno != ENOTCONN) flow->broken = true;
  }
  if (flow->source_ended && flow->buffer.empty()) {
    ::shutdown(flow->sink, SHUT_WR);
    flow->done = true;
  }
}

void Network::run() {
  for (;;) {
    std::vector<pollfd> polled = {{wake_[0], POLLIN, 0}};
    {
      std::lock_guard lock(mutex_);
      if (stopping_) break;
      for (const Member& member : members_) polled.push_back({member.listener, POLLIN, 0});
    }
    size_t listeners = polled.size() - 1;
    for (const auto& connection : connections_) {
      for (const Flow* flow : {&connection->forth, &connection->back}) {
        bool idle = flow->done || is_cut(*flow);
        bool reads = !idle && !flow->source_ended && flow->buffer.size() < kFlowBytesMax;
        bool writes = !idle && !flow->buffer.empty();
        // poll tells of ends whatever it is asked, hence no descriptor where none is wanted.
        polled.push_back({reads ? flow->source : -1, POLLIN, 0});
        polled.push_back({writes ? flow->sink : -1, POLLOUT, 0});
      }
    }
    if (::poll(polled.data(), polled.size(), -1) < 0) continue;
    char bytes[64];
    while (::read(wake_[0], bytes, sizeof bytes) > 0) {
    }
    for (size_t i = 0; i < connections_.size(); ++i) {
      const pollfd* at = &polled[1 + listeners + 4 * i];
      if (at[0].revents != 0 || at[1].revents != 0) move(&connections_[i]->forth);
      if (at[2].revents != 0 || at[3].revents != 0) move(&connections_[i]->back);
    }
    std::erase_if(connections_, [](const auto& connection) { return connection->over(); });
    for (size_t i = 0; i < listeners; ++i) {
      if (polled[1 + i].revents != 0) accept_one(i);
    }
  }
  connections_.clear();
}

}  // namespace mortise::testing
