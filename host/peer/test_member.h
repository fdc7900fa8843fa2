// A member with a peer port on loopback, for tests: it keeps what its transport's hooks were told.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "host/peer/transport.h"

namespace mortise::peer {

constexpr std::chrono::seconds kTestPatience{30};  // Only ever used up by a test that fails.

inline sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

// Listens on a port of its own choice, or on the one it is told.
class TestListener {
 public:
  explicit TestListener(uint16_t port = 0) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    int on = 1;
    ::setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address = loopback(port);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(fd_, 64), 0);
    socklen_t size = sizeof address;
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
  }
  ~TestListener() { ::close(fd_); }
  uint16_t port() const { return port_; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  // -1 if nobody comes for a moment.
  int accept() const {
    pollfd wanted{fd_, POLLIN, 0};
    return ::poll(&wanted, 1, 20) > 0 ? ::accept(fd_, nullptr, nullptr) : -1;
  }

 private:
  int fd_;
  uint16_t port_;
};

// A client that says what it likes.
class RawClient {
 public:
  explicit RawClient(uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = loopback(port);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    timeval patience{kTestPatience.count(), 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  ~RawClient() { ::close(fd_); }
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(n);
    }
    return true;
  }
  // All until `end` has been seen, or until the other side closes.
  std::string read_until(std::string_view end) {
    char buffer[4096];
    while (end.empty() || read_.find(end) == std::string::npos) {
      ssize_t n = ::recv(fd_, buffer, sizeof buffer, 0);
      if (n <= 0) break;
      read_.append(buffer, n);
    }
    return read_;
  }
  std::string read_all() { return read_until(""); }

 private:
  int fd_;
  std::string read_;
};

class TestMember {
 public:
  TestMember(NodeId id, uint16_t port = 0, uint64_t cluster = 0xc1)
      : id_(id), listener_(std::make_unique<TestListener>(port)) {
    Options options;
    options.local_id = id;
    options.cluster_id = cluster;
    options.peer_urls = {listener_->url()};
    transport_ = std::make_unique<Transport>(options, hooks());
    transport_->start();
    accepting_ = std::thread([this] {
      while (!stopping_) {
        int fd = listener_->accept();
        if (fd >= 0) transport_->adopt(fd, "127.0.0.1:0");
      }
    });
  }
  ~TestMember() { stop(); }
  void stop() {
    if (stopping_.exchange(true)) return;
    accepting_.join();
    transport_->stop();
    listener_.reset();
  }

  NodeId id() const { return id_; }
  uint16_t port() const { return listener_->port(); }
  std::string url() const { return listener_->url(); }
  Transport& transport() { return *transport_; }
  void know(TestMember& other) {
    ASSERT_TRUE(transport_->add_peer(other.id(), {other.url()}).ok());
  }
  // From a request that `other` makes and this one refuses, not knowing it: its address stays.
  bool hear_from(TestMember& other) {
    RawClient client(port());
    client.send("GET /raft/stream/message/" + hex_text(other.id()) +
                " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Server-Version: 3.7.1\r\n"
                "X-Min-Cluster-Version: 3.0.0\r\nX-Etcd-Cluster-ID: c1\r\nX-Server-From: " +
                hex_text(other.id()) + "\r\nX-PeerURLs: " + other.url() + "\r\n\r\n");
    return client.read_all().starts_with("HTTP/1.1 404");
  }

  // Waits until `condition` holds under the lock of what is kept.
  template <typename Condition>
  bool wait(Condition&& condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kTestPatience, condition);
  }
  size_t logged(const std::string& message) const {
    auto it = lines_.find(message);
    return it == lines_.end() ? 0 : it->second;
  }
  bool wait_for_log(const std::string& message, size_t count = 1) {
    return wait([&] { return logged(message) >= count; });
  }
  // Both streams that `other` reads from here, and both that are read there.
  bool wait_for_streams(size_t count = 4) {
    return wait_for_log("established TCP streaming connection with remote peer", count);
  }
  PeerCounters counters_of(NodeId id) {
    for (auto& counters : transport_->counters()) {
      if (counters.id == id) return counters;
    }
    return {};
  }

  // Guarded by the lock; read them in wait() or when all is quiet.
  std::vector<raft::Message> received_;
  std::map<NodeId, size_t> unreachable_;
  std::vector<bool> snapshots_sent_;
  size_t removals_ = 0;
  std::set<NodeId> removed_ids_;
  Status receive_status_;
  std::function<Result<std::unique_ptr<SnapshotSink>>(raft::Message, uint64_t)> on_snapshot_;
  std::function<void(HttpRequest, Hooks::Respond)> on_request_;

  template <typename Change>
  void change(Change&& apply) {
    std::lock_guard lock(mutex_);
    apply();
    changed_.notify_all();
  }

 private:
  Hooks hooks() {
    Hooks hooks;
    hooks.receive = [this](raft::Message m) {
      Status status;
      change([&] {
        received_.push_back(std::move(m));
        status = receive_status_;
      });
      return status;
    };
    hooks.unreachable = [this](NodeId id) { change([&] { ++unreachable_[id]; }); };
    hooks.snapshot_sent = [this](NodeId, bool ok) {
      change([&] { snapshots_sent_.push_back(ok); });
    };
    hooks.removed = [this] { change([&] { ++removals_; }); };
    hooks.is_removed = [this](NodeId id) {
      std::lock_guard lock(mutex_);
      return removed_ids_.contains(id);
    };
    hooks.receive_snapshot = [this](raft::Message m, uint64_t bytes) {
      return on_snapshot_(std::move(m), bytes);
    };
    hooks.handle = [this](HttpRequest request, Hooks::Respond respond) {
      if (on_request_) return on_request_(std::move(request), std::move(respond));
      respond(text_response(404, "404 page not found"));
    };
    hooks.log = [this](LogLevel, std::string_view message, const LogFields&, std::source_location) {
      change([&] { ++lines_[std::string(message)]; });
    };
    return hooks;
  }

  const NodeId id_;
  std::unique_ptr<TestListener> listener_;
  std::unique_ptr<Transport> transport_;
  std::thread accepting_;
  std::atomic<bool> stopping_{false};
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, size_t> lines_;
};

}  // namespace mortise::peer
