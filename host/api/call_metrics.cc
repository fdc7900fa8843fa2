#include "host/api/call_metrics.h"

#include <algorithm>
#include <utility>

namespace mortise::api {
namespace {

constexpr double kBounds[] = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10};
constexpr std::string_view kUnknownVersion = "unknown";
constexpr std::string_view kOtherVersion = "other";
constexpr size_t kVersionBytesMax = 32;

}  // namespace

void HandlingTimes::observe(std::chrono::nanoseconds took) {
  const double seconds = static_cast<double>(took.count()) / kNanosecondsPerSecond;
  const auto* bound = std::lower_bound(std::begin(kBounds), std::end(kBounds), seconds);
  counts_[static_cast<size_t>(bound - std::begin(kBounds))].add();
  nanoseconds_.add(static_cast<uint64_t>(std::max<int64_t>(took.count(), 0)));
}

HistogramFigures HandlingTimes::figures() const {
  HistogramFigures out;
  out.bounds.assign(std::begin(kBounds), std::end(kBounds));
  for (const Counter& count : counts_) out.counts.push_back(count.value());
  out.sum = static_cast<double>(nanoseconds_.value()) / kNanosecondsPerSecond;
  return out;
}

void MethodCounters::began(size_t bytes) {
  started.add();
  received_bytes.add(bytes);
}

Counter& MethodCounters::of(RpcCode code) {
  const auto at = static_cast<size_t>(code);
  return handled[at < kRpcCodes ? at : static_cast<size_t>(RpcCode::kUnknown)];
}

void MethodCounters::ended(RpcCode code, size_t bytes, std::chrono::nanoseconds took) {
  of(code).add();
  if (code == RpcCode::kOk) sent_bytes.add(bytes);
  if (handling != nullptr) handling->observe(took);
}

CallMetrics::CallMetrics(size_t methods, bool extensive) : methods_(methods) {
  if (!extensive) return;
  for (MethodCounters& method : methods_) method.handling = std::make_unique<HandlingTimes>();
}

// Entries are never changed once they are counted in, and the last takes all that have no room.
void CallMetrics::count_client(bool is_stream, std::string_view version) {
  if (version.empty()) version = kUnknownVersion;
  if (version.size() > kVersionBytesMax) version = kOtherVersion;
  auto find = [&]() -> Clients* {
    const size_t count = client_count_.load(std::memory_order_acquire);
    for (size_t i = 0; i < count; ++i) {
      if (clients_[i].version == version) return &clients_[i];
    }
    return nullptr;
  };
  Clients* found = find();
  if (found == nullptr) {
    std::lock_guard lock(adding_client_);
    found = find();
    const size_t count = client_count_.load(std::memory_order_relaxed);
    if (found == nullptr && count == kClientVersionsMax + 1) found = &clients_.back();
    if (found == nullptr) {
      found = &clients_[count];
      found->version = count == kClientVersionsMax ? kOtherVersion : version;
      client_count_.store(count + 1, std::memory_order_release);
    }
  }
  (is_stream ? found->streams : found->unary).add();
}

std::vector<const CallMetrics::Clients*> CallMetrics::clients() const {
  std::vector<const Clients*> out;
  const size_t count = client_count_.load(std::memory_order_acquire);
  for (size_t i = 0; i < count; ++i) out.push_back(&clients_[i]);
  return out;
}

mortise_stream_events CountedStream::open() {
  self_ = shared_from_this();
  counters_->started.add();
  mortise_stream_events events{};
  events.struct_size = sizeof events;
  events.on_message = [](void* self, mortise_buffer message) {
    of(self)->counters_->sent.add();
    of(self)->counters_->sent_bytes.add(message.size);
    of(self)->events_.on_message(of(self)->context_, message);
  };
  events.on_credit = [](void* self, uint64_t bytes) {
    of(self)->events_.on_credit(of(self)->context_, bytes);
  };
  events.on_end = [](void* self, mortise_rpc_code code, mortise_bytes message) {
    of(self)->end(code, message);
  };
  return events;
}

void CountedStream::end(mortise_rpc_code code, mortise_bytes message) {
  std::shared_ptr<CountedStream> self = std::move(self_);
  counters_->ended(static_cast<RpcCode>(code), 0, std::chrono::steady_clock::now() - start_);
  events_.on_end(context_, code, message);
}

void CountedStream::on_message(rpc::Payload message) {
  auto self = shared_from_this();
  counters_->received.add();
  counters_->received_bytes.add(message.view().size());
  inner_->on_message(std::move(message));
}

void CountedStream::on_half_close() {
  auto self = shared_from_this();
  inner_->on_half_close();
}

void CountedStream::on_grant(uint64_t bytes) {
  auto self = shared_from_this();
  inner_->on_grant(bytes);
}

void CountedStream::on_cancel() {
  auto self = shared_from_this();
  inner_->on_cancel();
}

}  // namespace mortise::api
