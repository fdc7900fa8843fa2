// One connection of the relay: a TLS session, the plain end, and what is under way between them.
// Lives on one thread of the relay. Private to this folder.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "host/tls/relay.h"
#include "host/tls/session.h"

namespace mortise::tls {

class Link {
 public:
  enum class State : uint8_t { kHandshake, kOpen, kLinger, kEnded };
  // What epoll reports is for one of the two.
  struct End {
    Link* link;
    bool is_tls;
  };

  Link(uint64_t id, std::unique_ptr<Session> session, Relay::Done done);
  ~Link();

  uint64_t id() const { return id_; }
  State state() const { return state_; }
  Session* session() { return session_.get(); }
  End* tls_end() { return &tls_end_; }
  End* plain_end() { return &plain_end_; }
  int plain() const { return plain_; }
  // Bytes that the plain end had no room for.
  bool has_backlog() const { return !to_plain_.empty(); }

  void on_event(bool is_tls, uint32_t events);
  // Goes on as far as it can without waiting, but not forever; true: there is more to do at once.
  bool run();
  // The handshake is over: from now on bytes go to and from `plain`.
  void open(int plain);
  // The handshake is over, or has failed; see `error()`.
  bool is_handshake_done() const { return handshake_done_; }
  void fail(std::string error);
  const std::string& error() const { return error_; }
  // A server checks its client after the client has done its part, so its refusal comes later.
  bool was_refused() const {
    return handshake_done_ && !has_received_ && error_.starts_with("remote error");
  }
  Relay::Done take_done() { return std::exchange(done_, nullptr); }
  // Nothing more than what the user has written is of interest.
  void close_soon();

 private:
  enum class Move : uint8_t { kMore, kStuck };
  Move move_in();
  Move move_out();
  bool fill_plain();
  bool send_plain(const char* bytes, size_t size);
  void plain_is_over();
  void shake_hands();
  void discard_rest();

  const uint64_t id_;
  const std::unique_ptr<Session> session_;
  Relay::Done done_;
  End tls_end_{this, true};
  End plain_end_{this, false};
  State state_ = State::kHandshake;
  int plain_ = -1;
  std::string error_;
  bool handshake_done_ = false;
  bool has_received_ = false;

  std::string to_plain_;  // Decrypted, and not yet taken by the user.
  bool tls_readable_ = true;
  bool tls_over_ = false;    // The other side sends no more.
  bool told_plain_ = false;  // And the user knows.
  bool plain_readable_ = false;
  bool plain_ended_ = false;    // The end comes after what can be read.
  bool plain_hung_up_ = false;  // The user reads no more, either.
  bool plain_over_ = false;     // The user sends no more.
  bool told_tls_ = false;       // And the other side knows.
};

}  // namespace mortise::tls
