// A host for tests: the tables that the plugin uses, with behaviour given by the test, and checks
// of the plugin's side of the contract (no call into a dead handle, one thread at a time, credit
// kept).
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "mortise/abi/host.h"
#include "mortise/abi/rpc.h"
#include "mortise/sdk/bytes.h"

namespace mortise::transport_grpc {

class FakeHost;

// A copy of what the transport said about the caller.
struct FakeCaller {
  uint32_t flags = 0;
  std::string remote;
  std::string token;
  std::string tls_common_name;
  std::string client_api_version;
  uint64_t timeout_ns = 0;
};

// A call as the test's behaviour sees it. Shared by the host and whoever answers it later.
class FakeCall {
 public:
  FakeCall(FakeHost* host, const mortise_caller* caller, mortise_buffer request,
           mortise_done_fn done, void* context);
  void answer(mortise_rpc_code code, std::string_view message, sdk::Buffer body);
  void answer(sdk::Buffer body) { answer(0, "", std::move(body)); }
  void cancel();
  bool wait_cancelled();
  bool cancelled();

  const FakeCaller caller;
  sdk::Buffer request;

 private:
  friend class FakeHost;
  FakeHost* const host_;
  const mortise_done_fn done_;
  void* const context_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool cancelled_ = false;
  std::atomic<bool> done_begun_{false};
  std::atomic<bool> done_returned_{false};
  std::shared_ptr<FakeCall> self_;  // Until done() has returned.
};

class FakeStream {
 public:
  FakeStream(FakeHost* host, const mortise_caller* caller, const mortise_stream_events* events,
             void* context);
  // To the transport. The caller keeps the order.
  void credit(uint64_t bytes) { events_.on_credit(context_, bytes); }
  void message(std::string text) {
    events_.on_message(context_, sdk::Buffer::from(std::move(text)).release());
  }
  void end(mortise_rpc_code code, std::string_view text);

  // Waits for a state that the transport brings about; false after a long time.
  bool wait(const std::function<bool()>& condition);

  const FakeCaller caller;
  // Guarded by `mutex`.
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::string> received;
  uint64_t received_bytes = 0;
  uint64_t granted_bytes = 0;
  bool half_closed = false;
  bool cancelled = false;

  // Called by the transport's thread after each change, without the lock.
  std::function<void(FakeStream&)> on_event;

 private:
  friend class FakeHost;
  // Counts a use of the handle: alone, and before the end.
  class Use;
  void changed_now();

  FakeHost* const host_;
  const mortise_stream_events events_;
  void* const context_;
  std::atomic<int> users_{0};
  std::atomic<bool> end_begun_{false};
  std::shared_ptr<FakeStream> self_;  // Until on_end() has returned.
};

class FakeHost {
 public:
  using CallBehaviour = std::function<mortise_status(std::shared_ptr<FakeCall>)>;
  using StreamBehaviour = std::function<mortise_status(std::shared_ptr<FakeStream>)>;

  FakeHost();
  ~FakeHost();
  // Before the transport is created.
  void add_unary(std::string path, CallBehaviour behaviour, uint32_t flags = 0);
  void add_stream(std::string path, mortise_method_kind kind, StreamBehaviour behaviour);
  const mortise_host* host();

  // Runs work on another thread, in order.
  void post(std::function<void()> work);
  bool wait_drained();
  bool drained();

  mortise_host_rpc_v1 rpc{};

 private:
  friend class FakeCall;
  friend class FakeStream;
  static FakeHost* of(const mortise_host* host) { return static_cast<FakeHost*>(host->impl); }
  static const void* get(const mortise_host* host, const char* id);
  static mortise_status call(const mortise_host* host, uint32_t method,
                             const mortise_caller* caller, mortise_buffer request,
                             mortise_done_fn done, void* context, mortise_call** out);
  static void cancel(mortise_call* call);
  static mortise_status stream_open(const mortise_host* host, uint32_t method,
                                    const mortise_caller* caller,
                                    const mortise_stream_events* events, void* context,
                                    mortise_stream** out);
  static void stream_send(mortise_stream* stream, mortise_buffer message);
  static void stream_half_close(mortise_stream* stream);
  static void stream_grant(mortise_stream* stream, uint64_t bytes);
  static void stream_cancel(mortise_stream* stream);
  static void transport_drained(const mortise_host* host);
  static uint32_t log_enabled(const mortise_host* host, mortise_log_level level);
  static void log_write(const mortise_host* host, mortise_log_level level, mortise_bytes message,
                        const mortise_log_field* fields, size_t field_count);
  void run_posted();

  mortise_host host_{};
  mortise_host_log_v1 log_{};
  std::deque<std::string> paths_;
  std::vector<mortise_method> methods_;
  std::vector<CallBehaviour> call_behaviours_;
  std::vector<StreamBehaviour> stream_behaviours_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> posted_;
  bool stopping_ = false;
  bool drained_ = false;
  std::atomic<int> open_handles_{0};
  std::thread thread_;
};

}  // namespace mortise::transport_grpc
