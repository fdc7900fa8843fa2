#include "host/server/systemd.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>

namespace mortise::server {
namespace {

struct Address {
  sockaddr_un name{};
  socklen_t size = 0;
};

Result<Address> address_of(const std::string& socket) {
  Address address;
  address.name.sun_family = AF_UNIX;
  const bool abstract = socket.starts_with('@');
  if (!abstract && !socket.starts_with('/')) return invalid("no socket's path: " + socket);
  if (socket.size() >= sizeof address.name.sun_path) {
    return invalid("the socket's path is too long: " + socket);
  }
  socket.copy(address.name.sun_path, socket.size());
  if (abstract) address.name.sun_path[0] = '\0';
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket.size());
  return address;
}

int datagram_socket() { return ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0); }

bool send_datagram(int fd, const Address& address, std::string_view data) {
  ssize_t n;
  do {
    n = ::sendto(fd, data.data(), data.size(), MSG_NOSIGNAL,
                 reinterpret_cast<const sockaddr*>(&address.name), address.size);
  } while (n < 0 && errno == EINTR);
  return n >= 0;
}

std::string variable(const char* name) {
  const char* value = ::getenv(name);
  return value == nullptr ? "" : value;
}

std::optional<uint64_t> number_of(const std::string& text) {
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// A file in memory that nobody changes any more.
int sealed_file(std::string_view data) {
  const int fd = ::memfd_create("journal-entry", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return -1;
  size_t written = 0;
  while (written < data.size()) {
    ssize_t n = ::write(fd, data.data() + written, data.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    written += static_cast<size_t>(n);
  }
  constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
  if (written == data.size() && ::fcntl(fd, F_ADD_SEALS, kSeals) == 0) return fd;
  ::close(fd);
  return -1;
}

}  // namespace

Status notify_systemd(const std::string& socket, std::string_view state) {
  if (socket.empty()) return Status();
  MORTISE_ASSIGN_OR_RETURN(Address address, address_of(socket));
  const int fd = datagram_socket();
  if (fd < 0) return errno_status(errno, "socket");
  const bool sent = send_datagram(fd, address, state);
  const int send_errno = errno;
  ::close(fd);
  return sent ? Status() : errno_status(send_errno, "send to " + socket);
}

std::string notify_socket() { return variable("NOTIFY_SOCKET"); }

std::optional<std::chrono::microseconds> watchdog_limit() {
  const auto limit = number_of(variable("WATCHDOG_USEC"));
  const std::string pid = variable("WATCHDOG_PID");
  if (!limit || *limit == 0 || *limit > INT64_MAX) return std::nullopt;
  if (!pid.empty() && number_of(pid) != static_cast<uint64_t>(::getpid())) return std::nullopt;
  return std::chrono::microseconds(static_cast<int64_t>(*limit));
}

Watchdog::Watchdog(std::string socket, std::chrono::microseconds limit, std::function<bool()> works)
    : socket_(std::move(socket)), pause_(limit / 4), works_(std::move(works)) {
  thread_ = std::thread([this] { run(); });
}

Watchdog::~Watchdog() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  thread_.join();
}

void Watchdog::run() {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, pause_, [&] { return stopping_; })) {
    lock.unlock();
    if (works_()) (void)notify_systemd(socket_, "WATCHDOG=1").ok();
    lock.lock();
  }
}

// Values with line breaks have their size in front: 64 bits, the lowest byte first.
std::string journal_datagram(const Journal::Entry& entry) {
  std::string out;
  for (const auto& [name, value] : entry) {
    out += name;
    if (value.find('\n') == std::string_view::npos) {
      out += '=';
    } else {
      out += '\n';
      for (int shift = 0; shift < 64; shift += 8) {
        out += static_cast<char>(static_cast<uint64_t>(value.size()) >> shift & 0xff);
      }
    }
    out += value;
    out += '\n';
  }
  return out;
}

Result<std::unique_ptr<Journal>> Journal::connect(const std::string& socket) {
  MORTISE_ASSIGN_OR_RETURN(Address address, address_of(socket));
  // Only to see whether a journal is there: a restart of it ends a connection, and no datagram.
  const int probe = datagram_socket();
  const bool found =
      probe >= 0 && ::connect(probe, reinterpret_cast<sockaddr*>(&address.name), address.size) == 0;
  const int connect_errno = errno;
  if (probe >= 0) ::close(probe);
  if (!found) return errno_status(connect_errno, "dial unixgram " + socket);
  const int fd = datagram_socket();
  if (fd < 0) return errno_status(errno, "socket");
  return std::unique_ptr<Journal>(new Journal(fd, socket));
}

Journal::~Journal() { ::close(fd_); }

Status Journal::send(const Entry& entry) {
  MORTISE_ASSIGN_OR_RETURN(Address address, address_of(socket_));
  const std::string datagram = journal_datagram(entry);
  if (send_datagram(fd_, address, datagram)) return Status();
  if (errno == EMSGSIZE || errno == ENOBUFS) return send_file(datagram);
  return errno_status(errno, "send to " + socket_);
}

Status Journal::send_file(const std::string& datagram) {
  MORTISE_ASSIGN_OR_RETURN(Address address, address_of(socket_));
  const int file = sealed_file(datagram);
  if (file < 0) return errno_status(errno, "memfd");
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_name = &address.name;
  message.msg_namelen = address.size;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &file, sizeof file);
  const bool sent = ::sendmsg(fd_, &message, MSG_NOSIGNAL) >= 0;
  const int send_errno = errno;
  ::close(file);
  return sent ? Status() : errno_status(send_errno, "send to " + socket_);
}

}  // namespace mortise::server
