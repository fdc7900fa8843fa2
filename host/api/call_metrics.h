// What calls and streams came and how they ended, by method; for metrics.
//
// Made by host/server, told by Service and Call. Threads: any. On the way of a call there are two
// cache lines of its method: one where it begins, one where it ends.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "host/base/metrics.h"
#include "host/base/rpc_error.h"
#include "host/rpc/stream.h"

namespace mortise::api {

constexpr size_t kRpcCodes = 17;
// Versions that clients say they speak; those of further ones are counted together.
constexpr size_t kClientVersionsMax = 16;

// Durations by the bounds that Prometheus takes by default.
class HandlingTimes {
 public:
  void observe(std::chrono::nanoseconds took);
  HistogramFigures figures() const;

 private:
  std::array<Counter, 12> counts_;
  Counter nanoseconds_;
};

struct MethodCounters {
  alignas(64) Counter started;
  Counter received;  // Messages; of a unary call that has begun there was one.
  Counter received_bytes;
  alignas(64) Counter sent;
  Counter sent_bytes;
  std::array<Counter, kRpcCodes> handled;
  std::unique_ptr<HandlingTimes> handling;  // With --metrics=extensive.

  void began(size_t bytes);
  void ended(RpcCode code, size_t bytes, std::chrono::nanoseconds took);
  Counter& of(RpcCode code);
};

class CallMetrics {
 public:
  struct Clients {
    std::string version;
    Counter unary, streams;
  };

  CallMetrics(size_t methods, bool extensive);
  MethodCounters& method(size_t index) { return methods_[index]; }
  const MethodCounters& method(size_t index) const { return methods_[index]; }
  size_t size() const { return methods_.size(); }
  void count_client(bool is_stream, std::string_view version);
  // Those that were counted.
  std::vector<const Clients*> clients() const;

  // Of ranges and txns that only read, in nanoseconds. The first two from the call's start, the
  // others without the wait for a linearizable view.
  DiskHistogram range_answered, range_failed;
  DiskHistogram txn_answered, txn_failed;
  FineHistogram range_read, range_refused;
  Counter ranges, read_only_txns;
  Counter slow_reads;
  // Of all data, and of one revision; as Hash, HashKV and other members want them.
  Histogram<10'000'000, 15> hashes, revision_hashes;
  Histogram<10'000'000, 17> snapshots;  // Sent to clients.

 private:
  std::vector<MethodCounters> methods_;
  std::array<Clients, kClientVersionsMax + 1> clients_;
  std::atomic<size_t> client_count_{0};
  std::mutex adding_client_;
};

// Stands between the transport and a stream, and counts. It lives until its end and all calls have
// returned.
class CountedStream : public rpc::ServerStream, public std::enable_shared_from_this<CountedStream> {
 public:
  CountedStream(MethodCounters* counters, const mortise_stream_events* events, void* context)
      : counters_(counters), events_(*events), context_(context) {}
  // Once; what the stream gets as its client, whose context is this.
  mortise_stream_events open();
  // The stream has been opened.
  void begin(rpc::ServerStream* inner) { inner_ = inner; }

  void on_message(rpc::Payload message) override;
  void on_half_close() override;
  void on_grant(uint64_t bytes) override;
  void on_cancel() override;

 private:
  static CountedStream* of(void* context) { return static_cast<CountedStream*>(context); }
  void end(mortise_rpc_code code, mortise_bytes message);

  MethodCounters* const counters_;
  const mortise_stream_events events_;
  void* const context_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  rpc::ServerStream* inner_ = nullptr;
  std::shared_ptr<CountedStream> self_;
};

}  // namespace mortise::api
