#include "tests/lib/writes.h"

#include <set>

namespace mortise::testing {
namespace {

using std::chrono::steady_clock;
using KvStub = etcdserverpb::KV::Stub;

constexpr int kKeysOfWriter = 40;
constexpr std::chrono::milliseconds kPause{5};

std::string revision_text(int64_t revision) { return "revision " + std::to_string(revision); }

}  // namespace

Writer::Writer(int number, uint64_t seed, const std::vector<std::string>& endpoints,
               std::chrono::milliseconds bound)
    : prefix_("w" + std::to_string(number) + "/"), random_(seed), bound_(bound) {
  for (const std::string& endpoint : endpoints) {
    clients_.push_back(std::make_unique<Client>(endpoint));
  }
  current_ = static_cast<size_t>(number) % clients_.size();
}

bool Writer::write(Record* record) {
  Changes changes = draw();
  int64_t revision = 0;
  if (!send(changes, &revision).ok()) {
    record->unknown.push_back(changes);
    current_ = (current_ + 1) % clients_.size();
    return false;
  }
  // Deletes of nothing change nothing and take no revision.
  if (revision != 0) record->acknowledged[revision] = changes;
  return true;
}

std::string Writer::key() { return prefix_ + std::to_string(random_() % kKeysOfWriter); }

std::string Writer::value() {
  return std::to_string(random_()) + std::string(random_() % 300, 'x');
}

Changes Writer::draw() {
  uint64_t kind = random_() % 10;
  if (kind == 0) return {{key(), std::nullopt}};
  Changes changes = {{key(), value()}};
  std::string second = key();
  if (kind == 1 && second != changes[0].first) changes.emplace_back(second, value());
  return changes;
}

grpc::Status Writer::send(const Changes& changes, int64_t* revision) {
  Client& client = *clients_[current_];
  if (changes.size() == 1 && !changes[0].second) {
    etcdserverpb::DeleteRangeRequest request;
    request.set_key(changes[0].first);
    etcdserverpb::DeleteRangeResponse response;
    auto status = client.call(client.kv(), &KvStub::DeleteRange, request, &response, bound_);
    *revision = response.deleted() > 0 ? response.header().revision() : 0;
    return status;
  }
  if (changes.size() == 1) {
    etcdserverpb::PutRequest request;
    request.set_key(changes[0].first);
    request.set_value(*changes[0].second);
    etcdserverpb::PutResponse response;
    auto status = client.call(client.kv(), &KvStub::Put, request, &response, bound_);
    *revision = response.header().revision();
    return status;
  }
  etcdserverpb::TxnRequest request;
  for (const auto& [key, value] : changes) {
    auto* put = request.add_success()->mutable_request_put();
    put->set_key(key);
    put->set_value(*value);
  }
  etcdserverpb::TxnResponse response;
  auto status = client.call(client.kv(), &KvStub::Txn, request, &response, bound_);
  *revision = response.header().revision();
  return status;
}

Load::Load(int writers, uint64_t seed, const std::vector<std::string>& endpoints,
           std::chrono::milliseconds bound)
    : records_(static_cast<size_t>(writers)) {
  for (int i = 0; i < writers; ++i) {
    writers_.emplace_back(i, seed + static_cast<uint64_t>(i), endpoints, bound);
  }
  for (size_t i = 0; i < writers_.size(); ++i) threads_.emplace_back([this, i] { run(i); });
}

void Load::stop() {
  stopping_ = true;
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void Load::run(size_t number) {
  while (!stopping_) {
    int64_t begin = steady_clock::now().time_since_epoch().count();
    if (!writers_[number].write(&records_[number])) {
      // Where nobody listens, the next attempt would fail at once, too.
      std::this_thread::sleep_for(kPause);
      continue;
    }
    ++acknowledged_;
    int64_t last = last_begin_;
    while (last < begin && !last_begin_.compare_exchange_weak(last, begin)) {
    }
  }
}

std::optional<std::chrono::milliseconds> Load::wait_progress(std::chrono::milliseconds bound) {
  auto begin = steady_clock::now();
  while (last_begin_ < begin.time_since_epoch().count()) {
    if (steady_clock::now() >= begin + bound) return std::nullopt;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - begin);
}

Result<History> read_history(Client* client, int64_t from, int64_t to) {
  History out;
  if (from > to) return out;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  auto stream = client->watch().Watch(&context);
  etcdserverpb::WatchRequest request;
  request.mutable_create_request()->set_key(std::string(1, '\0'));
  request.mutable_create_request()->set_range_end(std::string(1, '\0'));
  request.mutable_create_request()->set_start_revision(from);
  stream->Write(request);
  etcdserverpb::WatchResponse response;
  int64_t last = from - 1;
  std::string canceled;
  while (last < to && canceled.empty() && stream->Read(&response)) {
    if (response.canceled()) canceled = response.ShortDebugString();
    for (const auto& event : response.events()) {
      last = event.kv().mod_revision();
      std::optional<std::string> value;
      if (event.type() == mvccpb::Event::PUT) value = event.kv().value();
      out[last].emplace_back(event.kv().key(), value);
    }
  }
  context.TryCancel();
  while (stream->Read(&response)) {
  }
  grpc::Status status = stream->Finish();
  if (last < to) {
    return internal_error("the watch ended at " + revision_text(last) + ": " + canceled +
                          status_text(status));
  }
  return out;
}

Status check_history(const History& found, int64_t from, int64_t to,
                     const std::vector<Record>& records) {
  std::set<int64_t> acknowledged;
  std::multiset<Changes> unknown;
  for (const Record& record : records) {
    unknown.insert(record.unknown.begin(), record.unknown.end());
    for (const auto& [revision, changes] : record.acknowledged) {
      auto at = found.find(revision);
      if (at == found.end()) return internal_error(revision_text(revision) + " is gone");
      if (at->second != changes) {
        return internal_error(revision_text(revision) + " holds something else than acknowledged");
      }
      if (!acknowledged.insert(revision).second) {
        return internal_error(revision_text(revision) + " was acknowledged twice");
      }
    }
  }
  for (int64_t revision = from; revision <= to; ++revision) {
    auto changes = found.find(revision);
    if (changes == found.end()) return internal_error(revision_text(revision) + " is a hole");
    if (acknowledged.contains(revision)) continue;
    auto at = unknown.find(changes->second);
    if (at == unknown.end()) return internal_error("nobody wrote " + revision_text(revision));
    unknown.erase(at);
  }
  return Status();
}

}  // namespace mortise::testing
