// The errors that clients see: etcd's table of codes and texts, in one place. The source is the
// table of etcd 3.7's API; a client library matches on the text, so each is part of the interface.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace mortise {

// gRPC's status codes.
enum class RpcCode : int32_t {
  kOk = 0,
  kCanceled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

// How a request ended. The default is success.
class [[nodiscard]] RpcStatus {
 public:
  RpcStatus() = default;
  RpcStatus(RpcCode code, std::string message) : code_(code), message_(std::move(message)) {}
  bool ok() const { return code_ == RpcCode::kOk; }
  RpcCode code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  RpcCode code_ = RpcCode::kOk;
  std::string message_;
};

// A row of the table; converts to the status that it stands for.
struct RpcError {
  RpcCode code;
  std::string_view message;
  operator RpcStatus() const { return RpcStatus(code, std::string(message)); }  // NOLINT
};

namespace rpc_errors {

constexpr RpcError kEmptyKey{RpcCode::kInvalidArgument, "etcdserver: key is not provided"};
constexpr RpcError kKeyNotFound{RpcCode::kInvalidArgument, "etcdserver: key not found"};
constexpr RpcError kValueProvided{RpcCode::kInvalidArgument, "etcdserver: value is provided"};
constexpr RpcError kLeaseProvided{RpcCode::kInvalidArgument, "etcdserver: lease is provided"};
constexpr RpcError kTooManyOps{RpcCode::kInvalidArgument,
                               "etcdserver: too many operations in txn request"};
constexpr RpcError kDuplicateKey{RpcCode::kInvalidArgument,
                                 "etcdserver: duplicate key given in txn request"};
constexpr RpcError kInvalidClientApiVersion{RpcCode::kInvalidArgument,
                                            "etcdserver: invalid client api version"};
constexpr RpcError kInvalidSortOption{RpcCode::kInvalidArgument, "etcdserver: invalid sort option"};
constexpr RpcError kRequestTooLarge{RpcCode::kInvalidArgument, "etcdserver: request is too large"};
constexpr RpcError kCompacted{RpcCode::kOutOfRange,
                              "etcdserver: mvcc: required revision has been compacted"};
constexpr RpcError kFutureRevision{RpcCode::kOutOfRange,
                                   "etcdserver: mvcc: required revision is a future revision"};
constexpr RpcError kLeaseTtlTooLarge{RpcCode::kOutOfRange, "etcdserver: too large lease TTL"};
constexpr RpcError kNoSpace{RpcCode::kResourceExhausted,
                            "etcdserver: mvcc: database space exceeded"};
// etcd declares ResourceExhausted, but what goes over the wire is Unknown.
constexpr RpcError kTooManyRequests{RpcCode::kUnknown, "etcdserver: too many requests"};
constexpr RpcError kLeaseNotFound{RpcCode::kNotFound, "etcdserver: requested lease not found"};
constexpr RpcError kLeaseExists{RpcCode::kFailedPrecondition, "etcdserver: lease already exists"};
constexpr RpcError kMemberNotFound{RpcCode::kNotFound, "etcdserver: member not found"};
constexpr RpcError kNotLeader{RpcCode::kFailedPrecondition, "etcdserver: not leader"};
constexpr RpcError kNotCapable{RpcCode::kFailedPrecondition, "etcdserver: not capable"};
constexpr RpcError kAuthNotEnabled{RpcCode::kFailedPrecondition,
                                   "etcdserver: authentication is not enabled"};
constexpr RpcError kNoLeader{RpcCode::kUnavailable, "etcdserver: no leader"};
constexpr RpcError kLeaderChanged{RpcCode::kUnavailable, "etcdserver: leader changed"};
constexpr RpcError kStopped{RpcCode::kUnavailable, "etcdserver: server stopped"};
constexpr RpcError kTimeout{RpcCode::kUnavailable, "etcdserver: request timed out"};
constexpr RpcError kCorrupt{RpcCode::kDataLoss, "etcdserver: corrupt cluster"};
constexpr RpcError kWatchCanceled{RpcCode::kCanceled, "etcdserver: watch canceled"};
constexpr RpcError kRequestCanceled{RpcCode::kCanceled, "etcdserver: request canceled"};
constexpr RpcError kContextCanceled{RpcCode::kCanceled, "context canceled"};
constexpr RpcError kContextDeadlineExceeded{RpcCode::kDeadlineExceeded,
                                            "context deadline exceeded"};
constexpr RpcError kProposalDropped{RpcCode::kUnknown, "raft proposal dropped"};
// What Go's gRPC answers to bytes that are not the request's message.
constexpr RpcError kMalformed{
    RpcCode::kInternal,
    "grpc: error unmarshalling request: proto: cannot parse invalid wire-format data"};
constexpr RpcError kUnknownMethod{RpcCode::kUnknown, "etcdserver: unknown method"};

}  // namespace rpc_errors
}  // namespace mortise
