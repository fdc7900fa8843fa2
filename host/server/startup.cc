// How a member comes up: plugins, data directory, store, log, raft, apply, transports.
#include <random>

#include "host/config/process.h"
#include "host/server/server.h"
#include "host/server/takeover.h"

namespace mortise::server {
namespace {

// The entries that recovery finds: those above what the store holds, and before them what members
// that lag may want.
class LogSink : public wal::RecoverySink {
 public:
  explicit LogSink(uint64_t applied) : applied_(applied) {}
  void drop_from(uint64_t index) override {
    for (; !entries_.empty() && entries_.back()->index >= index; entries_.pop_back()) {
      bytes_ -= raft::entry_bytes(*entries_.back());
    }
  }
  Status append(const wal::EntryRecord& record) override {
    auto entry = std::make_shared<raft::Entry>();
    entry->term = record.term;
    entry->index = record.index;
    entry->type = static_cast<raft::EntryType>(record.type);
    entry->data.assign(record.data);
    bytes_ += raft::entry_bytes(*entry);
    entries_.push_back(std::move(entry));
    while (bytes_ > replica::kLogBytesMax && entries_.front()->index <= applied_) {
      bytes_ -= raft::entry_bytes(*entries_.front());
      entries_.pop_front();
    }
    return Status();
  }
  // The oldest entry, if the store holds it, only tells the term before the others.
  Result<std::unique_ptr<raft::MemoryLog>> make_log(uint64_t applied_term) {
    auto log = std::make_unique<raft::MemoryLog>(applied_, applied_term);
    if (!entries_.empty() && entries_.front()->index <= applied_) {
      log = std::make_unique<raft::MemoryLog>(entries_.front()->index, entries_.front()->term);
      entries_.pop_front();
    }
    MORTISE_RETURN_IF_ERROR(log->append({entries_.begin(), entries_.end()}));
    return log;
  }

 private:
  uint64_t applied_;
  uint64_t bytes_ = 0;
  std::deque<raft::EntryRef> entries_;
};

std::string identity_row(uint64_t cluster_id, uint64_t member_id) {
  std::string row(16, '\0');
  mvcc::put_u64_be(row.data(), cluster_id);
  mvcc::put_u64_be(row.data() + 8, member_id);
  return row;
}

// As long as etcd asks the DNS.
config::ResolveHost resolver() {
  auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  return [until](const std::string& host) { return config::resolve_host(host, until); };
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
  options.log_enabled = [this](mortise_log_level level) {
    return log_->enabled(server_level(level));
  };
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
  MORTISE_ASSIGN_OR_RETURN(auto backend,
                           loader::load(config_.backend.name_or_path, dirs, "backend_"));
  MORTISE_ASSIGN_OR_RETURN(backend_table_, loader::backend(*backend));
  backend_name_ = backend->name;
  backend_host_ = host_object(backend_name_);
  MORTISE_ASSIGN_OR_RETURN(auto watch, loader::load(config_.watch.name_or_path, dirs, "watch_"));
  MORTISE_ASSIGN_OR_RETURN(watch_table_, loader::watch(*watch));
  watch_host_ = host_object(watch->name);
  MORTISE_RETURN_IF_ERROR(load_auth_plugin(dirs));
  for (const config::PluginSpec& spec : config_.transports) {
    MORTISE_ASSIGN_OR_RETURN(auto plugin, loader::load(spec.name_or_path, dirs, "transport_"));
    Transport transport;
    MORTISE_ASSIGN_OR_RETURN(transport.table, loader::transport(*plugin));
    transport.name = plugin->name;
    transports_.push_back(std::move(transport));
    plugins_.push_back(plugin);
  }
  plugins_.insert(plugins_.end(), {backend, watch});
  for (const loader::Plugin* plugin : plugins_) {
    log_->info("loaded plugin",
               {{"plugin", plugin->name}, {"version", plugin->version}, {"path", plugin->path}});
  }
  return Status();
}

// An etcd's data directory becomes ours.
Status Server::take_over() {
  TakeoverOptions options;
  options.data_dir = config_.data_dir;
  options.wal_dir = config_.wal_dir;
  options.backend = backend_name_;
  options.import.open_store = [this](const std::string& path) {
    return store::Store::open(backend_table_, backend_host_->get(), path,
                              config_.backend.options_json);
  };
  options.import.enforces_auth = auth_table_ != nullptr;
  options.import.learners_max = config_.max_learners;
  return take_over_etcd(options, log_);
}

Status Server::open_store() {
  auto started = std::chrono::steady_clock::now();
  MORTISE_ASSIGN_OR_RETURN(
      store_, store::Store::open(backend_table_, backend_host_->get(), data_dir_->store_path(),
                                 config_.backend.options_json));
  log_->info("opened backend db",
             {{"path", data_dir_->store_path()},
              {"took", duration_text(std::chrono::steady_clock::now() - started)}});
  uint64_t index = 0, term = 0;
  MORTISE_RETURN_IF_ERROR(store_->applied(&index, &term));
  log_->info("restore consistentIndex", {{"index", index}});
  return reclaim_at_start();
}

Result<Beginning> Server::find_beginning() {
  MORTISE_ASSIGN_OR_RETURN(auto reader, store_->reader());
  bool in_store;
  std::string_view row;
  MORTISE_RETURN_IF_ERROR(reader.get(store::kMeta, membership::kIdentityKey, &in_store, &row));
  if (in_store && row.size() != 16) return corruption("the store's identity row has a wrong size");
  auto log = wal::Wal::inspect(data_dir_->wal_path());
  bool is_new = !log.ok() && log.status().code() == StatusCode::kNotFound;
  if (!log.ok() && !is_new) return log.status();
  uint64_t applied = 0, term = 0;
  MORTISE_RETURN_IF_ERROR(store_->applied(&applied, &term));
  if (is_new) {
    if (applied > 0) {
      return corruption("the store holds data up to log index " + std::to_string(applied) +
                        " but there is no log in " + data_dir_->wal_path());
    }
    return bootstrap();
  }
  if (in_store && row != identity_row(log->cluster_id, log->member_id)) {
    return corruption("the store in " + data_dir_->store_path() + " and the log in " +
                      data_dir_->wal_path() + " belong to different members");
  }
  if (!config_.discovery.endpoints.empty()) {
    log_->warn("discovery token is ignored since cluster already initialized; valid logs are found",
               {{"wal-dir", data_dir_->wal_path()}});
  }
  Beginning beginning;
  beginning.cluster_id = log->cluster_id;
  beginning.member_id = log->member_id;
  return beginning;
}

Result<Beginning> Server::bootstrap() {
  MORTISE_ASSIGN_OR_RETURN(const auto config, discovered(config_, resolver(), log_));
  if (config.initial_cluster_state == "existing") {
    return join_cluster(config, resolver(), inquiry_.get(), request_timeout(config), log_);
  }
  MORTISE_ASSIGN_OR_RETURN(auto beginning, found_cluster(config, resolver()));
  MORTISE_RETURN_IF_ERROR(check_not_bootstrapped(beginning, inquiry_.get()));
  return beginning;
}

Status Server::write_identity(const Beginning& beginning) {
  std::string row = identity_row(beginning.cluster_id, beginning.member_id);
  store::WriteBatch batch;
  batch.put(store::kMeta, membership::kIdentityKey, row);
  uint64_t index = 0, term = 0;
  MORTISE_RETURN_IF_ERROR(store_->applied(&index, &term));
  return store_->commit(batch, index, term, /*sync=*/true);
}

Status Server::open_log() {
  inquiry_ = std::make_unique<Inquiry>(log_, peer_dialer_);
  make_version_monitor();
  log_->info("bootstrapping cluster");
  MORTISE_ASSIGN_OR_RETURN(auto beginning, find_beginning());
  log_start(beginning.is_new);
  if (beginning.is_new) MORTISE_RETURN_IF_ERROR(write_identity(beginning));
  cluster_ = std::make_unique<membership::Cluster>(beginning.cluster_id, beginning.member_id,
                                                   config_.max_learners);
  remotes_ = std::move(beginning.remotes);
  return make_raft(beginning);
}

// Whether a log without any entry is a founder's that was killed before it wrote its first ones,
// and with whom it founds the cluster.
std::vector<membership::Member> Server::founders(const Beginning& beginning) {
  if (beginning.is_new) return beginning.founders;
  auto config = discovered(config_, resolver(), log_);
  if (!config.ok()) return {};
  auto again = found_cluster(*config, resolver());
  bool same = again.ok() && again->cluster_id == beginning.cluster_id &&
              again->member_id == beginning.member_id;
  return same ? again->founders : std::vector<membership::Member>();
}

// Opens the log and hands out the entries above what the store holds; a founder's new log gets its
// first ones.
Result<wal::Recovered> Server::recover_log(const Beginning& beginning, uint64_t applied,
                                           uint64_t applied_term,
                                           std::unique_ptr<raft::MemoryLog>* log) {
  wal::Options options;
  options.dir = data_dir_->wal_path();
  options.cluster_id = beginning.cluster_id;
  options.member_id = beginning.member_id;
  options.first_index = applied - std::min(applied, config_.snapshot_catchup_entries);
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
    std::vector<membership::Member> members;
    if (!recovered.hard_state) members = founders(beginning);
    if (members.empty()) {
      if (remotes_.empty()) remotes_ = others_of_joined(config_, beginning, inquiry_.get());
      *log = std::make_unique<raft::MemoryLog>();
      return recovered;
    }
    MORTISE_RETURN_IF_ERROR(write_founding_entries(wal_.get(), members));
    wal_.reset();
    sink = LogSink(0);
    MORTISE_ASSIGN_OR_RETURN(wal_, wal::Wal::open(options, sink));
    recovered = wal_->recovered();
  } else if (!recovered.has_no_index() &&
             (recovered.last_index < applied || recovered.first_index > applied + 1)) {
    return corruption("the log in " + options.dir + " holds entries " +
                      std::to_string(recovered.first_index) + " to " +
                      std::to_string(recovered.last_index) + ", but the store needs those after " +
                      std::to_string(applied));
  }
  MORTISE_ASSIGN_OR_RETURN(*log, sink.make_log(applied_term));
  return recovered;
}

RaftNodeOptions Server::raft_options(const Beginning& beginning, uint64_t applied) {
  RaftNodeOptions node;
  node.core.id = beginning.member_id;
  node.core.applied = applied;
  node.core.election_ticks = static_cast<uint32_t>(config_.election_ticks);
  node.core.pre_vote = config_.pre_vote;
  node.core.uncommitted_bytes_max = kUncommittedBytesMax;
  node.core.inflight_bytes_max = kInflightBytesMax;
  node.tick = config_.heartbeat_interval;
  node.seed = beginning.member_id ^ std::random_device{}();
  node.catchup_entries = config_.snapshot_catchup_entries;
  node.on_committed = [this](std::vector<raft::EntryRef> entries) {
    apply_loop_->enqueue(std::move(entries));
  };
  node.on_soft_state = [this](const raft::SoftState& state, uint64_t term) {
    role_changed(state, term);
  };
  node.on_dropped = [this](const std::vector<uint64_t>& ids, const Status&) {
    proposals_dropped(ids);
  };
  node.on_messages = [this](std::vector<raft::Message> messages) {
    send_messages(std::move(messages));
  };
  node.on_snapshot = [this](raft::SnapshotRef snapshot) { install_snapshot(std::move(snapshot)); };
  node.on_read_states = [this](const std::vector<raft::ReadState>& states) {
    read_rounds_->read_states(states);
  };
  node.on_disk_stalled = [this](raft::NodeId asked) { disk_stalled(asked); };
  node.on_malformed = [this](const Status& status) {
    log_->warn("failed to process Raft message", {{"error", status.message()}});
  };
  node.on_tick = [this] { on_tick(); };
  node.on_failed = [this](const Status& status) { fail("the log failed", status); };
  return node;
}

Status Server::make_raft(const Beginning& beginning) {
  uint64_t applied = 0, applied_term = 0;
  MORTISE_RETURN_IF_ERROR(store_->applied(&applied, &applied_term));
  std::unique_ptr<raft::MemoryLog> memory;
  log_->info("bootstrapping storage");
  MORTISE_ASSIGN_OR_RETURN(auto recovered, recover_log(beginning, applied, applied_term, &memory));

  log_->info("bootstrapping raft");
  MORTISE_ASSIGN_OR_RETURN(auto reader, store_->reader());
  MORTISE_ASSIGN_OR_RETURN(auto conf_state, apply::read_conf_state(reader));
  raft::HardState hard_state;
  if (recovered.hard_state) {
    hard_state = {recovered.hard_state->term, recovered.hard_state->vote,
                  recovered.hard_state->commit};
  }
  // The newest commit index need not be in the log; what was applied was committed.
  hard_state.commit = std::max(hard_state.commit, applied);
  hard_state.term = std::max(hard_state.term, applied_term);
  if (config_.force_new_cluster && !beginning.is_new) {
    MORTISE_RETURN_IF_ERROR(stand_alone(memory.get(), applied, conf_state, &hard_state));
  }
  memory->set_hard_state(hard_state);
  memory->set_conf_state(conf_state);
  MORTISE_ASSIGN_OR_RETURN(raft_,
                           RaftNode::create(raft_options(beginning, applied), std::move(memory)));
  log_->info("starting local member", {{"local-member-id", membership::hex_id(beginning.member_id)},
                                       {"cluster-id", membership::hex_id(beginning.cluster_id)}});
  log_->info("bootstrap successfully");
  return Status();
}

}  // namespace mortise::server
