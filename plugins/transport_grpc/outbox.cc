#include "plugins/transport_grpc/outbox.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "plugins/transport_grpc/unary_call.h"

namespace mortise::transport_grpc {
namespace {

// "127.0.0.1:4321" or "[::1]:4321", as caller.h has it; empty if the socket is of another kind.
std::string remote_of_socket(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
  char text[INET6_ADDRSTRLEN];
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &v4.sin_addr, text, sizeof(text));
    return std::string(text) + ":" + std::to_string(ntohs(v4.sin_port));
  }
  if (address.ss_family != AF_INET6) return {};
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
  const std::string port = std::to_string(ntohs(v6.sin6_port));
  if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
    inet_ntop(AF_INET, &v6.sin6_addr.s6_addr[12], text, sizeof(text));
    return std::string(text) + ":" + port;
  }
  inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof(text));
  return "[" + std::string(text) + "]:" + port;
}

// Zero if it is no socket.
uint64_t cookie_of_socket(int fd) {
  uint64_t cookie = 0;
  socklen_t size = sizeof(cookie);
  return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

// Whether the other side may still send.
bool awaits_end(int fd) {
  tcp_info info{};
  socklen_t size = sizeof(info);
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return false;
  return info.tcpi_state == TCP_FIN_WAIT1 || info.tcpi_state == TCP_FIN_WAIT2;
}

struct Held {
  bool holding = false;
  std::vector<UnaryCall*> calls;
};
thread_local Held t_held;

void set_cork(int fd, int on) { setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on)); }

}  // namespace

void Connections::add(int fd) {
  std::string remote = remote_of_socket(fd);
  std::lock_guard lock(mutex_);
  Peer& known = peers_[fd];
  if (const auto old = fd_by_remote_.find(known.remote);
      old != fd_by_remote_.end() && old->second == fd) {
    fd_by_remote_.erase(old);
  }
  known = {remote, cookie_of_socket(fd)};
  if (!remote.empty()) fd_by_remote_.insert_or_assign(std::move(remote), fd);
}

int Connections::find(std::string_view remote) const {
  std::lock_guard lock(mutex_);
  const auto found = fd_by_remote_.find(remote);
  return found == fd_by_remote_.end() ? kNone : found->second;
}

void Connections::half_close_all() {
  std::lock_guard lock(mutex_);
  for (const auto& [fd, peer] : peers_) {
    if (peer.cookie == 0 || cookie_of_socket(fd) != peer.cookie) continue;
    if (const int own = peer.remote.empty() ? -1 : dup(fd); own >= 0) half_closed_.push_back(own);
    shutdown(fd, SHUT_WR);
  }
}

bool Connections::all_closed() const {
  std::lock_guard lock(mutex_);
  return std::none_of(half_closed_.begin(), half_closed_.end(), awaits_end);
}

void Connections::release() {
  std::lock_guard lock(mutex_);
  for (const int fd : half_closed_) close(fd);
  half_closed_.clear();
}

void HeldAnswers::begin() { t_held.holding = true; }

void HeldAnswers::end() {
  t_held.holding = false;
  std::erase_if(t_held.calls, [](UnaryCall* call) { return call->leave_to_worker(); });
  Outbox::send(t_held.calls);
}

bool HeldAnswers::put(UnaryCall* call) {
  if (!t_held.holding) return false;
  t_held.calls.push_back(call);
  return true;
}

bool Outbox::put(UnaryCall* call) {
  std::lock_guard lock(mutex_);
  if (!open_) return false;
  waiting_.push_back(call);
  return true;
}

void Outbox::open() {
  std::lock_guard lock(mutex_);
  open_ = true;
}

void Outbox::flush() {
  {
    std::lock_guard lock(mutex_);
    sending_.swap(waiting_);
  }
  send(sending_);
}

void Outbox::close() {
  for (;;) {
    {
      std::lock_guard lock(mutex_);
      if (waiting_.empty()) {
        open_ = false;
        return;
      }
      sending_.swap(waiting_);
    }
    send(sending_);
  }
}

void Outbox::send(std::vector<UnaryCall*>& answers) {
  const auto by_socket = [](const UnaryCall* a, const UnaryCall* b) {
    return a->socket() < b->socket();
  };
  if (answers.size() > 2) std::stable_sort(answers.begin(), answers.end(), by_socket);
  for (size_t begin = 0; begin < answers.size();) {
    const int fd = answers[begin]->socket();
    size_t end = begin + 1;
    while (end < answers.size() && answers[end]->socket() == fd) ++end;
    const bool corked = end - begin > 1 && fd != Connections::kNone;
    if (corked) set_cork(fd, 1);
    for (; begin < end; ++begin) answers[begin]->send_from_outbox();
    if (corked) set_cork(fd, 0);
  }
  answers.clear();
}

}  // namespace mortise::transport_grpc
