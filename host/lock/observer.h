// One stream of v3electionpb.Election/Observe: the transport's end, which only queues, and the
// keeper's side of it.
//
// There is no queue of leaders: a client that does not read costs a number, the version of the
// leader that it has seen, and gets the one of the moment when it reads again.
#pragma once

#include <atomic>
#include <memory>

#include "host/auth/warrant.h"
#include "host/base/byte_buffer.h"
#include "host/lock/inbox.h"
#include "host/rpc/stream.h"

namespace mortise::lock {

class Election;

class Observer final : public rpc::ServerStream, public std::enable_shared_from_this<Observer> {
 public:
  Observer(Inbox* inbox, const rpc::ClientStream& client, std::shared_ptr<auth::Warrant> may)
      : warrant(std::move(may)), inbox_(inbox), client_(client) {}

  // The transport's end.
  void on_message(rpc::Payload message) override;
  void on_half_close() override {}
  void on_grant(uint64_t bytes) override;
  void on_cancel() override;

  // What follows is for the keeper's thread alone.
  void allow_request(uint64_t bytes) { client_.grant(bytes); }
  void take_grants() { credit_ += static_cast<int64_t>(granted_.exchange(0)); }
  bool ready() const { return credit_ > 0; }
  void send(ByteBuffer&& message);
  // The client's last call; the transport does not call this object once it has begun.
  void end(const RpcStatus& status) { client_.end(status); }

  const std::shared_ptr<auth::Warrant> warrant;  // Null: it may observe anything.
  Election* election = nullptr;                  // Null until the request has come.
  int64_t from_revision = 0;                     // Older leaders are of no use.
  uint64_t seen_version = 0;                     // Of the leader.

 private:
  Inbox* const inbox_;
  rpc::ClientStream client_;
  std::atomic<uint64_t> granted_{0};  // By the client, not taken yet.
  int64_t credit_ = 0;                // Below zero after a message that was larger.
};

}  // namespace mortise::lock
