// One step of a history that is played to several servers: a request, or something done with the
// watch stream. It has a text form of one line, "Put key: \"a\" value: \"b\"", so that a history is
// a readable script.
#pragma once

#include <google/protobuf/message.h>

#include <memory>
#include <string>
#include <vector>

#include "host/base/status.h"

namespace mortise::differential {

enum class OpKind {
  kRange,
  kPut,
  kDeleteRange,
  kTxn,
  kCompact,
  kLeaseGrant,
  kLeaseRevoke,
  kLeaseTimeToLive,
  kLeaseLeases,
  kHashKv,
  kMemberList,
  kLeaseKeepAlive,  // A stream for one request and its answer.
  kRangeStream,     // Its chunks, put together.
  kExpiry,          // A lease of a second, a txn whose puts have it, and the wait for its end.
  kRestart,         // Of all servers, on request. Watchers are gone with it.
  kKill,            // The same without a warning.
  kWatchCreate,     // On the session's stream; the answer is the created response.
  kWatchCancel,     // The answer is the canceled response.
  kBarrier,         // All watchers of all servers have to have seen the same.
};

struct OpInfo {
  OpKind kind;
  const char* name;
  // Empty: not a unary call.
  const char* method;
  const google::protobuf::Message* request;
  const google::protobuf::Message* response;
};

const OpInfo& info(OpKind kind);

struct Op {
  OpKind kind = OpKind::kBarrier;
  std::shared_ptr<const google::protobuf::Message> request;

  template <typename Message>
  const Message& as() const {
    return static_cast<const Message&>(*request);
  }
};

template <typename Message>
Op make_op(OpKind kind, const Message& request) {
  return {kind, std::make_shared<Message>(request)};
}
// Of a kind that has no request.
Op make_mark(OpKind kind);
Op make_barrier();

std::string to_text(const Op& op);
Result<Op> parse_op(const std::string& line);

// One operation a line; empty lines and those that begin with # are left out.
Result<std::vector<Op>> parse_script(const std::string& text);

}  // namespace mortise::differential
