#include "host/watch/hub.h"

#include <thread>
#include <utility>

#include "host/watch/engine.h"

namespace mortise::watch {

namespace {

// A deadline that has passed.
constexpr Clock::time_point kNoWait{};

}  // namespace

class Hub::Impl {
 public:
  Impl(const store::Store* store, Index live, Index behind, HubOptions options)
      : options_(std::move(options)),
        inbox_(options_.queued_batch_bytes_max, &counters_),
        engine_(store, std::move(live), std::move(behind), &options_, &inbox_, &counters_) {}

  void start(int64_t revision);
  void stop();
  rpc::ServerStream* open_stream(const rpc::ClientStream& client, PermitFn permit,
                                 RecheckFn recheck);
  Inbox& inbox() { return inbox_; }
  Counters& counters() { return counters_; }

 private:
  void run();
  Status run_until_closed(std::vector<Item>* items);
  // The end: streams that nobody has seen yet are ended with the others.
  void finish(std::vector<Item>* items);

  const HubOptions options_;
  Counters counters_;
  Inbox inbox_;
  Engine engine_;
  std::thread thread_;
  bool stopped_ = false;
};

void Hub::Impl::start(int64_t revision) {
  engine_.start(revision);
  thread_ = std::thread([this] { run(); });
}

void Hub::Impl::stop() {
  if (std::exchange(stopped_, true)) return;
  inbox_.close();
  if (thread_.joinable()) {
    thread_.join();
  } else {
    std::vector<Item> items;
    finish(&items);
  }
}

rpc::ServerStream* Hub::Impl::open_stream(const rpc::ClientStream& client, PermitFn permit,
                                          RecheckFn recheck) {
  auto stream = std::make_shared<Stream>(&inbox_, &options_, &counters_, client, std::move(permit),
                                         std::move(recheck));
  rpc::ServerStream* opened = stream.get();
  counters_.streams.fetch_add(1, std::memory_order_relaxed);
  if (inbox_.push(OpenedItem{std::move(stream)})) return opened;
  counters_.streams.fetch_sub(1, std::memory_order_relaxed);
  return nullptr;
}

void Hub::Impl::run() {
  std::vector<Item> items;
  Status status = run_until_closed(&items);
  if (!status.ok()) inbox_.close();
  finish(&items);
  if (!status.ok() && options_.failed) options_.failed(status);
}

Status Hub::Impl::run_until_closed(std::vector<Item>* items) {
  for (;;) {
    std::optional<Clock::time_point> deadline = engine_.next_tick();
    if (engine_.has_catch_up()) deadline = kNoWait;
    if (!inbox_.take(items, deadline)) return Status();
    for (Item& item : *items) MORTISE_RETURN_IF_ERROR(engine_.handle(item));
    if (engine_.has_catch_up()) MORTISE_RETURN_IF_ERROR(engine_.catch_up());
    if (engine_.next_tick().has_value()) engine_.tick(Clock::now());
  }
}

void Hub::Impl::finish(std::vector<Item>* items) {
  auto open = [this](std::vector<Item>& from) {
    for (Item& item : from) {
      auto* opened = std::get_if<OpenedItem>(&item);
      if (opened != nullptr && opened->stream != nullptr) engine_.adopt(std::move(opened->stream));
    }
  };
  open(*items);
  std::vector<Item> last;
  inbox_.take(&last, kNoWait);
  open(last);
  engine_.end_all(rpc_errors::kStopped);
}

Result<std::unique_ptr<Hub>> Hub::create(const store::Store* store, const mortise_watch_v1* index,
                                         const mortise_host* host, std::string_view config_json,
                                         HubOptions options) {
  MORTISE_ASSIGN_OR_RETURN(auto live, Index::create(index, host, config_json));
  MORTISE_ASSIGN_OR_RETURN(auto behind, Index::create(index, host, config_json));
  auto impl = std::make_unique<Impl>(store, std::move(live), std::move(behind), std::move(options));
  return std::unique_ptr<Hub>(new Hub(std::move(impl)));
}

Hub::Hub(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Hub::~Hub() { stop(); }

void Hub::start(int64_t revision) { impl_->start(revision); }
void Hub::stop() { impl_->stop(); }

void Hub::publish(std::shared_ptr<const mvcc::EventBatch> batch) {
  impl_->inbox().publish(std::move(batch));
}

void Hub::missed(int64_t last_revision) { impl_->inbox().skip(last_revision); }

void Hub::end_streams(const RpcError& error) { impl_->inbox().push(EndAllItem{&error}); }

void Hub::compacted(int64_t revision) {
  impl_->counters().compacted.store(revision, std::memory_order_relaxed);
}

bool Hub::wants_prev() const {
  return impl_->counters().prev_watchers.load(std::memory_order_relaxed) > 0;
}

rpc::ServerStream* Hub::open_stream(const rpc::ClientStream& client, PermitFn permit,
                                    RecheckFn recheck) {
  return impl_->open_stream(client, std::move(permit), std::move(recheck));
}

void Hub::recheck(std::vector<std::string> changed_users) {
  impl_->inbox().push(RecheckItem{std::move(changed_users)});
}

Hub::Stats Hub::stats() const {
  const Counters& c = impl_->counters();
  Stats stats;
  stats.streams = c.streams.load(std::memory_order_relaxed);
  stats.watchers = c.watchers.load(std::memory_order_relaxed);
  stats.unsynced_watchers = c.unsynced_watchers.load(std::memory_order_relaxed);
  stats.pending_events = c.pending_events.load(std::memory_order_relaxed);
  stats.events_sent = c.events_sent.load(std::memory_order_relaxed);
  stats.queue_overflows = c.queue_overflows.load(std::memory_order_relaxed);
  stats.unread_bytes = c.unread_bytes.load(std::memory_order_relaxed);
  stats.deferred_bytes = c.deferred_bytes.load(std::memory_order_relaxed);
  return stats;
}

const SendTimes& Hub::send_times() const { return impl_->counters().sends; }

}  // namespace mortise::watch
