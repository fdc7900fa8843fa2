#include "host/api/request_text.h"

#include <algorithm>
#include <vector>

#include "proto/raft_internal.pb.h"
#include "proto/rpc.pb.h"

namespace mortise::api {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// The two escapes of Go's protobuf packages, the present one and the one before.
enum class Escape { kHex, kOctal };

std::string quoted(std::string_view bytes, Escape escape) {
  std::string out = "\"";
  for (char c : bytes) {
    auto u = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      (out += '\\') += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (u >= 0x20 && u < 0x7f) {
      out += c;
    } else {
      char text[8];
      std::snprintf(text, sizeof text, escape == Escape::kHex ? "\\x%02x" : "\\%03o", u);
      out += text;
    }
  }
  return out + "\"";
}

std::string text_of(const Message& message);

std::string value_text(const Message& m, const Reflection& r, const FieldDescriptor* f, int at) {
  bool many = at >= 0;
  switch (f->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return std::to_string(many ? r.GetRepeatedInt32(m, f, at) : r.GetInt32(m, f));
    case FieldDescriptor::CPPTYPE_INT64:
      return std::to_string(many ? r.GetRepeatedInt64(m, f, at) : r.GetInt64(m, f));
    case FieldDescriptor::CPPTYPE_UINT32:
      return std::to_string(many ? r.GetRepeatedUInt32(m, f, at) : r.GetUInt32(m, f));
    case FieldDescriptor::CPPTYPE_UINT64:
      return std::to_string(many ? r.GetRepeatedUInt64(m, f, at) : r.GetUInt64(m, f));
    case FieldDescriptor::CPPTYPE_BOOL:
      return (many ? r.GetRepeatedBool(m, f, at) : r.GetBool(m, f)) ? "true" : "false";
    case FieldDescriptor::CPPTYPE_ENUM: {
      int number = many ? r.GetRepeatedEnumValue(m, f, at) : r.GetEnumValue(m, f);
      const auto* value = f->enum_type()->FindValueByNumber(number);
      return value == nullptr ? std::to_string(number) : std::string(value->name());
    }
    case FieldDescriptor::CPPTYPE_STRING:
      return quoted(many ? r.GetRepeatedString(m, f, at) : r.GetString(m, f), Escape::kHex);
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return "{" + text_of(many ? r.GetRepeatedMessage(m, f, at) : r.GetMessage(m, f)) + "}";
    default: return "?";  // etcd's messages have no floats.
  }
}

// name:value name:{name:value}
std::string text_of(const Message& message) {
  const Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  std::sort(fields.begin(), fields.end(),
            [](const auto* a, const auto* b) { return a->index() < b->index(); });
  std::string out;
  auto append = [&](const FieldDescriptor* field, int at) {
    if (!out.empty()) out += ' ';
    out += std::string(field->name()) + ":" + value_text(message, reflection, field, at);
  };
  for (const FieldDescriptor* field : fields) {
    if (!field->is_repeated()) {
      append(field, -1);
      continue;
    }
    for (int i = 0; i < reflection.FieldSize(message, field); ++i) append(field, i);
  }
  return out;
}

// Here each field has a space behind it.
std::string put_text(const etcdserverpb::PutRequest& r) {
  std::string out;
  if (!r.key().empty()) out += "key:" + quoted(r.key(), Escape::kOctal) + " ";
  if (!r.value().empty()) out += "value_size:" + std::to_string(r.value().size()) + " ";
  if (r.lease() != 0) out += "lease:" + std::to_string(r.lease()) + " ";
  if (r.prev_kv()) out += "prev_kv:true ";
  if (r.ignore_value()) out += "ignore_value:true ";
  if (r.ignore_lease()) out += "ignore_lease:true ";
  return out;
}

std::string compare_text(const etcdserverpb::Compare& c) {
  if (c.target_union_case() != etcdserverpb::Compare::kValue) return text_of(c);
  etcdserverpb::Compare head;
  head.set_result(c.result());
  head.set_target(c.target());
  std::string out = text_of(head);
  if (!out.empty()) out += ' ';
  if (!c.key().empty()) out += "key:" + quoted(c.key(), Escape::kOctal) + " ";
  if (!c.value().empty()) out += "value_size:" + std::to_string(c.value().size()) + " ";
  if (!c.range_end().empty()) out += "range_end:" + quoted(c.range_end(), Escape::kOctal) + " ";
  return out;
}

std::string txn_text(const etcdserverpb::TxnRequest& txn);

std::string op_text(const etcdserverpb::RequestOp& op) {
  if (op.has_request_put()) return "request_put:<" + put_text(op.request_put()) + ">";
  if (op.has_request_txn()) return "request_txn:<" + txn_text(op.request_txn()) + ">";
  return text_of(op);
}

template <typename List, typename ToText>
std::string list_text(const List& list, ToText to_text) {
  std::string out;
  for (const auto& item : list) out += (out.empty() ? "" : " ") + to_text(item);
  return "<" + out + ">";
}

std::string txn_text(const etcdserverpb::TxnRequest& txn) {
  return "compare:" + list_text(txn.compare(), compare_text) +
         " success:" + list_text(txn.success(), op_text) +
         " failure:" + list_text(txn.failure(), op_text);
}

template <typename Request>
std::string parsed_text(std::string_view bytes, std::string (*to_text)(const Request&)) {
  Request request;
  if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return {};
  return to_text(request);
}
template <typename Request>
std::string plain_text(std::string_view bytes) {
  return parsed_text<Request>(bytes, [](const Request& r) { return text_of(r); });
}

std::string header_text(const wire::RaftRequest& request) {
  etcdserverpb::RequestHeader header;
  header.set_id(request.id);
  header.set_username(std::string(request.username));
  header.set_auth_revision(request.auth_revision);
  return text_of(header);
}

std::string lease_text(const etcdserverpb::LeaseGrantRequest& r) {
  char id[20];
  std::snprintf(id, sizeof id, "%016llx", static_cast<unsigned long long>(r.id()));
  return "lease_grant:<ttl:" + std::to_string(r.ttl()) + "-second id:" + id + ">";
}
std::string revoke_text(const etcdserverpb::LeaseRevokeRequest& r) {
  char id[20];
  std::snprintf(id, sizeof id, "%016llx", static_cast<unsigned long long>(r.id()));
  return std::string("lease_revoke:<id:") + id + ">";
}

}  // namespace

std::string request_text(std::string_view path, std::string_view request) {
  if (path == "/etcdserverpb.KV/Range") return plain_text<etcdserverpb::RangeRequest>(request);
  if (path == "/etcdserverpb.KV/Put")
    return parsed_text<etcdserverpb::PutRequest>(request, put_text);
  if (path == "/etcdserverpb.KV/DeleteRange")
    return plain_text<etcdserverpb::DeleteRangeRequest>(request);
  if (path == "/etcdserverpb.KV/Txn")
    return parsed_text<etcdserverpb::TxnRequest>(request, txn_text);
  return {};
}

std::string raft_request_text(const wire::RaftRequest& request) {
  std::string head = "header:<" + header_text(request) + "> ";
  switch (request.field) {
    case wire::kRaftPut:
      return head + "put:<" + parsed_text<etcdserverpb::PutRequest>(request.request, put_text) +
             ">";
    case wire::kRaftTxn:
      return head + "txn:<" + parsed_text<etcdserverpb::TxnRequest>(request.request, txn_text) +
             ">";
    case wire::kRaftLeaseGrant:
      return head + parsed_text<etcdserverpb::LeaseGrantRequest>(request.request, lease_text);
    case wire::kRaftLeaseRevoke:
      return head + parsed_text<etcdserverpb::LeaseRevokeRequest>(request.request, revoke_text);
    default: break;
  }
  if (request.field >= wire::kRaftAuthFirst && request.field <= wire::kRaftAuthLast) return head;
  // The field alone, so that what is not known here stays out.
  std::string entry = wire::encode_raft_request(request.id, request.field, request.request);
  etcdserverpb::InternalRaftRequest message;
  if (!message.ParseFromString(entry)) return head;
  return text_of(message);
}

}  // namespace mortise::api
