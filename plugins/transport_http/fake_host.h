// A host for tests: the tables that the plugin uses, with behaviour given by the test, and checks
// of the plugin's side of the contract. Its JSON is the message itself; text with "bad" in it is no
// JSON.
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
#include <vector>

#include "mortise/abi/host.h"
#include "mortise/abi/rpc.h"
#include "mortise/sdk/bytes.h"

namespace mortise::transport_http {

class FakeHost;

struct FakeCaller {
  uint32_t flags = 0;
  std::string remote;
  std::string token;
  std::string common_name;
  std::string client_api_version;
  uint64_t timeout_ns = 0;
};

// A call as the test's behaviour sees it; answered once, on any thread.
class FakeCall {
 public:
  void answer(std::string body) { answer(0, "", std::move(body)); }
  void answer(mortise_rpc_code code, std::string_view message, std::string body = {});
  bool wait_cancelled();

  FakeHost* host = nullptr;
  FakeCaller caller;
  std::string request;

 private:
  friend class FakeHost;
  mortise_done_fn done_ = nullptr;
  void* context_ = nullptr;
  std::atomic<bool> done_begun_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool cancelled_ = false;
  std::shared_ptr<FakeCall> self_;  // Until done() has returned.
};
using CallPtr = std::shared_ptr<FakeCall>;

class FakeStream {
 public:
  // To the transport. The test keeps the order.
  void credit(uint64_t bytes) { events_.on_credit(context_, bytes); }
  void message(std::string text) {
    events_.on_message(context_, sdk::Buffer::from(std::move(text)).release());
  }
  // Nothing if it has ended, as after a cancel.
  void end(mortise_rpc_code code, std::string_view text);
  // Waits for a state that the transport brings about; false after a long time. `condition` runs
  // under the lock.
  bool wait(const std::function<bool()>& condition);

  FakeHost* host = nullptr;
  FakeCaller caller;
  std::mutex mutex;  // Guards what follows.
  std::condition_variable changed;
  std::deque<std::string> received;
  uint64_t granted_bytes = 0;
  bool half_closed = false;
  bool cancelled = false;

 private:
  friend class FakeHost;
  void note(const std::function<void()>& change);

  mortise_stream_events events_{};
  void* context_ = nullptr;
  std::atomic<bool> ending_{false};
  std::atomic<bool> end_begun_{false};  // on_end has returned.
  std::shared_ptr<FakeStream> self_;    // Until on_end() has returned.
};
using StreamPtr = std::shared_ptr<FakeStream>;

struct FakePage {
  uint32_t status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string allow;
  std::string body;
};

class FakeHost {
 public:
  using CallBehaviour = std::function<void(CallPtr)>;
  using StreamBehaviour = std::function<void(StreamPtr)>;
  using PageBehaviour = std::function<FakePage(std::string_view method, std::string_view path,
                                               std::string_view query, std::string_view body)>;

  FakeHost();
  ~FakeHost();
  // Before the transport is created.
  void add_unary(std::string path, CallBehaviour behaviour, uint32_t flags = 0);
  void add_stream(std::string path, mortise_method_kind kind, StreamBehaviour behaviour);
  const mortise_host* host();
  bool wait_drained();

  mortise_host_rpc_v1 rpc{};
  bool offers_json = true;
  PageBehaviour page;
  std::atomic<int> warnings{0};

 private:
  friend class FakeCall;
  friend class FakeStream;
  struct Method {
    std::string path;
    const char* paths[2];
    CallBehaviour call;
    StreamBehaviour stream;
  };
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
  static mortise_status from_json(const mortise_host* host, uint32_t method, mortise_bytes json,
                                  mortise_buffer* out, mortise_error* error);
  static mortise_status to_json(const mortise_host* host, uint32_t method, mortise_bytes message,
                                mortise_buffer* out, mortise_error* error);
  static mortise_status serve(const mortise_host* host, const mortise_page_request* request,
                              mortise_page_fn done, void* context);
  static uint32_t log_enabled(const mortise_host* host, mortise_log_level level);
  static void log_write(const mortise_host* host, mortise_log_level level, mortise_bytes message,
                        const mortise_log_field* fields, size_t field_count);

  mortise_host host_{};
  mortise_host_log_v1 log_{};
  mortise_host_json_v1 json_{};
  mortise_host_pages_v1 pages_{};
  std::deque<Method> entries_;
  std::vector<mortise_method> methods_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool drained_ = false;
  std::atomic<int> open_handles_{0};
};

}  // namespace mortise::transport_http
