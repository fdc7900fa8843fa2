// What a service tells systemd, without its library: readiness and life signs through
// $NOTIFY_SOCKET, log lines through the journal's socket. Both are datagrams of lines "NAME=value".
//
// Thread-safe. Nothing here waits for systemd.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "host/base/status.h"

namespace mortise::server {

// "READY=1" and the like, to a path or, with '@' in front, an abstract name. An empty socket means
// that nobody wants to know.
Status notify_systemd(const std::string& socket, std::string_view state);

// $NOTIFY_SOCKET, or nothing.
std::string notify_socket();
// How long systemd waits for a life sign of this process; nothing if it does not wait for any.
std::optional<std::chrono::microseconds> watchdog_limit();

// Tells systemd four times within the limit that the process works, as long as it does.
class Watchdog {
 public:
  Watchdog(std::string socket, std::chrono::microseconds limit, std::function<bool()> works);
  ~Watchdog();

 private:
  void run();

  const std::string socket_;
  const std::chrono::microseconds pause_;
  const std::function<bool()> works_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;
};

inline constexpr const char* kJournalSocket = "/run/systemd/journal/socket";

class Journal {
 public:
  using Entry = std::vector<std::pair<std::string_view, std::string_view>>;

  static Result<std::unique_ptr<Journal>> connect(const std::string& socket = kJournalSocket);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // Names are in capitals. An entry that is too large for a datagram goes as a file in memory.
  Status send(const Entry& entry);

 private:
  Journal(int fd, std::string socket) : fd_(fd), socket_(std::move(socket)) {}
  Status send_file(const std::string& datagram);

  const int fd_;
  const std::string socket_;
};

// The bytes of an entry, for tests.
std::string journal_datagram(const Journal::Entry& entry);

}  // namespace mortise::server
