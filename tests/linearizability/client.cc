#include "tests/linearizability/client.h"

#include <thread>

namespace mortise::testing {
namespace {

using KvStub = etcdserverpb::KV::Stub;
using nlohmann::json;

// Most calls give up soon, so that their client asks another member. Some wait, and get what a
// member says that was paused meanwhile.
constexpr std::chrono::milliseconds kShortBound{500};
constexpr std::chrono::milliseconds kLongBound{10'000};
constexpr std::chrono::milliseconds kPause{20};

int64_t now() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

int key_number(const std::string& key) { return std::stoi(key.substr(1)); }

void add_put(etcdserverpb::RequestOp* op, int key, int64_t value) {
  op->mutable_request_put()->set_key(key_name(key));
  op->mutable_request_put()->set_value(std::to_string(value));
}

void fill_range(etcdserverpb::RangeRequest* request) {
  request->set_key("/");
  request->set_range_end("0");
}

}  // namespace

std::string key_name(int key) { return "/" + std::to_string(key); }

RecordingClient::RecordingClient(int number, uint64_t seed,
                                 const std::vector<std::string>& endpoints,
                                 std::atomic<int64_t>* values)
    : number_(number), random_(seed), values_(values) {
  for (const std::string& endpoint : endpoints) {
    clients_.push_back(std::make_unique<Client>(endpoint));
  }
  current_ = static_cast<size_t>(number) % clients_.size();
}

template <typename Method, typename Request, typename Response>
bool RecordingClient::call(Method method, const Request& request, Response* response,
                           json* record) {
  Client& client = *clients_[current_];
  auto bound = random_() % 8 == 0 ? kLongBound : kShortBound;
  (*record)["client"] = number_;
  (*record)["call"] = now();
  grpc::Status status = client.call(client.kv(), method, request, response, bound);
  (*record)["return"] = now();
  (*record)["known"] = status.ok();
  if (status.ok()) {
    (*record)["revision"] = response->header().revision();
    return true;
  }
  current_ = (current_ + 1) % clients_.size();
  std::this_thread::sleep_for(kPause);
  return false;
}

void RecordingClient::note_read(const etcdserverpb::RangeResponse& response, json* record) {
  std::vector<int64_t> values(kKeys, 0), mods(kKeys, 0);
  for (const auto& kv : response.kvs()) {
    auto key = static_cast<size_t>(key_number(kv.key()));
    values[key] = std::stoll(kv.value());
    mods[key] = kv.mod_revision();
  }
  std::copy(mods.begin(), mods.end(), seen_);
  (*record)["values"] = values;
  (*record)["mods"] = mods;
}

bool RecordingClient::read(bool serializable) {
  etcdserverpb::RangeRequest request;
  fill_range(&request);
  request.set_serializable(serializable);
  etcdserverpb::RangeResponse response;
  json record = {{"kind", serializable ? "stale_read" : "read"}};
  if (!call(&KvStub::Range, request, &response, &record)) return false;
  note_read(response, &record);
  records_.push_back(record);
  return true;
}

bool RecordingClient::read_all() { return read(false); }

void RecordingClient::put() {
  int key = random_key();
  int64_t value = ++*values_;
  etcdserverpb::PutRequest request;
  request.set_key(key_name(key));
  request.set_value(std::to_string(value));
  etcdserverpb::PutResponse response;
  json record = {{"kind", "put"}, {"key", key}, {"value", value}};
  call(&KvStub::Put, request, &response, &record);
  records_.push_back(record);
}

void RecordingClient::remove() {
  int key = random_key();
  etcdserverpb::DeleteRangeRequest request;
  request.set_key(key_name(key));
  etcdserverpb::DeleteRangeResponse response;
  json record = {{"kind", "delete"}, {"key", key}};
  if (call(&KvStub::DeleteRange, request, &response, &record)) {
    record["deleted"] = response.deleted();
  }
  records_.push_back(record);
}

// If the key is as it was read last, it and its neighbour are written, else all is read.
void RecordingClient::txn() {
  int key = random_key(), second = (key + 1) % kKeys;
  int64_t value = ++*values_, second_value = ++*values_;
  etcdserverpb::TxnRequest request;
  auto* compare = request.add_compare();
  compare->set_key(key_name(key));
  compare->set_target(etcdserverpb::Compare::MOD);
  compare->set_result(etcdserverpb::Compare::EQUAL);
  compare->set_mod_revision(seen_[key]);
  add_put(request.add_success(), key, value);
  add_put(request.add_success(), second, second_value);
  fill_range(request.add_failure()->mutable_request_range());
  etcdserverpb::TxnResponse response;
  json record = {{"kind", "txn"},          {"key", key},       {"value", value},
                 {"expected", seen_[key]}, {"second", second}, {"second_value", second_value}};
  if (call(&KvStub::Txn, request, &response, &record)) {
    record["succeeded"] = response.succeeded();
    if (!response.succeeded()) note_read(response.responses(0).response_range(), &record);
    if (response.succeeded()) {
      seen_[key] = seen_[second] = response.header().revision();
    }
  }
  records_.push_back(record);
}

void RecordingClient::run_one() {
  uint64_t kind = random_() % 20;
  if (kind < 8)
    read(false);
  else if (kind < 10)
    read(true);
  else if (kind < 14)
    put();
  else if (kind < 19)
    txn();
  else
    remove();
}

}  // namespace mortise::testing
