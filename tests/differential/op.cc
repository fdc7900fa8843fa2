#include "tests/differential/op.h"

#include <google/protobuf/text_format.h>

#include <sstream>

#include "proto/rpc.pb.h"

namespace mortise::differential {
namespace {

using namespace etcdserverpb;  // NOLINT(google-build-using-namespace): the table names ten messages
                               // of it.

const std::vector<OpInfo>& table() {
  static const std::vector<OpInfo> entries = {
      {OpKind::kRange, "Range", "/etcdserverpb.KV/Range", &RangeRequest::default_instance(),
       &RangeResponse::default_instance()},
      {OpKind::kPut, "Put", "/etcdserverpb.KV/Put", &PutRequest::default_instance(),
       &PutResponse::default_instance()},
      {OpKind::kDeleteRange, "DeleteRange", "/etcdserverpb.KV/DeleteRange",
       &DeleteRangeRequest::default_instance(), &DeleteRangeResponse::default_instance()},
      {OpKind::kTxn, "Txn", "/etcdserverpb.KV/Txn", &TxnRequest::default_instance(),
       &TxnResponse::default_instance()},
      {OpKind::kCompact, "Compact", "/etcdserverpb.KV/Compact",
       &CompactionRequest::default_instance(), &CompactionResponse::default_instance()},
      {OpKind::kLeaseGrant, "LeaseGrant", "/etcdserverpb.Lease/LeaseGrant",
       &LeaseGrantRequest::default_instance(), &LeaseGrantResponse::default_instance()},
      {OpKind::kLeaseRevoke, "LeaseRevoke", "/etcdserverpb.Lease/LeaseRevoke",
       &LeaseRevokeRequest::default_instance(), &LeaseRevokeResponse::default_instance()},
      {OpKind::kLeaseTimeToLive, "LeaseTimeToLive", "/etcdserverpb.Lease/LeaseTimeToLive",
       &LeaseTimeToLiveRequest::default_instance(), &LeaseTimeToLiveResponse::default_instance()},
      {OpKind::kLeaseLeases, "LeaseLeases", "/etcdserverpb.Lease/LeaseLeases",
       &LeaseLeasesRequest::default_instance(), &LeaseLeasesResponse::default_instance()},
      {OpKind::kHashKv, "HashKV", "/etcdserverpb.Maintenance/HashKV",
       &HashKVRequest::default_instance(), &HashKVResponse::default_instance()},
      {OpKind::kMemberList, "MemberList", "/etcdserverpb.Cluster/MemberList",
       &MemberListRequest::default_instance(), &MemberListResponse::default_instance()},
      {OpKind::kLeaseKeepAlive, "LeaseKeepAlive", "", &LeaseKeepAliveRequest::default_instance(),
       &LeaseKeepAliveResponse::default_instance()},
      {OpKind::kRangeStream, "RangeStream", "", &RangeRequest::default_instance(),
       &RangeResponse::default_instance()},
      {OpKind::kExpiry, "Expiry", "", &TxnRequest::default_instance(),
       &TxnResponse::default_instance()},
      {OpKind::kRestart, "Restart", "", &WatchProgressRequest::default_instance(),
       &WatchProgressRequest::default_instance()},
      {OpKind::kKill, "Kill", "", &WatchProgressRequest::default_instance(),
       &WatchProgressRequest::default_instance()},
      {OpKind::kWatchCreate, "WatchCreate", "", &WatchCreateRequest::default_instance(),
       &WatchResponse::default_instance()},
      {OpKind::kWatchCancel, "WatchCancel", "", &WatchCancelRequest::default_instance(),
       &WatchResponse::default_instance()},
      {OpKind::kBarrier, "Barrier", "", &WatchProgressRequest::default_instance(),
       &WatchProgressRequest::default_instance()},
  };
  return entries;
}

}  // namespace

const OpInfo& info(OpKind kind) { return table()[static_cast<size_t>(kind)]; }

Op make_mark(OpKind kind) { return make_op(kind, WatchProgressRequest()); }

Op make_barrier() { return make_mark(OpKind::kBarrier); }

std::string to_text(const Op& op) {
  google::protobuf::TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  std::string fields;
  printer.PrintToString(*op.request, &fields);
  return std::string(info(op.kind).name) + " " + fields;
}

Result<Op> parse_op(const std::string& line) {
  size_t space = line.find(' ');
  std::string name = line.substr(0, space);
  for (const OpInfo& entry : table()) {
    if (name != entry.name) continue;
    std::shared_ptr<google::protobuf::Message> request(entry.request->New());
    std::string fields = space == std::string::npos ? "" : line.substr(space + 1);
    if (!google::protobuf::TextFormat::ParseFromString(fields, request.get())) {
      return invalid("not the fields of a " + name + ": " + fields);
    }
    return Op{entry.kind, std::move(request)};
  }
  return invalid("unknown operation " + name);
}

Result<std::vector<Op>> parse_script(const std::string& text) {
  std::vector<Op> out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] == '#') continue;
    MORTISE_ASSIGN_OR_RETURN(auto op, parse_op(line));
    out.push_back(std::move(op));
  }
  return out;
}

}  // namespace mortise::differential
