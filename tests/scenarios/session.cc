#include "tests/scenarios/session.h"

#include <algorithm>
#include <stdexcept>

#include "tests/scenarios/script.h"

namespace mortise::scenarios {
namespace {

using KV = etcdserverpb::KV::Stub;
using Lease = etcdserverpb::Lease::Stub;
using Words = std::vector<std::string>;

// The end of the range of all keys that begin with it.
std::string prefix_end(std::string prefix) {
  while (!prefix.empty() && prefix.back() == '\xff') prefix.pop_back();
  if (prefix.empty()) return std::string(1, '\0');
  prefix.back() = static_cast<char>(prefix.back() + 1);
  return prefix;
}

bool has(const Words& words, const std::string& option) {
  return std::find(words.begin(), words.end(), option) != words.end();
}

// What follows "name=" in one of the words.
std::string value_of(const Words& words, const std::string& name) {
  for (const std::string& word : words) {
    if (word.starts_with(name + "=")) return word.substr(name.size() + 1);
  }
  return "";
}

int64_t number(const std::string& text) { return text.empty() ? 0 : std::stoll(text); }
int64_t number_of(const Words& words, const std::string& name) {
  return number(value_of(words, name));
}

etcdserverpb::PutRequest put_request(const Words& words) {
  etcdserverpb::PutRequest out;
  out.set_key(words.at(1));
  out.set_value(words.at(2));
  out.set_lease(number_of(words, "lease"));
  return out;
}

etcdserverpb::DeleteRangeRequest delete_request(const Words& words) {
  etcdserverpb::DeleteRangeRequest out;
  out.set_key(words.at(1));
  if (has(words, "prefix")) out.set_range_end(prefix_end(words[1]));
  return out;
}

etcdserverpb::RangeRequest range_request(const Words& words) {
  etcdserverpb::RangeRequest out;
  out.set_key(words.at(1));
  if (words[0] != "get") out.set_range_end(prefix_end(words[1]));
  std::string from = value_of(words, "from");
  if (!from.empty()) out.set_key(from + std::string(1, '\0'));
  out.set_revision(number_of(words, "rev"));
  out.set_limit(number_of(words, "limit"));
  out.set_keys_only(has(words, "keys"));
  out.set_count_only(has(words, "count"));
  return out;
}

std::string revision_text(const etcdserverpb::ResponseHeader& header) {
  return "revision " + std::to_string(header.revision());
}

std::string range_text(const etcdserverpb::RangeResponse& response) {
  std::string out = "count " + std::to_string(response.count());
  if (response.more()) out += ", more";
  out += "\n";
  for (const auto& kv : response.kvs()) out += "  " + key_value_text(kv) + "\n";
  return out;
}

bool add_compare(const Words& words, etcdserverpb::TxnRequest* txn) {
  if (words.size() != 4) return false;
  size_t open = words[1].find('(');
  if (open == std::string::npos || !words[1].ends_with(")") || words[2] != "=") return false;
  std::string field = words[1].substr(0, open);
  etcdserverpb::Compare& compare = *txn->add_compare();
  compare.set_key(words[1].substr(open + 1, words[1].size() - open - 2));
  if (field == "mod") {
    compare.set_target(etcdserverpb::Compare::MOD);
    compare.set_mod_revision(number(words[3]));
  } else if (field == "create") {
    compare.set_target(etcdserverpb::Compare::CREATE);
    compare.set_create_revision(number(words[3]));
  } else {
    compare.set_target(etcdserverpb::Compare::VERSION);
    compare.set_version(number(words[3]));
  }
  return field == "mod" || field == "create" || field == "version";
}

bool set_operation(const Words& words, etcdserverpb::RequestOp* op) {
  if (words[0] == "put") {
    *op->mutable_request_put() = put_request(words);
  } else if (words[0] == "get") {
    *op->mutable_request_range() = range_request(words);
  } else if (words[0] == "delete") {
    *op->mutable_request_delete_range() = delete_request(words);
  } else {
    return false;
  }
  return true;
}

std::string operation_text(const etcdserverpb::ResponseOp& op) {
  if (op.has_response_put()) return "put\n";
  if (op.has_response_delete_range()) {
    return "deleted " + std::to_string(op.response_delete_range().deleted()) + "\n";
  }
  return range_text(op.response_range());
}

template <typename Stub, typename Request, typename Response, typename Text>
std::string answer(testing::Client& client, Stub& stub,
                   grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                   const Request& request, Text&& text) {
  Response response;
  grpc::Status status = client.call(stub, method, request, &response);
  return status.ok() ? text(response) : "error " + testing::status_text(status) + "\n";
}

}  // namespace

std::string key_value_text(const mvccpb::KeyValue& kv) {
  std::string out = kv.key() + " =" + (kv.value().empty() ? "" : " ") + kv.value() +
                    " mod=" + std::to_string(kv.mod_revision()) +
                    " create=" + std::to_string(kv.create_revision()) +
                    " version=" + std::to_string(kv.version());
  if (kv.lease() != 0) out += " lease=" + std::to_string(kv.lease());
  return out;
}

Session::Session(testing::Target target) : node_(std::move(target), {.in_memory = true}) {}

std::string Session::start() {
  Status status = node_.start();
  if (!status.ok()) return status.message();
  client_ = std::make_unique<testing::Client>(node_.endpoint());
  return "";
}

std::string Session::run(const std::vector<std::string>& text) {
  Words all = words(text[0]);
  // What is missing or no number is an exception of the standard library.
  try {
    return dispatch(all, text);
  } catch (const std::logic_error& e) {
    return "? " + text[0] + ": " + e.what() + "\n";
  }
}

std::string Session::dispatch(const Words& all, const std::vector<std::string>& text) {
  const std::string& command = all[0];
  if (command == "txn") return txn(text);
  if (command == "restart" || command == "kill") return restart(command == "restart");
  if (command == "stream") return stream(all);
  if (command == "watch" || command == "events" || command == "progress" || command == "close") {
    return run_watch_command(all);
  }
  if (command == "grant" || command == "revoke" || command == "keys") return run_lease_command(all);
  return run_key_command(all);
}

std::string Session::run_key_command(const Words& words) {
  if (words[0] == "put") {
    return answer(*client_, client_->kv(), &KV::Put, put_request(words),
                  [](const auto& r) { return revision_text(r.header()) + "\n"; });
  }
  if (words[0] == "delete") {
    return answer(
        *client_, client_->kv(), &KV::DeleteRange, delete_request(words), [](const auto& r) {
          return revision_text(r.header()) + ", deleted " + std::to_string(r.deleted()) + "\n";
        });
  }
  if (words[0] == "get" || words[0] == "list") {
    return answer(*client_, client_->kv(), &KV::Range, range_request(words),
                  [](const auto& r) { return revision_text(r.header()) + ", " + range_text(r); });
  }
  if (words[0] == "compact") {
    etcdserverpb::CompactionRequest request;
    request.set_revision(number(words.at(1)));
    request.set_physical(has(words, "physical"));
    return answer(*client_, client_->kv(), &KV::Compact, request,
                  [](const auto& r) { return revision_text(r.header()) + "\n"; });
  }
  return "? no command " + words[0] + "\n";
}

std::string Session::run_lease_command(const Words& words) {
  int64_t id = number(words.at(1));
  if (words[0] == "grant") {
    etcdserverpb::LeaseGrantRequest request;
    request.set_id(id);
    request.set_ttl(number(words.at(2)));
    return answer(*client_, client_->lease(), &Lease::LeaseGrant, request,
                  [](const auto& r) { return "ttl " + std::to_string(r.ttl()) + "\n"; });
  }
  if (words[0] == "revoke") {
    etcdserverpb::LeaseRevokeRequest request;
    request.set_id(id);
    return answer(*client_, client_->lease(), &Lease::LeaseRevoke, request,
                  [](const auto& r) { return revision_text(r.header()) + "\n"; });
  }
  etcdserverpb::LeaseTimeToLiveRequest request;
  request.set_id(id);
  request.set_keys(true);
  return answer(*client_, client_->lease(), &Lease::LeaseTimeToLive, request, [](const auto& r) {
    if (r.ttl() < 0) return std::string("no such lease\n");
    Words keys(r.keys().begin(), r.keys().end());
    std::sort(keys.begin(), keys.end());
    std::string out = "granted " + std::to_string(r.grantedttl()) + "\n";
    for (const std::string& key : keys) out += "  " + key + "\n";
    return out;
  });
}

std::string Session::txn(const std::vector<std::string>& text) {
  etcdserverpb::TxnRequest request;
  for (size_t i = 1; i < text.size(); ++i) {
    Words line = words(text[i]);
    Words rest(line.begin() + 1, line.end());
    bool ok = (line[0] == "if" && add_compare(line, &request)) ||
              (line[0] == "then" && set_operation(rest, request.add_success())) ||
              (line[0] == "else" && set_operation(rest, request.add_failure()));
    if (!ok) return "? no part of a txn: " + text[i] + "\n";
  }
  return answer(*client_, client_->kv(), &KV::Txn, request, [](const auto& response) {
    std::string out = revision_text(response.header()) +
                      (response.succeeded() ? ", succeeded\n" : ", not succeeded\n");
    for (const auto& op : response.responses()) out += operation_text(op);
    return out;
  });
}

std::string Session::stream(const Words& words) {
  etcdserverpb::RangeResponse response;
  grpc::Status status = client_->range_stream(range_request(words), &response);
  if (!status.ok()) return "error " + testing::status_text(status) + "\n";
  return revision_text(response.header()) + ", " + range_text(response);
}

std::string Session::run_watch_command(const Words& words) {
  if (words[0] == "watch") return watch(words);
  auto found = watchers_.find(words.at(1));
  if (found == watchers_.end()) return "? no watch " + words[1] + "\n";
  if (words[0] == "events") return found->second->next(number(words.at(2)));
  if (words[0] == "progress") return found->second->progress(number(words.at(2)));
  std::string left = found->second->left();
  watchers_.erase(found);
  return left + "closed\n";
}

std::string Session::watch(const Words& words) {
  etcdserverpb::WatchRequest request;
  auto* create = request.mutable_create_request();
  create->set_key(words.at(2));
  create->set_range_end(prefix_end(words[2]));
  create->set_start_revision(number_of(words, "rev"));
  create->set_prev_kv(has(words, "prev"));
  if (has(words, "no-put")) create->add_filters(etcdserverpb::WatchCreateRequest::NOPUT);
  if (has(words, "no-delete")) create->add_filters(etcdserverpb::WatchCreateRequest::NODELETE);
  auto& watcher = watchers_[words[1]];
  watcher = std::make_unique<Watcher>(*client_, request);
  return watcher->created();
}

std::string Session::restart(bool in_order) {
  std::string left_over = left();
  watchers_.clear();
  if (in_order) {
    if (!node_.stop().has_value()) return "? it did not stop\n";
  } else {
    node_.kill();
  }
  std::string error = start();
  return error.empty() ? left_over + "started\n" : "? " + error + "\n";
}

std::string Session::left() {
  std::string out;
  for (auto& [name, watcher] : watchers_) {
    std::string text = watcher->left();
    if (!text.empty()) out += "watch " + name + " has more:\n" + text;
  }
  return out;
}

}  // namespace mortise::scenarios
