#include "host/peer/connection.h"

#include <pthread.h>
#include <sys/socket.h>

#include <algorithm>

namespace mortise::peer {

IoLoop::IoLoop(std::string thread_name, tls::Dialer dialer)
    : thread_name_(std::move(thread_name)), dialer_(std::move(dialer)) {
  io_.emplace(1);
  door_->io = &*io_;
  sweep_timer_.emplace(*io_);
}

IoLoop::~IoLoop() { stop(); }

void IoLoop::start() {
  post([this] { sweep(); });
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), thread_name_.c_str());
    auto guard = asio::make_work_guard(*io_);
    io_->run();
  });
}

void IoLoop::stop() {
  {
    std::lock_guard lock(door_->mutex);
    if (std::exchange(door_->io, nullptr) == nullptr) return;
  }
  io_->stop();
  if (thread_.joinable()) thread_.join();
  abort_connections();
  sweep_timer_.reset();
  io_.reset();
}

void IoLoop::Door::post(std::function<void()> task) {
  std::lock_guard lock(mutex);
  if (io != nullptr) asio::post(*io, std::move(task));
}

std::function<void(std::function<void()>)> IoLoop::poster() const {
  return [door = door_](std::function<void()> task) { door->post(std::move(task)); };
}

void IoLoop::abort_connections() {
  for (auto& weak : connections_) {
    if (auto connection = weak.lock()) connection->abort();
  }
}

void IoLoop::watch(const std::shared_ptr<Connection>& connection) {
  connections_.push_back(connection);
}

void IoLoop::sweep() {
  const int64_t now = Connection::ticks(Clock::now());
  std::erase_if(connections_, [now](const std::weak_ptr<Connection>& weak) {
    auto connection = weak.lock();
    if (!connection || connection->aborted_) return true;
    connection->check_deadlines(now);
    return false;
  });
  sweep_timer_->expires_after(kSweepInterval);
  sweep_timer_->async_wait([this](const ErrorCode& error) {
    if (!error) sweep();
  });
}

void Connection::check_deadlines(int64_t now) {
  if (now < std::min(read_by_.load(), write_by_.load())) return;
  timed_out_ = true;
  abort();
}

void Connection::abort() {
  aborted_ = true;
  if (socket_.is_open()) ::shutdown(socket_.native_handle(), SHUT_RDWR);
}

bool Connection::is_stale() {
  if (aborted_ || !socket_.is_open()) return true;
  char byte;
  ssize_t n = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n >= 0 || (errno != EAGAIN && errno != EINTR);
}

std::string Connection::error_text(const ErrorCode& error) const {
  if (timed_out_) return "i/o timeout";
  if (error == asio::error::eof) return "EOF";
  if (aborted_) return "connection closed";
  return error.message();
}

size_t Connection::read_some(asio::mutable_buffer buffer, std::chrono::milliseconds limit,
                             ErrorCode* error) {
  read_within(limit);
  size_t n = socket_.read_some(buffer, *error);
  read_whenever();
  return n;
}

Status Connection::write_all(std::string_view bytes, std::chrono::milliseconds progress) {
  while (!bytes.empty()) {
    write_within(progress);
    ErrorCode error;
    size_t n = socket_.write_some(asio::buffer(bytes.data(), bytes.size()), error);
    write_whenever();
    if (error) return Status(StatusCode::kIo, error_text(error));
    bytes.remove_prefix(n);
  }
  return {};
}

}  // namespace mortise::peer
