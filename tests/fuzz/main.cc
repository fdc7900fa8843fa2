// mortise-fuzz: sends hostile bytes to every method of a server. After each batch the server must
// be alive, have given every call a status, and serve a write and a read. Same seed, same bytes.
// Exit 0: so it was.
#include <signal.h>
#include <CLI/CLI.hpp>

#include <atomic>
#include <cstdio>
#include <map>
#include <set>
#include <thread>

#include "tests/fuzz/caller.h"
#include "tests/fuzz/mutator.h"
#include "tests/lib/node.h"

namespace mortise::fuzz {
namespace {

using testing::status_text;

constexpr size_t kBatchCalls = 100;
constexpr size_t kCallsAtOnce = 8;

struct Arguments {
  std::string target = "rocksdb";
  uint64_t seed = 1;
  size_t requests = 12000;
};

class Fuzzer {
 public:
  explicit Fuzzer(const Arguments& arguments)
      : arguments_(arguments), random_(arguments.seed), methods_(all_methods()) {}
  bool run();

 private:
  Call make_call();
  const Method& choose_method();
  void run_batch();
  // Empty: the server is well.
  std::string check(size_t batch);
  void disarm();
  void report(const std::string& what, size_t batch);

  const Arguments arguments_;
  Random random_;
  const std::vector<Method> methods_;
  std::unique_ptr<testing::Node> node_;
  std::unique_ptr<testing::Client> client_;
  std::vector<Call> calls_;
  std::vector<grpc::Status> statuses_;
  std::map<std::string, size_t> codes_;
  std::set<const Method*> not_served_;
};

const Method& Fuzzer::choose_method() {
  for (;;) {
    const Method& method = methods_[random_() % methods_.size()];
    // Those that wait, cost much or are not served come more rarely, or they would be most of what
    // is tested.
    bool rare = (method.may_wait && random_() % 3 != 0) ||
                (method.is_heavy && random_() % 10 != 0) ||
                (not_served_.contains(&method) && random_() % 8 != 0);
    if (rare) continue;
    return method;
  }
}

Call Fuzzer::make_call() {
  Call call;
  call.method = &choose_method();
  size_t messages = call.method->streams_requests ? 1 + random_() % 4 : 1;
  if (random_() % 50 == 0) messages = random_() % 3;
  for (; messages > 0; --messages) {
    std::string bytes = make_request(*call.method, random_)->SerializeAsString();
    for (size_t times = random_() % 4; times > 0; --times) mutate(&bytes, random_);
    call.messages.push_back(std::move(bytes));
  }
  call.patience = std::chrono::milliseconds(random_() % 100);
  return call;
}

void Fuzzer::run_batch() {
  calls_.clear();
  for (size_t i = 0; i < kBatchCalls; ++i) calls_.push_back(make_call());
  statuses_.assign(calls_.size(), grpc::Status());
  std::atomic<size_t> next{0};
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kCallsAtOnce; ++i) {
    threads.emplace_back([this, &next] {
      for (size_t at = next++; at < calls_.size(); at = next++) {
        statuses_[at] = perform(client_->channel(), calls_[at]);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// A request may have raised an alarm, rightly.
void Fuzzer::disarm() {
  etcdserverpb::AlarmRequest request;
  etcdserverpb::AlarmResponse listed, ignored;
  auto& stub = client_->maintenance();
  client_->call(stub, &etcdserverpb::Maintenance::Stub::Alarm, request, &listed);
  for (const auto& alarm : listed.alarms()) {
    request.set_action(etcdserverpb::AlarmRequest::DEACTIVATE);
    request.set_memberid(alarm.memberid());
    request.set_alarm(alarm.alarm());
    client_->call(stub, &etcdserverpb::Maintenance::Stub::Alarm, request, &ignored);
  }
}

std::string check_status(const Call& call, const grpc::Status& status) {
  // That of the client, or of the library, if the server gave none.
  bool late = status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
  bool lost = status.error_code() == grpc::StatusCode::UNAVAILABLE &&
              !status.error_message().starts_with("etcdserver: ");
  if ((late && !call.method->may_wait) || lost) {
    return "no status but " + status_text(status) + " for " + call_text(call);
  }
  return "";
}

std::string Fuzzer::check(size_t batch) {
  if (!node_->running()) return "the server is gone";
  for (size_t i = 0; i < calls_.size(); ++i) {
    std::string wrong = check_status(calls_[i], statuses_[i]);
    if (!wrong.empty()) return wrong;
    ++codes_[std::to_string(statuses_[i].error_code())];
    if (statuses_[i].error_code() == grpc::StatusCode::UNIMPLEMENTED) {
      not_served_.insert(calls_[i].method);
    }
  }
  disarm();
  const std::string value = "batch " + std::to_string(batch);
  grpc::Status put = client_->put("known", value);
  if (!put.ok()) return "the known key cannot be written: " + status_text(put);
  etcdserverpb::RangeRequest request;
  request.set_key("known");
  etcdserverpb::RangeResponse response;
  grpc::Status get = client_->range(request, &response);
  if (!get.ok()) return "the known key cannot be read: " + status_text(get);
  if (response.kvs_size() != 1 || response.kvs(0).value() != value) {
    return "the known key has another value: " + response.ShortDebugString();
  }
  return "";
}

void Fuzzer::report(const std::string& what, size_t batch) {
  std::printf("FAILED seed %lu, batch %zu: %s\nThe batch:\n", arguments_.seed, batch, what.c_str());
  for (const Call& call : calls_) std::printf("%s\n", call_text(call).c_str());
  std::string log = node_->log();
  std::printf("End of the server's log:\n%s\n",
              log.substr(log.size() > 3000 ? log.size() - 3000 : 0).c_str());
}

bool Fuzzer::run() {
  testing::Target target = arguments_.target.starts_with("/")
                               ? testing::etcd_target(arguments_.target)
                               : testing::mortise_target(arguments_.target);
  // Passwords that are set thousands of times shall not be what takes the time.
  testing::NodeOptions options{.flags = {"--bcrypt-cost=4"}, .in_memory = true};
  node_ = std::make_unique<testing::Node>(target, options);
  if (Status status = node_->start(); !status.ok()) {
    std::printf("%s\n", status.message().c_str());
    return false;
  }
  client_ = std::make_unique<testing::Client>(node_->endpoint());
  size_t batches = (arguments_.requests + kBatchCalls - 1) / kBatchCalls;
  for (size_t batch = 0; batch < batches; ++batch) {
    run_batch();
    std::string wrong = check(batch);
    if (!wrong.empty()) {
      report(wrong, batch);
      return false;
    }
  }
  // In order, so that a sanitizer's last words are heard.
  auto exit = node_->stop();
  if (!exit.has_value() || exit->code > 0 || (exit->code < 0 && exit->signal != SIGTERM)) {
    report("the server does not stop in order", batches);
    return false;
  }
  std::printf("seed %lu: %zu calls of %zu methods; by status:", arguments_.seed,
              batches * kBatchCalls, methods_.size());
  for (const auto& [code, count] : codes_) std::printf(" %s: %zu", code.c_str(), count);
  std::printf("\n");
  return true;
}

}  // namespace
}  // namespace mortise::fuzz

int main(int argc, char** argv) {
  mortise::fuzz::Arguments arguments;
  CLI::App app("Sends hostile bytes to every method of a server");
  app.add_option("--target", arguments.target, "rocksdb, lmdb, or the path of an etcd")
      ->capture_default_str();
  app.add_option("--seed", arguments.seed)->capture_default_str();
  app.add_option("--requests", arguments.requests)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  return mortise::fuzz::Fuzzer(arguments).run() ? 0 : 1;
}
