// What the hub's tests share: a store with a writer, clients with credit under control, and
// messages in a form that can be compared.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "host/loader/host_services.h"
#include "host/mvcc/writer.h"
#include "host/store/store.h"
#include "host/watch/hub.h"

namespace mortise::watch {

struct TestKeyValue {
  std::string key, value;
  int64_t create_revision = 0, mod_revision = 0, version = 0;
  friend bool operator==(const TestKeyValue&, const TestKeyValue&) = default;
};
struct TestEvent {
  bool is_delete = false;
  TestKeyValue kv;
  std::optional<TestKeyValue> prev;
};
struct Response {
  uint64_t cluster_id = 0, member_id = 0, raft_term = 0;
  int64_t revision = 0;
  int64_t watch_id = 0;
  bool created = false, canceled = false, fragment = false;
  int64_t compact_revision = 0;
  std::string cancel_reason;
  std::vector<TestEvent> events;
  size_t bytes = 0;

  // "put a=1@2", "delete a@3", joined by "; ".
  std::string events_text() const;
};
Response decode_response(std::string_view bytes);

struct WatchOptions {
  std::string key, range_end;
  int64_t start_revision = 0, watch_id = 0;
  bool progress_notify = false, prev_kv = false, fragment = false, no_put = false,
       no_delete = false;
};
std::string create_request(const WatchOptions& options);
std::string cancel_request(int64_t watch_id);
std::string progress_request();

// A member without log: operations go straight to the store, and a commit publishes to the hub.
class TestMember {
 public:
  explicit TestMember(HubOptions options = {});
  ~TestMember();

  Hub& hub() { return *hub_; }
  mvcc::Writer& writer() { return *writer_; }
  void start() { hub_->start(revision_.load()); }
  int64_t revision() const { return revision_.load(); }

  // Each is a revision; several may be in a batch, which ends with commit().
  void put(const std::string& key, const std::string& value);
  void remove(const std::string& key, const std::string& range_end = "");
  void txn(wire::TxnRequest request);
  void commit();
  // As in a server: first the hook, then the commit, then rows go.
  void compact(int64_t revision, bool tell_hub = true);
  // Put and commit.
  int64_t put_now(const std::string& key, const std::string& value);
  int64_t remove_now(const std::string& key);

 private:
  std::string dir_;
  std::unique_ptr<loader::HostObject> host_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<mvcc::Writer> writer_;
  std::unique_ptr<Hub> hub_;
  std::atomic<int64_t> revision_{1};
  uint64_t index_ = 0;
};

// A client and its transport. One test thread uses it; messages come on the hub's.
class TestClient {
 public:
  // `credit`: the first window. With `keep_window` each message read by next() gives its size back.
  explicit TestClient(Hub* hub, uint64_t credit = 1 << 20, bool keep_window = true,
                      PermitFn permit = {}, RecheckFn recheck = {});
  ~TestClient();
  TestClient(const TestClient&) = delete;
  TestClient& operator=(const TestClient&) = delete;

  void send(std::string request);
  void watch(const WatchOptions& options) { send(create_request(options)); }
  void grant(uint64_t bytes);
  // From now on everything is read as it comes.
  void read_at_once();
  void cancel();
  void half_close();

  // The next message; a failure and an empty one if there is none within a long time.
  Response next();
  // Creates a watcher and expects its answer.
  Response created(const WatchOptions& options);
  // What came before the answer to a request that is sent now.
  std::vector<Response> until_now();
  bool empty();
  size_t received();
  std::vector<Response> all();
  int64_t request_credit();
  RpcStatus wait_end();
  bool ended();

  // Runs on the hub's thread for each message. Set before any comes.
  std::function<void()> on_message;

 private:
  static void MORTISE_ABI message_fn(void* context, mortise_buffer message);
  static void MORTISE_ABI credit_fn(void* context, uint64_t bytes);
  static void MORTISE_ABI end_fn(void* context, mortise_rpc_code code, mortise_bytes message);

  // Calls the hub's end, unless the stream has ended: it waits for calls that are under way.
  void call(const std::function<void(rpc::ServerStream*)>& f);

  const bool keep_window_;
  std::atomic<bool> reads_at_once_{false};
  rpc::ServerStream* stream_ = nullptr;
  std::mutex call_mutex_;  // Before mutex_.
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Response> messages_;
  std::vector<Response> all_;
  int64_t request_credit_ = 0;
  std::optional<RpcStatus> end_;
  int64_t barrier_id_ = 1000000;
};

}  // namespace mortise::watch
