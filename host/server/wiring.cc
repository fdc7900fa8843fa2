// How the parts of a member are connected.
#include "host/api/request_text.h"
#include "host/json/transcoder.h"
#include "host/server/server.h"

namespace mortise::server {
namespace {

uint64_t milliseconds(std::chrono::nanoseconds took) {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(took).count());
}

}  // namespace

Status Server::make_hub() {
  watch::HubOptions hub;
  hub.header = [this](int64_t revision) { return context_->header(revision); };
  hub.revision = [this] { return revision(); };
  hub.failed = [this](const Status& status) { fail("the watch hub failed", status); };
  hub.progress_interval = config_.watch_progress_notify_interval;
  hub.fragment_bytes = config_.max_request_bytes + (512 << 10);
  MORTISE_ASSIGN_OR_RETURN(hub_, watch::Hub::create(store_.get(), watch_table_, watch_host_->get(),
                                                    config_.watch.options_json, std::move(hub)));
  return Status();
}

void Server::make_keeper() {
  lock::KeeperOptions keeper;
  keeper.propose = [this](uint32_t field, std::string_view request, const wire::Author& author,
                          std::unique_ptr<apply::Waiter> waiter) {
    propose(field, request, author, std::move(waiter));
  };
  keeper.is_linearizable = [this] { return is_linearizable(); };
  keeper.when_linearizable = [this](std::function<void(const RpcStatus&)> done) {
    when_linearizable(std::move(done));
  };
  keeper.new_lease_id = [this] { return new_lease_id(); };
  keeper.header = [this](int64_t revision) { return context_->header(revision); };
  keeper.revision = [this] { return revision(); };
  keeper.failed = [this](const Status& status) { fail("the keeper of locks failed", status); };
  keeper.request_bytes_max = config_.max_request_bytes + (512 << 10);
  keeper_ = std::make_unique<lock::Keeper>(store_.get(), std::move(keeper));
}

// The answers of a batch leave together where a transport can do that.
void Server::answering(bool begin) {
  for (Transport& transport : transports_) {
    const mortise_transport_v1* table = transport.table;
    if (!MORTISE_HAS(table, mortise_transport_v1, answers_begin) ||
        !MORTISE_HAS(table, mortise_transport_v1, answers_end)) {
      continue;
    }
    (begin ? table->answers_begin : table->answers_end)(transport.handle);
  }
}

void Server::log_slow_apply(const wire::RaftRequest& request, const apply::ApplyResult* result,
                            std::chrono::nanoseconds took) {
  counters_.slow_applies.add();
  Fields fields{{"took", duration_text(took)},
                {"expected-duration", duration_text(config_.warning_apply_duration)},
                {"prefix", result == nullptr ? "commit of a batch up to " : ""},
                {"request", api::raft_request_text(request)}};
  bool answered = result != nullptr && result->rpc.ok();
  size_t size = answered ? result->body.size() : 0;
  if (answered && request.field <= wire::kRaftCompaction) {
    // etcd's response has a header with the revision by then.
    auto revision = static_cast<uint64_t>(result->revision);
    size += wire::bytes_field_size(1, wire::varint_field_size(3, revision));
  }
  fields.emplace_back("response", answered ? "size:" + std::to_string(size) : "");
  if (result != nullptr && !answered) fields.emplace_back("error", result->rpc.message());
  log_->warn("apply request took too long", fields);
}

apply::Hooks Server::apply_hooks() {
  apply::Hooks hooks;
  // Who proposed a change may propose the next one once it is answered, so the core has to know by
  // then that this one is applied.
  auto changed = std::make_shared<bool>(false);
  hooks.membership_changed = [this, changed](const raft::MembershipChange& change) {
    *changed = true;
    return raft_->apply_membership(change);
  };
  hooks.committed = [this, changed](const mvcc::State& state, uint64_t applied) {
    revision_.store(state.revision, std::memory_order_release);
    compacted_.store(state.compacted, std::memory_order_relaxed);
    applied_index_.store(applied, std::memory_order_release);
    read_rounds_->applied(applied);
    catch_up_->applied(applied);
    if (std::exchange(*changed, false)) raft_->applied(applied);
  };
  hooks.removed_self = [this] { removed_self(); };
  hooks.publish = [this](std::shared_ptr<mvcc::EventBatch> batch) {
    store_size_.written(static_cast<int64_t>(batch->arena->bytes_used()));
    keeper_->publish(batch);
    hub_->publish(std::move(batch));
  };
  hooks.answering = [this, active = false](bool begin) mutable {
    if (begin) active = transports_serve_.load(std::memory_order_acquire);
    if (active) answering(begin);
  };
  hooks.slow_after = config_.warning_apply_duration;
  hooks.was_slow = [this](const auto& request, const auto& result, auto took) {
    log_slow_apply(request, result, took);
  };
  hooks.has_failed = [this](const auto& request, const auto& result, auto took) {
    log_->warn("failed to apply request", {{"took", duration_text(took)},
                                           {"request", api::raft_request_text(request)},
                                           {"response", ""},
                                           {"error", result.rpc.message()}});
  };
  hooks.over_quota = [this] { return store_size_.figures().bytes >= context_->limits.quota_bytes; };
  hooks.auth_changed = [this](const std::vector<std::string>& users) { auth_changed(users); };
  hooks.wants_prev = [this] { return hub_->wants_prev(); };
  hooks.compact = [this](int64_t revision) {
    hub_->compacted(revision);
    compaction_->schedule(revision);
  };
  hooks.log = [this](std::string_view level, std::string_view message, apply::LogFields fields) {
    Fields out;
    for (apply::LogField& field : fields) {
      std::visit([&](auto& value) { out.emplace_back(field.first, std::move(value)); },
                 field.second);
    }
    log_->write(level_named(level), message, out);
  };
  return hooks;
}

Status Server::make_apply() {
  int64_t ticks_ms = config_.election_timeout.count();
  lease::LessorOptions lessor;
  lessor.min_ttl_seconds = (3 * ticks_ms / 2 + 999) / 1000;
  lessor.makes_checkpoints = config_.feature_gates.at("LeaseCheckpoint");
  alarms_.set_local(cluster_->local_id());
  lessor_ = std::make_unique<lease::Lessor>(std::move(lessor));
  MORTISE_RETURN_IF_ERROR(make_hub());
  make_read_rounds();
  make_keeper();
  applier_ = std::make_unique<apply::Applier>(store_.get(), lessor_.get(), cluster_.get(), &alarms_,
                                              &waiters_, apply_hooks());
  MORTISE_RETURN_IF_ERROR(make_authority());
  applier_->set_authority(authority_.get());
  MORTISE_RETURN_IF_ERROR(applier_->open());
  MORTISE_RETURN_IF_ERROR(check_cluster_version());
  revision_ = applier_->visible().revision;
  compacted_ = applier_->visible().compacted;
  applied_index_ = applier_->applied_index();
  log_->info("kvstore restored", {{"current-rev", revision()}});
  log_quota();

  ApplyLoopHooks loop;
  loop.applied = [this](uint64_t index) { raft_->applied(index); };
  loop.failed = [this](const Status& status) { fail("applying the log failed", status); };
  apply_loop_ = std::make_unique<ApplyLoop>(applier_.get(), std::move(loop));
  make_compaction();
  return Status();
}

void Server::make_compaction() {
  CompactionRunnerOptions compaction;
  compaction.batch_versions_max = config_.compaction_batch_limit;
  compaction.pause = config_.compaction_sleep_interval;
  compaction.on_failed = [this](const Status& status) { fail("a compaction failed", status); };
  compaction.on_batch = [this](std::chrono::nanoseconds took) {
    counters_.compaction_batch_ms.observe(milliseconds(took));
  };
  compaction.on_finished = [this](const FinishedCompaction& finished) {
    Fields fields{{"compact-revision", finished.hash.revision},
                  {"took", duration_text(finished.took)},
                  {"number-of-keys-compacted", finished.versions},
                  {"hash", static_cast<uint64_t>(finished.hash.hash)}};
    api::StoreFigures size = store_figures();
    fields.emplace_back("current-db-size-bytes", size.bytes);
    fields.emplace_back("current-db-size", bytes_text(static_cast<uint64_t>(size.bytes)));
    fields.emplace_back("current-db-size-in-use-bytes", size.in_use);
    fields.emplace_back("current-db-size-in-use", bytes_text(static_cast<uint64_t>(size.in_use)));
    log_->info("finished scheduled compaction", fields);
    counters_.compacted_versions.add(finished.versions);
    counters_.last_compaction = std::time(nullptr);
    counters_.compaction_ms.observe(milliseconds(finished.took));
    if (!finished.is_hashed) {
      log_->info("previous compaction was interrupted, skip storing compaction hash value");
      return;
    }
    log_->info("storing new hash", {{"hash", static_cast<uint64_t>(finished.hash.hash)},
                                    {"revision", finished.hash.revision},
                                    {"compact-revision", finished.hash.compact_revision}});
  };
  compaction_ =
      std::make_unique<CompactionRunner>(store_.get(), apply_loop_.get(), std::move(compaction));
}

Status Server::make_api() {
  context_ = std::make_unique<api::Context>();
  context_->node = this;
  context_->store = store_.get();
  context_->lessor = lessor_.get();
  context_->keeper = keeper_.get();
  context_->cluster = cluster_.get();
  context_->alarms = &alarms_;
  context_->authority = authority_.get();
  context_->open_snapshots = &open_snapshots_;
  context_->metrics = call_metrics_.get();
  context_->fast_keep_alive = config_.feature_gates.at("FastLeaseKeepAlive");
  context_->limits.request_bytes_max = config_.max_request_bytes;
  context_->limits.txn_ops_max = config_.max_txn_ops;
  context_->limits.strict_reconfig_check = config_.strict_reconfig_check;
  context_->limits.quota_bytes = config_.effective_quota_bytes();
  context_->limits.slow_request = config_.warning_unary_request_duration;
  context_->limits.slow_apply = config_.warning_apply_duration;
  logs_all_calls_ = log_->enabled(Level::kDebug);
  context_->logs_all_calls = &logs_all_calls_;
  context_->limits.report_after =
      std::min(context_->limits.report_after, context_->limits.slow_request);

  api::TransportSettings settings;
  settings.concurrent_streams_max = config_.max_concurrent_streams;
  settings.keepalive_min_time_ns = static_cast<uint64_t>(config_.grpc_keepalive_min_time.count());
  settings.keepalive_interval_ns = static_cast<uint64_t>(config_.grpc_keepalive_interval.count());
  settings.keepalive_timeout_ns = static_cast<uint64_t>(config_.grpc_keepalive_timeout.count());
  service_ = std::make_unique<api::Service>(*context_, settings);
  api::Service::set_resolver([](const mortise_host* host) {
    return static_cast<Server*>(loader::HostObject::of(host).user())->service_.get();
  });
  metrics_->add_source([this](loader::Exposition& out) { show_metrics(out); });
  pages_ = std::make_unique<pages::Pages>(page_source(), metrics_.get());
  pages::Pages::set_resolver([](const mortise_host* host) {
    return static_cast<Server*>(loader::HostObject::of(host).user())->pages_.get();
  });
  if (client_relay_) {
    service_->set_identify([this](std::string_view remote) { return caller_behind(remote); });
  }
  service_->set_on_drained([this](const mortise_host* host) {
    std::lock_guard lock(chores_mutex_);
    for (Transport& transport : transports_) {
      if (transport.host->get() == host) transport.drained = true;
    }
    chores_wake_.notify_all();
  });

  for (size_t i = 0; i < transports_.size(); ++i) {
    Transport& transport = transports_[i];
    transport.host = host_object(transport.name);
    const mortise_host_rpc_v1* rpc = service_->table();
    transport.host->add_service(MORTISE_HOST_RPC_ID, rpc);
    transport.host->add_service(MORTISE_HOST_JSON_ID,
                                json::host_service({rpc->methods, rpc->method_count}));
    transport.host->add_service(MORTISE_HOST_PAGES_ID, pages_->table());
    transport.host->set_user(this);
    mortise_error error{};
    error.struct_size = sizeof error;
    mortise_status code = transport.table->create(transport.host->get(),
                                                  store::bytes(config_.transports[i].options_json),
                                                  &transport.handle, &error);
    MORTISE_RETURN_IF_ERROR(
        store::plugin_status(code, error, "cannot create " + transport.name, transport.handle));
  }
  return Status();
}

}  // namespace mortise::server
