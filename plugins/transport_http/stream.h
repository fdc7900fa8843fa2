// A stream of the host, from whoever talks to its client and back.
//
// Made and used on the client's loop; the host's events come on any thread and are brought to the
// loop. The object lives until the host has ended the stream, however long its sink lives.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "mortise/sdk/bytes.h"
#include "plugins/transport_http/call.h"
#include "plugins/transport_http/context.h"

namespace mortise::transport_http {

// What hears of a stream, on its loop. May detach in any of these.
class StreamSink {
 public:
  virtual void on_message(sdk::Buffer message) = 0;
  virtual void on_credit() = 0;
  // No event follows, and the stream is no more.
  virtual void on_end(const CallAnswer& status) = 0;
  // Those that came together have been told.
  virtual void on_events_told() = 0;

 protected:
  ~StreamSink() = default;
};

class HostStream final : public Completion {
 public:
  // Events follow, never from in here. `owner` is kept alive until the end or detach().
  static HostStream* open(Context& context, Loop& loop, StreamSink& sink, Owner owner,
                          const mortise_method& method, CallerInfo caller);
  // One message may go beyond the credit.
  bool has_credit() const { return credit_ > 0; }
  void send(mortise_buffer message);
  void half_close();
  void grant(uint64_t bytes);
  // Cancels; the sink hears no more.
  void detach();

 private:
  struct Events {
    std::vector<sdk::Buffer> messages;
    uint64_t credit = 0;
    bool ended = false;
    CallAnswer status;
  };

  HostStream(Context& context, Loop& loop, StreamSink& sink, const mortise_method& method,
             CallerInfo caller);
  ~HostStream();
  void complete() override;
  void open_now();
  void tell(Events& events);
  template <class Change>
  void add_event(Change&& change);

  static void MORTISE_ABI on_message(void* context, mortise_buffer message);
  static void MORTISE_ABI on_credit(void* context, uint64_t bytes);
  static void MORTISE_ABI on_end(void* context, mortise_rpc_code code,
                                 mortise_bytes status_message);

  Context& context_;
  Loop& loop_;
  StreamSink* sink_;
  const mortise_method& method_;
  const CallerInfo caller_;
  Owner keep_alive_;
  bool waiting_ = false;  // For a slot.
  bool has_slot_ = false;
  bool half_closed_ = false;
  bool cancelled_ = false;
  int64_t credit_ = 0;
  mortise_stream* stream_ = nullptr;
  sdk::HostGate gate_;

  std::mutex mutex_;
  Events events_;           // Guarded by mutex_.
  bool scheduled_ = false;  // Guarded by mutex_.
};

}  // namespace mortise::transport_http
