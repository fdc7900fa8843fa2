// How a member comes up: plugins, data directory, store, log, raft, apply, transports.
#include <sys/utsname.h>

#include <random>

#include "host/raft/membership_codec.h"
#include "host/server/server.h"

namespace mortise::server {
namespace {

// Entries above what the store holds, as recovery finds them.
class LogSink : public wal::RecoverySink {
 public:
  explicit LogSink(uint64_t applied) : applied_(applied) {}
  void drop_from(uint64_t index) override {
    while (!entries_.empty() && entries_.back()->index >= index) entries_.pop_back();
  }
  Status append(const wal::EntryRecord& record) override {
    if (record.index <= applied_) return Status();
    auto entry = std::make_shared<raft::Entry>();
    entry->term = record.term;
    entry->index = record.index;
    entry->type = static_cast<raft::EntryType>(record.type);
    entry->data.assign(record.data);
    entries_.push_back(std::move(entry));
    return Status();
  }
  const std::vector<raft::EntryRef>& entries() const { return entries_; }

 private:
  uint64_t applied_;
  std::vector<raft::EntryRef> entries_;
};

std::string identity_row(uint64_t cluster_id, uint64_t member_id) {
  std::string row(16, '\0');
  mvcc::put_u64_be(row.data(), cluster_id);
  mvcc::put_u64_be(row.data() + 8, member_id);
  return row;
}

Level server_level(mortise_log_level level) {
  switch (level) {
    case MORTISE_LOG_DEBUG: return Level::kDebug;
    case MORTISE_LOG_WARN: return Level::kWarn;
    case MORTISE_LOG_ERROR: return Level::kError;
    default: return Level::kInfo;
  }
}

}  // namespace

std::unique_ptr<loader::HostObject> Server::host_object(const std::string& plugin_name) {
  loader::HostOptions options;
  options.host_name = "mortised";
  options.host_version = std::string(config::kMortiseVersion);
  options.plugin_name = plugin_name;
  options.metrics = metrics_.get();
  options.executor = executor_.get();
  options.log_enabled = [this](mortise_log_level level) { return log_->enabled(server_level(level)); };
  options.log = [this, plugin_name](mortise_log_level level, std::string_view message,
                                    std::span<const loader::LogField> fields) {
    Fields out;
    for (const loader::LogField& f : fields) out.emplace_back(std::string(f.key), f.value);
    log_->write_from("plugin/" + plugin_name + ":0", server_level(level), message, out);
  };
  return std::make_unique<loader::HostObject>(std::move(options));
}

Status Server::load_plugins() {
  auto dirs = config::plugin_search_path(config_, executable_dir_);
  metrics_ = std::make_unique<loader::MetricsRegistry>();
  executor_ = std::make_unique<loader::Executor>(1);
  MORTISE_ASSIGN_OR_RETURN(auto backend, loader::load(config_.backend.name_or_path, dirs, "backend_"));
  MORTISE_ASSIGN_OR_RETURN(backend_table_, loader::backend(*backend));
  backend_host_ = host_object(backend->name);
  MORTISE_ASSIGN_OR_RETURN(auto watch, loader::load(config_.watch.name_or_path, dirs, "watch_"));
  MORTISE_ASSIGN_OR_RETURN(watch_table_, loader::watch(*watch));
  watch_host_ = host_object(watch->name);
  for (const config::PluginSpec& spec : config_.transports) {
    MORTISE_ASSIGN_OR_RETURN(auto plugin, loader::load(spec.name_or_path, dirs, "transport_"));
    Transport transport;
    MORTISE_ASSIGN_OR_RETURN(transport.table, loader::transport(*plugin));
    transport.name = plugin->name;
    transports_.push_back(std::move(transport));
    log_->info("loaded plugin", {{"plugin", plugin->name}, {"version", plugin->version}, {"path", plugin->path}});
  }
  for (const loader::Plugin* plugin : {backend, watch}) {
    log_->info("loaded plugin", {{"plugin", plugin->name}, {"version", plugin->version}, {"path", plugin->path}});
  }
  return Status();
}

Status Server::open_store() {
  auto started = std::chrono::steady_clock::now();
  MORTISE_ASSIGN_OR_RETURN(store_, store::Store::open(backend_table_, backend_host_->get(),
                                                      data_dir_->store_path(), config_.backend.options_json));
  log_->info("opened backend db", {{"path", data_dir_->store_path()},
                                   {"took", duration_text(std::chrono::steady_clock::now() - started)}});
  uint64_t index = 0, term = 0;
  MORTISE_RETURN_IF_ERROR(store_->applied(&index, &term));
  log_->info("restore consistentIndex", {{"index", index}});
  return Status();
}

Result<Server::Identity> Server::find_identity(bool* is_new) {
  MORTISE_ASSIGN_OR_RETURN(auto reader, store_->reader());
  bool in_store;
  std::string_view row;
  MORTISE_RETURN_IF_ERROR(reader.get(store::kMeta, membership::kIdentityKey, &in_store, &row));
  if (in_store && row.size() != 16) return corruption("the store's identity row has a wrong size");
  auto log = wal::Wal::inspect(data_dir_->wal_path());
  *is_new = !log.ok() && log.status().code() == StatusCode::kNotFound;
  if (!log.ok() && !*is_new) return log.status();
  uint64_t applied = 0, term = 0;
  MORTISE_RETURN_IF_ERROR(store_->applied(&applied, &term));
  if (*is_new) {
    if (applied > 0) {
      return corruption("the store holds data up to log index " + std::to_string(applied) +
                        " but there is no log in " + data_dir_->wal_path());
    }
    MORTISE_RETURN_IF_ERROR(config::verify_bootstrap(config_));
    Identity identity;
    identity.member_id = membership::bootstrap_member_id(
        config::url_texts(config_.initial_advertise_peer_urls), config_.initial_cluster_token);
    identity.cluster_id = membership::bootstrap_cluster_id({identity.member_id});
    return identity;
  }
  if (in_store && row != identity_row(log->cluster_id, log->member_id)) {
    return corruption("the store in " + data_dir_->store_path() + " and the log in " +
                      data_dir_->wal_path() + " belong to different members");
  }
  return Identity{log->cluster_id, log->member_id};
}

Status Server::write_identity(const Identity& identity) {
  std::string row = identity_row(identity.cluster_id, identity.member_id);
  store::WriteBatch batch;
  batch.put(store::kMeta, membership::kIdentityKey, row);
  uint64_t index = 0, term = 0;
  MORTISE_RETURN_IF_ERROR(store_->applied(&index, &term));
  return store_->commit(batch, index, term, /*sync=*/true);
}

// A founding member's log begins with the entry that makes it a member, already committed.
Status Server::bootstrap_log(wal::Wal* wal, const Identity& identity) {
  membership::ChangeContext context;
  context.member.id = identity.member_id;
  context.member.name = config_.name;
  context.member.peer_urls = config::url_texts(config_.initial_advertise_peer_urls);
  raft::MembershipChange change;
  change.changes = {{raft::ChangeType::kAddNode, identity.member_id}};
  change.context = membership::encode_change_context(context);
  std::string data = raft::encode_membership(change);
  wal::BatchBuffer batch;
  batch.add_entry({1, 1, static_cast<uint8_t>(raft::EntryType::kConfChange), data});
  batch.set_hard_state({1, 0, 1});
  return wal->append(batch);
}

Status Server::open_log() {
  bool is_new = false;
  MORTISE_ASSIGN_OR_RETURN(auto identity, find_identity(&is_new));
  log_start(is_new);
  if (is_new) MORTISE_RETURN_IF_ERROR(write_identity(identity));
  cluster_ = std::make_unique<membership::Cluster>(identity.cluster_id, identity.member_id);
  return make_raft(identity);
}

// Opens the log and hands out the entries above what the store holds; a new log gets its first entry.
Result<wal::Recovered> Server::recover_log(const Identity& identity, uint64_t applied,
                                           std::vector<raft::EntryRef>* entries) {
  wal::Options options;
  options.dir = data_dir_->wal_path();
  options.cluster_id = identity.cluster_id;
  options.member_id = identity.member_id;
  options.first_index = applied + 1;
  options.unsafe_no_fsync = config_.unsafe_no_fsync;
  LogSink sink(applied);
  MORTISE_ASSIGN_OR_RETURN(wal_, wal::Wal::open(options, sink));
  wal::Recovered recovered = wal_->recovered();
  if (!recovered.torn_segment.empty()) {
    log_->warn("removed a write that a crash cut short from the end of the log",
               {{"segment", recovered.torn_segment}, {"offset", recovered.torn_offset}});
  }
  bool has_entries = recovered.first_index <= recovered.last_index;
  if (!has_entries && applied == 0) {
    // New, or killed before its first entry was written.
    MORTISE_RETURN_IF_ERROR(bootstrap_log(wal_.get(), identity));
    wal_.reset();
    sink = LogSink(0);
    MORTISE_ASSIGN_OR_RETURN(wal_, wal::Wal::open(options, sink));
    recovered = wal_->recovered();
  } else if (recovered.last_index < applied || recovered.first_index > applied + 1) {
    return corruption("the log in " + options.dir + " holds entries " +
                      std::to_string(recovered.first_index) + " to " +
                      std::to_string(recovered.last_index) + ", but the store needs those after " +
                      std::to_string(applied));
  }
  *entries = sink.entries();
  return recovered;
}

RaftNodeOptions Server::raft_options(const Identity& identity, uint64_t applied) {
  RaftNodeOptions node;
  node.core.id = identity.member_id;
  node.core.applied = applied;
  node.core.election_ticks = static_cast<uint32_t>(config_.election_ticks);
  node.core.pre_vote = config_.pre_vote;
  node.core.uncommitted_bytes_max = kUncommittedBytesMax;
  node.tick = config_.heartbeat_interval;
  node.seed = identity.member_id ^ std::random_device{}();
  node.catchup_entries = config_.snapshot_catchup_entries;
  node.on_committed = [this](std::vector<raft::EntryRef> entries) {
    apply_loop_->enqueue(std::move(entries));
  };
  node.on_soft_state = [this](const raft::SoftState& state, uint64_t term) {
    role_changed(state, term);
  };
  node.on_dropped = [this](const std::vector<uint64_t>& ids, const Status&) {
    for (uint64_t id : ids) {
      auto waiter = waiters_.take(id);
      if (waiter == nullptr) continue;
      apply::ApplyResult result;
      result.rpc = leader() == 0 ? rpc_errors::kNoLeader : rpc_errors::kProposalDropped;
      waiter->complete(std::move(result));
    }
  };
  node.on_failed = [this](const Status& status) { fail("the log failed", status); };
  return node;
}

void Server::role_changed(const raft::SoftState& state, uint64_t term) {
  bool leads = state.role == raft::Role::kLeader;
  log_->info(leads ? "raft: became leader" : "raft: role changed",
             {{"role", raft::to_string(state.role)},
              {"term", term},
              {"leader", membership::hex_id(state.leader)}});
  if (leads) {
    lessor_->promote(config_.election_timeout);
  } else {
    lessor_->demote();
  }
}

Status Server::make_raft(const Identity& identity) {
  uint64_t applied = 0, applied_term = 0;
  MORTISE_RETURN_IF_ERROR(store_->applied(&applied, &applied_term));
  std::vector<raft::EntryRef> entries;
  MORTISE_ASSIGN_OR_RETURN(auto recovered, recover_log(identity, applied, &entries));

  MORTISE_ASSIGN_OR_RETURN(auto reader, store_->reader());
  MORTISE_ASSIGN_OR_RETURN(auto conf_state, apply::read_conf_state(reader));
  auto memory = std::make_unique<raft::MemoryLog>(applied, applied_term);
  MORTISE_RETURN_IF_ERROR(memory->append(entries));
  raft::HardState hard_state;
  if (recovered.hard_state) {
    hard_state = {recovered.hard_state->term, recovered.hard_state->vote, recovered.hard_state->commit};
  }
  // The newest commit index need not be in the log; what was applied was committed.
  hard_state.commit = std::max(hard_state.commit, applied);
  hard_state.term = std::max(hard_state.term, applied_term);
  memory->set_hard_state(hard_state);
  memory->set_conf_state(conf_state);
  MORTISE_ASSIGN_OR_RETURN(raft_, RaftNode::create(raft_options(identity, applied), std::move(memory)));
  log_->info("starting local member", {{"local-member-id", membership::hex_id(identity.member_id)},
                                       {"cluster-id", membership::hex_id(identity.cluster_id)}});
  return Status();
}

Status Server::make_apply() {
  int64_t ticks_ms = config_.election_timeout.count();
  int64_t min_ttl = (3 * ticks_ms / 2 + 999) / 1000;
  lessor_ = std::make_unique<lease::Lessor>(min_ttl, [] { return lease::Clock::now(); });

  watch::HubOptions hub;
  hub.header = [this](int64_t revision) { return context_->header(revision); };
  hub.revision = [this] { return revision(); };
  hub.failed = [this](const Status& status) { fail("the watch hub failed", status); };
  hub.progress_interval = config_.watch_progress_notify_interval;
  hub.fragment_bytes = config_.max_request_bytes + (512 << 10);
  hub.request_bytes_max = config_.max_request_bytes + (512 << 10);
  MORTISE_ASSIGN_OR_RETURN(hub_, watch::Hub::create(store_.get(), watch_table_, watch_host_->get(),
                                                    config_.watch.options_json, std::move(hub)));

  apply::Hooks hooks;
  hooks.membership_changed = [this](const raft::MembershipChange& change) {
    return raft_->apply_membership(change);
  };
  hooks.committed = [this](const mvcc::State& state, uint64_t applied) {
    revision_.store(state.revision, std::memory_order_release);
    applied_index_.store(applied, std::memory_order_release);
  };
  hooks.publish = [this](std::shared_ptr<mvcc::EventBatch> batch) {
    store_bytes_.fetch_add(static_cast<int64_t>(batch->arena->bytes_used()), std::memory_order_relaxed);
    hub_->publish(std::move(batch));
  };
  hooks.answering = [this, active = false](bool begin) mutable {
    if (begin) active = transports_serve_.load(std::memory_order_acquire);
    if (!active) return;
    for (Transport& transport : transports_) {
      const mortise_transport_v1* table = transport.table;
      if (!MORTISE_HAS(table, mortise_transport_v1, answers_begin) ||
          !MORTISE_HAS(table, mortise_transport_v1, answers_end)) {
        continue;
      }
      (begin ? table->answers_begin : table->answers_end)(transport.handle);
    }
  };
  hooks.wants_prev = [this] { return hub_->wants_prev(); };
  hooks.compact = [this](int64_t revision) {
    hub_->compacted(revision);
    compaction_->schedule(revision);
  };
  hooks.log = [this](std::string_view level, std::string_view message, std::string_view detail) {
    log_->write(level == "warn" ? Level::kWarn : Level::kInfo, message, {{"detail", detail}});
  };
  applier_ = std::make_unique<apply::Applier>(store_.get(), lessor_.get(), cluster_.get(), &alarms_,
                                              &waiters_, std::move(hooks));
  MORTISE_RETURN_IF_ERROR(applier_->open());
  revision_ = applier_->visible().revision;
  applied_index_ = applier_->applied_index();
  log_->info("kvstore restored", {{"current-rev", revision()}});

  ApplyLoopHooks loop;
  loop.applied = [this](uint64_t index) { raft_->applied(index); };
  loop.failed = [this](const Status& status) { fail("applying the log failed", status); };
  apply_loop_ = std::make_unique<ApplyLoop>(applier_.get(), std::move(loop));

  CompactionRunnerOptions compaction;
  compaction.batch_versions_max = config_.compaction_batch_limit;
  compaction.pause = config_.compaction_sleep_interval;
  compaction.on_failed = [this](const Status& status) { fail("a compaction failed", status); };
  compaction.on_finished = [this](int64_t revision, uint64_t versions, std::chrono::nanoseconds took) {
    Fields fields{{"compact-revision", revision},
                  {"took", duration_text(took)},
                  {"number-of-keys-compacted", versions}};
    if (auto size = store_->size(); size.ok()) {
      fields.emplace_back("current-db-size-bytes", size->allocated_bytes);
      fields.emplace_back("current-db-size-in-use-bytes", size->in_use_bytes);
    }
    log_->info("finished scheduled compaction", fields);
  };
  compaction_ = std::make_unique<CompactionRunner>(store_.get(), apply_loop_.get(), std::move(compaction));
  return Status();
}

Status Server::make_api() {
  context_ = std::make_unique<api::Context>();
  context_->node = this;
  context_->store = store_.get();
  context_->lessor = lessor_.get();
  context_->cluster = cluster_.get();
  context_->alarms = &alarms_;
  context_->limits.request_bytes_max = config_.max_request_bytes;
  context_->limits.txn_ops_max = config_.max_txn_ops;
  context_->limits.quota_bytes = config_.effective_quota_bytes();
  context_->limits.slow_request = config_.warning_unary_request_duration;

  api::TransportSettings settings;
  settings.concurrent_streams_max = config_.max_concurrent_streams;
  settings.keepalive_min_time_ns = static_cast<uint64_t>(config_.grpc_keepalive_min_time.count());
  settings.keepalive_interval_ns = static_cast<uint64_t>(config_.grpc_keepalive_interval.count());
  settings.keepalive_timeout_ns = static_cast<uint64_t>(config_.grpc_keepalive_timeout.count());
  service_ = std::make_unique<api::Service>(*context_, settings);
  api::Service::set_resolver([](const mortise_host* host) {
    return static_cast<api::Service*>(loader::HostObject::of(host).user());
  });
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
    transport.host->add_service(MORTISE_HOST_RPC_ID, service_->table());
    transport.host->set_user(service_.get());
    mortise_error error{};
    error.struct_size = sizeof error;
    mortise_status code = transport.table->create(
        transport.host->get(), store::bytes(config_.transports[i].options_json), &transport.handle, &error);
    MORTISE_RETURN_IF_ERROR(store::plugin_status(code, error, "cannot create " + transport.name));
  }
  return Status();
}

Status Server::bind_listeners() {
  Listeners::Options options{config_.socket_reuse_port, config_.socket_reuse_address};
  log_->info("configuring peer listeners",
             {{"listen-peer-urls", config::url_texts(config_.listen_peer_urls)}});
  for (const config::Url& url : config_.listen_peer_urls) {
    // The address is taken, so that a mistake shows now; a single member has nobody to talk to.
    MORTISE_RETURN_IF_ERROR(listeners_.add(url, options, [this](Accepted accepted) {
      ::close(accepted.fd);
      log_->warn("rejected connection on peer endpoint: a single member has no peers",
                 {{"remote-addr", accepted.remote}});
    }));
  }
  log_->info("configuring client listeners",
             {{"listen-client-urls", config::url_texts(config_.listen_client_urls)}});
  for (const config::Url& url : config_.listen_client_urls) {
    MORTISE_RETURN_IF_ERROR(
        listeners_.add(url, options, [this](Accepted accepted) { adopt(std::move(accepted)); }));
  }
  return Status();
}

void Server::log_start(bool is_new) const {
  utsname os{};
  ::uname(&os);
  log_->info(
      "starting an etcd server",
      {{"etcd-version", config::kEtcdVersion},
       {"mortise-version", config::kMortiseVersion},
       {"go-os", "linux"},
       {"go-arch", std::string_view(os.machine) == "x86_64" ? "amd64" : os.machine},
       {"max-cpu-available", static_cast<int64_t>(std::thread::hardware_concurrency())},
       {"member-initialized", !is_new},
       {"name", config_.name},
       {"data-dir", config_.data_dir},
       {"wal-dir", config_.wal_dir},
       {"wal-dir-dedicated", config_.wal_dir},
       {"member-dir", config_.data_dir + "/member"},
       {"backend", config_.backend.name_or_path},
       {"heartbeat-interval", duration_text(config_.heartbeat_interval)},
       {"election-timeout", duration_text(config_.election_timeout)},
       {"initial-election-tick-advance", config_.initial_election_tick_advance},
       {"snapshot-count", config_.snapshot_count},
       {"max-wals", config_.max_wals},
       {"max-snapshots", config_.max_snapshots},
       {"snapshot-catchup-entries", config_.snapshot_catchup_entries},
       {"initial-advertise-peer-urls", config::url_texts(config_.initial_advertise_peer_urls)},
       {"listen-peer-urls", config::url_texts(config_.listen_peer_urls)},
       {"advertise-client-urls", config::url_texts(config_.advertise_client_urls)},
       {"listen-client-urls", config::url_texts(config_.listen_client_urls)},
       {"initial-cluster", config_.initial_cluster},
       {"initial-cluster-state", config_.initial_cluster_state},
       {"initial-cluster-token", config_.initial_cluster_token},
       {"quota-backend-bytes", config_.quota_backend_bytes},
       {"max-request-bytes", config_.max_request_bytes},
       {"max-concurrent-streams", config_.max_concurrent_streams},
       {"pre-vote", config_.pre_vote},
       {"auto-compaction-mode", config_.auto_compaction_mode},
       {"auto-compaction-retention", config_.auto_compaction_retention},
       {"max-learners", config_.max_learners},
       {"v2-deprecation", config_.v2_deprecation}});
}

}  // namespace mortise::server
