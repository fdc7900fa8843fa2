// Unary calls and requests for pages, from the connection that asks to the host and back.
//
// Made and destroyed on the connection's loop; the host answers on any thread, and the answer is
// brought to the loop. While a call is under way it keeps its receiver alive, unless that gave it
// up.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "mortise/sdk/bytes.h"
#include "mortise/sdk/transport_parts.h"
#include "plugins/transport_http/context.h"

namespace mortise::transport_http {

// What goes into mortise_caller. `remote` and `tls_common_name` are the connection's.
struct CallerInfo {
  uint32_t flags = MORTISE_CALLER_VIA_GATEWAY;
  std::string token;
  std::string client_api_version;
  uint64_t timeout_ns = 0;
  std::string_view remote;
  std::string_view tls_common_name;

  mortise_caller abi() const;
};

struct CallAnswer {
  mortise_rpc_code code = 0;
  std::string message;
  sdk::Buffer body;
};

// What keeps a receiver alive.
using Owner = std::shared_ptr<void>;

class CallReceiver {
 public:
  virtual void on_answer(CallAnswer answer) = 0;

 protected:
  ~CallReceiver() = default;
};

class UnaryCall final : public Completion {
 public:
  // `request` is the call's. True with `answer` set if the answer was there at once; else *out is
  // the call, until on_answer() or abandon(), and keeps `owner` as long.
  static bool start(Context& context, Loop& loop, CallReceiver& receiver, Owner owner,
                    const mortise_method& method, CallerInfo caller, mortise_buffer request,
                    CallAnswer& answer, UnaryCall** out);
  // The receiver wants no answer any more.
  void abandon();
  // Whether the host can act on abandon().
  bool watched() const { return (method_.flags & MORTISE_METHOD_CANCELLABLE) != 0 || waiting_; }

 private:
  enum State : uint8_t { kCalling, kReturned, kAnswered };

  UnaryCall(Context& context, Loop& loop, const mortise_method& method, CallerInfo caller,
            mortise_buffer request);
  ~UnaryCall();
  void complete() override;
  // True if the answer is there.
  bool call();
  static void MORTISE_ABI done(void* context, mortise_rpc_code code, mortise_bytes status_message,
                               mortise_buffer body);

  Context& context_;
  Loop& loop_;
  const mortise_method& method_;
  const CallerInfo caller_;
  sdk::Buffer request_;
  Owner keep_alive_;
  CallReceiver* receiver_ = nullptr;
  bool waiting_ = false;  // For a slot.
  bool has_slot_ = false;
  mortise_call* host_call_ = nullptr;
  sdk::HostGate gate_;
  std::atomic<State> state_{kCalling};
  CallAnswer answer_;
};

struct PageAnswer {
  int status = 200;
  std::string content_type;
  std::string allow;
  sdk::Buffer body;
};

class PageReceiver {
 public:
  virtual void on_page(PageAnswer answer) = 0;

 protected:
  ~PageReceiver() = default;
};

class PageCall final : public Completion {
 public:
  // As UnaryCall::start().
  static bool start(Context& context, Loop& loop, PageReceiver& receiver, Owner owner,
                    const mortise_page_request& request, PageAnswer& answer, PageCall** out);
  void abandon();

 private:
  PageCall(Context& context, Loop& loop) : context_(context), loop_(loop) { context_.calls.add(); }
  ~PageCall() { context_.calls.drop(); }
  void complete() override;
  static void MORTISE_ABI done(void* context, uint32_t http_status, mortise_bytes content_type,
                               mortise_bytes allow, mortise_buffer body);

  Context& context_;
  Loop& loop_;
  Owner keep_alive_;
  PageReceiver* receiver_ = nullptr;
  std::atomic<bool> second_{false};  // Set by whoever comes first: done(), or the end of start().
  PageAnswer answer_;
};

// A refusal by the host to take a call or a stream, as an answer to the client.
CallAnswer refusal_of(mortise_status status);
CallAnswer too_large(size_t size, uint64_t max);

}  // namespace mortise::transport_http
