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

// The rows of etcd's table.
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
constexpr RpcError kNoSpace{RpcCode::kResourceExhausted,
                            "etcdserver: mvcc: database space exceeded"};
constexpr RpcError kLeaseNotFound{RpcCode::kNotFound, "etcdserver: requested lease not found"};
constexpr RpcError kLeaseExists{RpcCode::kFailedPrecondition, "etcdserver: lease already exists"};
constexpr RpcError kLeaseTtlTooLarge{RpcCode::kOutOfRange, "etcdserver: too large lease TTL"};
constexpr RpcError kMemberExists{RpcCode::kFailedPrecondition,
                                 "etcdserver: member ID already exist"};
constexpr RpcError kPeerUrlExists{RpcCode::kFailedPrecondition,
                                  "etcdserver: Peer URLs already exists"};
constexpr RpcError kMemberBadUrls{RpcCode::kInvalidArgument,
                                  "etcdserver: given member URLs are invalid"};
constexpr RpcError kMemberNotFound{RpcCode::kNotFound, "etcdserver: member not found"};
constexpr RpcError kMemberNotLearner{RpcCode::kFailedPrecondition,
                                     "etcdserver: can only promote a learner member"};
constexpr RpcError kLearnerNotReady{
    RpcCode::kFailedPrecondition,
    "etcdserver: can only promote a learner member which is in sync with leader"};
constexpr RpcError kTooManyLearners{RpcCode::kFailedPrecondition,
                                    "etcdserver: too many learner members in cluster"};
constexpr RpcError kClusterIdMismatch{RpcCode::kFailedPrecondition,
                                      "etcdserver: cluster ID mismatch"};
constexpr RpcError kRootUserNotExist{RpcCode::kFailedPrecondition,
                                     "etcdserver: root user does not exist"};
constexpr RpcError kRootRoleNotExist{RpcCode::kFailedPrecondition,
                                     "etcdserver: root user does not have root role"};
constexpr RpcError kUserExists{RpcCode::kFailedPrecondition,
                               "etcdserver: user name already exists"};
constexpr RpcError kUserEmpty{RpcCode::kInvalidArgument, "etcdserver: user name is empty"};
constexpr RpcError kUserNotFound{RpcCode::kFailedPrecondition, "etcdserver: user name not found"};
constexpr RpcError kRoleExists{RpcCode::kFailedPrecondition,
                               "etcdserver: role name already exists"};
constexpr RpcError kRoleNotFound{RpcCode::kFailedPrecondition, "etcdserver: role name not found"};
constexpr RpcError kRoleEmpty{RpcCode::kInvalidArgument, "etcdserver: role name is empty"};
constexpr RpcError kAuthFailed{RpcCode::kInvalidArgument,
                               "etcdserver: authentication failed, invalid user ID or password"};
constexpr RpcError kPermissionNotGiven{RpcCode::kInvalidArgument,
                                       "etcdserver: permission not given"};
constexpr RpcError kPermissionDenied{RpcCode::kPermissionDenied, "etcdserver: permission denied"};
constexpr RpcError kRoleNotGranted{RpcCode::kFailedPrecondition,
                                   "etcdserver: role is not granted to the user"};
constexpr RpcError kPermissionNotGranted{RpcCode::kFailedPrecondition,
                                         "etcdserver: permission is not granted to the role"};
constexpr RpcError kAuthNotEnabled{RpcCode::kFailedPrecondition,
                                   "etcdserver: authentication is not enabled"};
constexpr RpcError kInvalidAuthToken{RpcCode::kUnauthenticated, "etcdserver: invalid auth token"};
constexpr RpcError kInvalidAuthManagement{RpcCode::kInvalidArgument,
                                          "etcdserver: invalid auth management"};
constexpr RpcError kAuthOldRevision{RpcCode::kInvalidArgument,
                                    "etcdserver: revision of auth store is old"};
constexpr RpcError kNoLeader{RpcCode::kUnavailable, "etcdserver: no leader"};
constexpr RpcError kNotLeader{RpcCode::kFailedPrecondition, "etcdserver: not leader"};
constexpr RpcError kLeaderChanged{RpcCode::kUnavailable, "etcdserver: leader changed"};
constexpr RpcError kNotCapable{RpcCode::kFailedPrecondition, "etcdserver: not capable"};
constexpr RpcError kStopped{RpcCode::kUnavailable, "etcdserver: server stopped"};
constexpr RpcError kTimeout{RpcCode::kUnavailable, "etcdserver: request timed out"};
constexpr RpcError kTimeoutLeaderFail{
    RpcCode::kUnavailable,
    "etcdserver: request timed out, possibly due to previous leader failure"};
constexpr RpcError kTimeoutConnectionLost{
    RpcCode::kUnavailable, "etcdserver: request timed out, possibly due to connection lost"};
constexpr RpcError kTimeoutWaitApplied{
    RpcCode::kUnavailable,
    "etcdserver: request timed out, waiting for the applied index took too long"};
constexpr RpcError kUnhealthy{RpcCode::kUnavailable, "etcdserver: unhealthy cluster"};
constexpr RpcError kCorrupt{RpcCode::kDataLoss, "etcdserver: corrupt cluster"};
constexpr RpcError kNotSupportedForLearner{RpcCode::kFailedPrecondition,
                                           "etcdserver: rpc not supported for learner"};
constexpr RpcError kBadLeaderTransferee{RpcCode::kFailedPrecondition,
                                        "etcdserver: bad leader transferee"};
constexpr RpcError kClusterVersionUnavailable{
    RpcCode::kFailedPrecondition, "etcdserver: cluster version not found during downgrade"};
constexpr RpcError kWrongDowngradeVersionFormat{
    RpcCode::kInvalidArgument, "etcdserver: wrong downgrade target version format"};
constexpr RpcError kInvalidDowngradeTargetVersion{RpcCode::kInvalidArgument,
                                                  "etcdserver: invalid downgrade target version"};
constexpr RpcError kDowngradeInProcess{RpcCode::kFailedPrecondition,
                                       "etcdserver: cluster has a downgrade job in progress"};
constexpr RpcError kNoInflightDowngrade{RpcCode::kFailedPrecondition,
                                        "etcdserver: no inflight downgrade job"};
constexpr RpcError kWatchCanceled{RpcCode::kCanceled, "etcdserver: watch canceled"};
constexpr RpcError kRequestCanceled{RpcCode::kCanceled, "etcdserver: request canceled"};

// What etcd's table does not hold, or what it holds with another code than the one that is sent.
constexpr RpcError kTooManyRequests{RpcCode::kUnknown, "etcdserver: too many requests"};
constexpr RpcError kNotEnoughStartedMembers{
    RpcCode::kUnknown, "etcdserver: re-configuration failed due to not enough started members"};
constexpr RpcError kUnknownMethod{RpcCode::kUnknown, "etcdserver: unknown method"};
constexpr RpcError kLeaderTransferTimeout{
    RpcCode::kUnknown, "etcdserver: request timed out, leader transfer took too long"};
constexpr RpcError kProposalDropped{RpcCode::kUnknown, "raft proposal dropped"};
constexpr RpcError kContextCanceled{RpcCode::kCanceled, "context canceled"};
constexpr RpcError kContextDeadlineExceeded{RpcCode::kDeadlineExceeded,
                                            "context deadline exceeded"};
constexpr RpcError kStreamSort{RpcCode::kUnimplemented,
                               "RangeStream does not support custom sort orders"};
constexpr RpcError kStreamFilter{RpcCode::kUnimplemented,
                                 "RangeStream does not support revision filters"};
// What Go's gRPC answers to bytes that are not the request's message, and to those in a stream.
constexpr RpcError kMalformed{
    RpcCode::kInternal,
    "grpc: error unmarshalling request: proto: cannot parse invalid wire-format data"};
constexpr RpcError kMalformedStream{
    RpcCode::kInternal,
    "grpc: failed to unmarshal the received message: proto: cannot parse invalid wire-format data"};
// Of the services for locks and elections.
constexpr RpcError kSessionExpired{RpcCode::kUnknown, "mutex: session is expired"};
constexpr RpcError kElectionNotLeader{RpcCode::kUnknown, "election: not leader"};
constexpr RpcError kElectionNoLeader{RpcCode::kUnknown, "election: no leader"};
constexpr RpcError kLeaderKeyMissing{RpcCode::kUnknown, "\"leader\" field must be provided"};
// Of the health service.
constexpr RpcError kUnknownService{RpcCode::kNotFound, "unknown service"};

}  // namespace rpc_errors
}  // namespace mortise
