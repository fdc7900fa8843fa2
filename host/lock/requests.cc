#include "host/lock/requests.h"

#include <charconv>

#include "proto/rpc.pb.h"

namespace mortise::lock {
namespace {

using etcdserverpb::Compare;
using etcdserverpb::TxnRequest;

TxnRequest if_created_at(const std::string& key, int64_t revision) {
  TxnRequest txn;
  Compare* compare = txn.add_compare();
  compare->set_result(Compare::EQUAL);
  compare->set_target(Compare::CREATE);
  compare->set_key(key);
  compare->set_create_revision(revision);
  return txn;
}

void add_put(TxnRequest* txn, const std::string& key, const std::string& value, int64_t lease) {
  auto* put = txn->add_success()->mutable_request_put();
  put->set_key(key);
  put->set_value(value);
  put->set_lease(lease);
}

bool parse(std::string_view bytes, etcdserverpb::TxnResponse* out) {
  return out->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

}  // namespace

std::string prefix_of(std::string_view name) { return std::string(name) + "/"; }

std::string key_of(std::string_view name, int64_t lease) {
  char digits[20];
  char* end = std::to_chars(digits, digits + sizeof digits, lease, 16).ptr;
  return prefix_of(name).append(digits, end);
}

std::string grant_lease(int64_t lease) {
  etcdserverpb::LeaseGrantRequest request;
  request.set_ttl(kSessionTtlSeconds);
  request.set_id(lease);
  return request.SerializeAsString();
}

std::string create_key(const std::string& key, const std::string& value, int64_t lease) {
  TxnRequest txn = if_created_at(key, 0);
  add_put(&txn, key, value, lease);
  txn.add_failure()->mutable_request_range()->set_key(key);
  return txn.SerializeAsString();
}

std::string update_key(const std::string& key, int64_t create_revision, const std::string& value,
                       int64_t lease) {
  TxnRequest txn = if_created_at(key, create_revision);
  add_put(&txn, key, value, lease);
  return txn.SerializeAsString();
}

std::string delete_key(const std::string& key, int64_t create_revision) {
  TxnRequest txn = if_created_at(key, create_revision);
  txn.add_success()->mutable_request_delete_range()->set_key(key);
  return txn.SerializeAsString();
}

bool parse_created(std::string_view txn_response, KeyFound* out) {
  etcdserverpb::TxnResponse response;
  if (!parse(txn_response, &response)) return false;
  out->created = response.succeeded();
  if (out->created) return true;
  if (response.responses_size() != 1) return false;
  const auto& range = response.responses(0).response_range();
  if (range.kvs_size() != 1) return false;
  out->create_revision = range.kvs(0).create_revision();
  out->value = range.kvs(0).value();
  return true;
}

bool txn_succeeded(std::string_view txn_response) {
  etcdserverpb::TxnResponse response;
  return parse(txn_response, &response) && response.succeeded();
}

}  // namespace mortise::lock
