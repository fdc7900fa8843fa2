#include "host/lock/keeper.h"

#include <atomic>
#include <thread>
#include <utility>

#include "host/lock/engine.h"

namespace mortise::lock {

class Keeper::Impl {
 public:
  Impl(const store::Store* store, KeeperOptions options)
      : options_(std::move(options)),
        inbox_(std::make_shared<Inbox>()),
        engine_(store, &options_, inbox_) {}

  void start() {
    thread_ = std::thread([this] { run(); });
  }
  void stop();
  Inbox& inbox() { return *inbox_; }
  uint64_t new_id() { return next_id_.fetch_add(1, std::memory_order_relaxed); }

 private:
  void run();
  Status run_until_closed(std::vector<Item>* items);
  void finish(std::vector<Item>* items, const RpcStatus& status);

  const KeeperOptions options_;
  const std::shared_ptr<Inbox> inbox_;
  Engine engine_;
  std::atomic<uint64_t> next_id_{1};
  std::thread thread_;
  bool stopped_ = false;
};

void Keeper::Impl::stop() {
  if (std::exchange(stopped_, true)) return;
  inbox_->close();
  if (thread_.joinable()) {
    thread_.join();
  } else {
    std::vector<Item> items;
    inbox_->take(&items, /*wait=*/false);
    finish(&items, rpc_errors::kStopped);
  }
}

void Keeper::Impl::run() {
  std::vector<Item> items;
  Status status = run_until_closed(&items);
  if (!status.ok()) inbox_->close();
  finish(&items, rpc_errors::kStopped);
  if (!status.ok() && options_.failed) options_.failed(status);
}

Status Keeper::Impl::run_until_closed(std::vector<Item>* items) {
  while (inbox_->take(items, /*wait=*/!engine_.has_work())) {
    for (Item& item : *items) MORTISE_RETURN_IF_ERROR(engine_.handle(item));
    MORTISE_RETURN_IF_ERROR(engine_.work());
  }
  return Status();
}

void Keeper::Impl::finish(std::vector<Item>* items, const RpcStatus& status) {
  for (Item& item : *items) engine_.adopt(item);
  inbox_->take(items, /*wait=*/false);
  for (Item& item : *items) engine_.adopt(item);
  engine_.end_all(status);
}

Keeper::Keeper(const store::Store* store, KeeperOptions options)
    : impl_(std::make_unique<Impl>(store, std::move(options))) {}
Keeper::~Keeper() { stop(); }

void Keeper::start() { impl_->start(); }
void Keeper::stop() { impl_->stop(); }

void Keeper::publish(const std::shared_ptr<const mvcc::EventBatch>& batch) {
  impl_->inbox().publish(batch);
}

void Keeper::missed(int64_t last_revision) { impl_->inbox().push(MissedItem{last_revision}); }

uint64_t Keeper::new_id() { return impl_->new_id(); }

void Keeper::compete(uint64_t id, Claim claim, TurnFn done) {
  StartItem item;
  item.contender = std::make_unique<Contender>();
  item.contender->id = id;
  item.contender->claim = std::move(claim);
  item.contender->done = std::move(done);
  Item queued(std::move(item));
  if (impl_->inbox().push(std::move(queued))) return;
  std::get<StartItem>(queued).contender->done(Turn{.status = rpc_errors::kStopped});
}

void Keeper::cancel(uint64_t id) { impl_->inbox().push(CancelItem{id}); }

void Keeper::recheck(std::vector<std::string> changed_users) {
  impl_->inbox().push(RecheckItem{std::move(changed_users)});
}

rpc::ServerStream* Keeper::observe(const rpc::ClientStream& client,
                                   std::shared_ptr<auth::Warrant> warrant) {
  auto observer = std::make_shared<Observer>(&impl_->inbox(), client, std::move(warrant));
  rpc::ServerStream* opened = observer.get();
  return impl_->inbox().push(OpenedItem{std::move(observer)}) ? opened : nullptr;
}

}  // namespace mortise::lock
