// The thread of the peer layer and its connections. All bytes to and from other members go through
// Connection; they are plain, and where a member is reached over TLS, its socket is the plain end
// of a relay's (host/tls).
//
// IoLoop: one io_context and one thread. post() is for any thread, all else for the loop's own,
// unless it says otherwise. Connections and timers must be gone, or owned by handlers, when stop()
// returns.
#pragma once

#include <atomic>
#include <boost/asio.hpp>
#include <chrono>
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
#include "host/tls/relay.h"

namespace mortise::peer {

namespace asio = boost::asio;
using ErrorCode = boost::system::error_code;
using Clock = std::chrono::steady_clock;

class Connection;

class IoLoop {
 public:
  explicit IoLoop(std::string thread_name, tls::Dialer dialer = {});
  ~IoLoop();

  void start();
  // Any thread but the loop's own. Ends all connections, runs no handler afterwards and destroys
  // those that are left.
  void stop();
  // Any thread. Does nothing after stop().
  void post(std::function<void()> task) { door_->post(std::move(task)); }
  // The same, for those who may outlive the loop.
  std::function<void(std::function<void()>)> poster() const;

  asio::io_context& io() { return *io_; }
  const tls::Dialer& dialer() const { return dialer_; }
  // All connections that are watched.
  void abort_connections();
  // From now on its deadlines are watched.
  void watch(const std::shared_ptr<Connection>& connection);

 private:
  struct Door {
    void post(std::function<void()> task);
    std::mutex mutex;
    asio::io_context* io = nullptr;  // Guarded by mutex; null after stop().
  };
  void sweep();

  static constexpr std::chrono::milliseconds kSweepInterval{100};
  const std::string thread_name_;
  const tls::Dialer dialer_;
  const std::shared_ptr<Door> door_ = std::make_shared<Door>();
  std::optional<asio::io_context> io_;
  std::optional<asio::steady_timer> sweep_timer_;
  std::vector<std::weak_ptr<Connection>> connections_;
  std::thread thread_;
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Socket = asio::generic::stream_protocol::socket;

  // Take a shared pointer and hand it to IoLoop::watch.
  Connection(IoLoop* loop, std::string remote) : socket_(loop->io()), remote_(std::move(remote)) {}

  Socket& socket() { return socket_; }
  const std::string& remote() const { return remote_; }

  // Beyond these times the connection is aborted. Any thread.
  void read_within(std::chrono::milliseconds limit) { read_by_ = ticks(Clock::now() + limit); }
  void write_within(std::chrono::milliseconds limit) { write_by_ = ticks(Clock::now() + limit); }
  void read_whenever() { read_by_ = kNever; }
  void write_whenever() { write_by_ = kNever; }

  // Any thread: all operations end with an error soon. The descriptor stays until the last owner
  // goes.
  void abort();
  // Has the other side ended it, or said something that nobody asked for?
  bool is_stale();
  // What an error of an operation was about.
  std::string error_text(const ErrorCode& error) const;

  template <typename Handler>
  void async_read_some(asio::mutable_buffer buffer, Handler&& handler) {
    socket_.async_read_some(buffer, std::forward<Handler>(handler));
  }
  // Writes all; `progress` is the time for each piece that the system takes.
  template <typename Buffers, typename Handler>
  void async_write(const Buffers& buffers, std::chrono::milliseconds progress, Handler&& handler) {
    write_within(progress);
    asio::async_write(
        socket_, buffers,
        [this, progress](const ErrorCode& error, size_t done) -> size_t {
          if (error) return 0;
          if (done > 0) write_within(progress);
          return kWriteBytesAtOnce;
        },
        std::forward<Handler>(handler));
  }
  // Blocking, for threads of their own while no asynchronous operation runs.
  size_t read_some(asio::mutable_buffer buffer, std::chrono::milliseconds limit, ErrorCode* error);
  Status write_all(std::string_view bytes, std::chrono::milliseconds progress);

 private:
  friend class IoLoop;
  static constexpr int64_t kNever = INT64_MAX;
  static constexpr size_t kWriteBytesAtOnce = 256 << 10;
  static int64_t ticks(Clock::time_point time) { return time.time_since_epoch().count(); }
  void check_deadlines(int64_t now);

  Socket socket_;
  const std::string remote_;
  std::atomic<int64_t> read_by_{kNever};
  std::atomic<int64_t> write_by_{kNever};
  std::atomic<bool> aborted_{false};
  std::atomic<bool> timed_out_{false};
};
using ConnectionRef = std::shared_ptr<Connection>;

}  // namespace mortise::peer
