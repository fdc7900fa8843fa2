#include "host/server/server.h"

#include <unistd.h>

#include <future>

#include "host/api/methods.h"
#include "host/server/promise_waiter.h"

namespace mortise::server {
namespace {

// Request ids begin anew at each start: the member's low bits, then milliseconds, then a counter.
uint64_t first_request_id(uint64_t member_id) {
  auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                std::chrono::system_clock::now().time_since_epoch())
                .count();
  return (member_id & 0xffff) << 48 | (static_cast<uint64_t>(ms) & 0xffffffffff) << 8;
}

// The transports' own grace for clients at a stop; what is left then is cancelled. Calls that wait
// for others get less, so that their answers still find a connection.
constexpr std::chrono::milliseconds kDrainTime{1000};
constexpr std::chrono::milliseconds kCallGrace{600};

// Calls that wait for the NOSPACE alarm before they are refused.
constexpr size_t kRefusalsWaitingMax = 10'000;

// What members publish in our way ends older ones for good: they cannot read it in the log.
constexpr membership::Version kFirstThatReads{3, 5};

bool is_older(const std::optional<membership::Version>& version) {
  return version && *version < kFirstThatReads;
}

bool any_is_older(const std::vector<std::optional<membership::Version>>& servers) {
  return std::any_of(servers.begin(), servers.end(), is_older);
}

}  // namespace

Server::Server(const config::Config& config, std::string executable_dir, Log* log)
    : config_(config),
      executable_dir_(std::move(executable_dir)),
      log_(log),
      call_metrics_(std::make_unique<api::CallMetrics>(api::methods().size(),
                                                       config.metrics == "extensive")) {}

Server::~Server() { stop(); }

Status Server::start() {
  log_begin();
  // Before the data directory, so that a plugin that is not there leaves none behind.
  MORTISE_RETURN_IF_ERROR(load_plugins());
  MORTISE_RETURN_IF_ERROR(take_over());
  MORTISE_ASSIGN_OR_RETURN(auto dir,
                           DataDir::open(config_.data_dir, config_.wal_dir, backend_name_));
  data_dir_.emplace(std::move(dir));
  for (const std::string& name : data_dir_->unknown_files()) {
    log_->warn("found invalid file under data directory",
               {{"filename", name}, {"data-dir", config_.data_dir}});
  }
  Status opened = bind_listeners();
  if (opened.ok()) opened = open_store();
  if (!opened.ok()) data_dir_->abandon();
  MORTISE_RETURN_IF_ERROR(opened);
  MORTISE_RETURN_IF_ERROR(data_dir_->keep());
  MORTISE_RETURN_IF_ERROR(open_log());
  MORTISE_RETURN_IF_ERROR(data_dir_->remove_leftovers());
  next_request_id_ = first_request_id(cluster_->local_id());
  make_peers();
  MORTISE_RETURN_IF_ERROR(make_apply());
  make_state_transfer();
  make_lease_work();
  MORTISE_RETURN_IF_ERROR(make_api());
  make_integrity();
  MORTISE_RETURN_IF_ERROR(check_integrity_at_start());

  MORTISE_ASSIGN_OR_RETURN(auto reader, store_->reader());
  MORTISE_ASSIGN_OR_RETURN(int64_t finished, mvcc::finished_compaction(reader));
  reader.close();
  hub_->start(revision());
  keeper_->start();
  apply_loop_->start();
  compaction_->start(finished, applier_->visible().compacted);
  log_started();
  raft_->start(std::move(wal_));
  peer_listeners_.start();
  refresh_store_size();
  version_monitor_->start();
  chores_ = std::thread([this] { chores_loop(); });
  start_auto_compaction();
  integrity_->start();
  publisher_ = std::thread([this] { publish_and_serve(); });
  return Status();
}

RpcStatus Server::propose_and_wait(uint32_t field, std::string_view request) {
  std::promise<RpcStatus> promise;
  auto done = promise.get_future();
  propose(field, request, {}, std::make_unique<PromiseWaiter>(std::move(promise)));
  return done.get();
}

void Server::start_auto_compaction() {
  AutoCompactionOptions options;
  options.by_revision = config_.auto_compaction_mode == "revision";
  options.retention = config_.auto_compaction_retention;
  if (options.retention == 0) return;
  AutoCompactionHooks hooks;
  hooks.revision = [this] { return revision(); };
  hooks.leads = [this] { return raft_->is_leader(); };
  hooks.compact = [this](int64_t revision) {
    std::string request;
    wire::append_varint_field(&request, 1, static_cast<uint64_t>(revision));
    return propose_and_wait(wire::kRaftCompaction, request);
  };
  auto_compactor_ = std::make_unique<AutoCompactor>(options, std::move(hooks), log_);
}

// Clients are served once the member has made itself known, for which it needs the others.
void Server::publish_and_serve() {
  if (publish()) {
    if (Status status = serve(); !status.ok()) fail("clients cannot be served", status);
    tell_ready();
  }
  published_ = true;
}

// Makes the member's name and addresses known through the log; false if the server is stopped
// before that is done.
bool Server::publish() {
  std::string attributes, request;
  wire::append_bytes_field(&attributes, 1, config_.name);
  for (const std::string& url : config::url_texts(config_.advertise_client_urls)) {
    wire::append_bytes_field(&attributes, 2, url);
  }
  wire::append_varint_field(&request, 1, cluster_->local_id());
  wire::append_bytes_field(&request, 2, attributes);
  const std::string local = membership::hex_id(cluster_->local_id());
  for (bool told = false; !shutting_down_; told = true) {
    if (!is_older(membership::parse_version(cluster_->version()))) break;
    if (!any_is_older(server_versions())) break;
    if (!told) {
      log_->warn(
          "a member of the cluster runs an etcd before 3.5, which would not survive that this "
          "member makes itself known; clients are served when all such members are replaced",
          {{"cluster-version", membership::shown_version(cluster_->version())}});
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
  while (!shutting_down_) {
    RpcStatus status = propose_and_wait(wire::kRaftClusterMemberAttrSet, request);
    if (status.ok()) break;
    if (shutting_down_) return false;
    log_->warn("failed to publish local member to cluster through raft",
               {{"local-member-id", local}, {"error", status.message()}});
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  std::string urls;
  for (const std::string& url : config::url_texts(config_.advertise_client_urls)) {
    urls += (urls.empty() ? "" : " ") + url;
  }
  log_->info("published local member to cluster through raft",
             {{"local-member-id", local},
              {"local-member-attributes", "{Name:" + config_.name + " ClientURLs:[" + urls + "]}"},
              {"cluster-id", membership::hex_id(cluster_->cluster_id())},
              {"publish-timeout", duration_text(request_timeout(config_))}});
  // The leader sets the version; without one no request is admitted.
  while (!shutting_down_ && cluster_->version().empty()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return !shutting_down_;
}

// Nobody but the publisher waits for proposals while it is at work.
void Server::stop_publishing() {
  shutting_down_ = true;
  while (publisher_.joinable() && !published_) {
    fail_waiters();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  if (publisher_.joinable()) publisher_.join();
}

Status Server::serve() {
  service_->start_serving();
  pages_->start_serving();
  for (Transport& transport : transports_) {
    mortise_error error{};
    error.struct_size = sizeof error;
    mortise_status code = transport.table->start(transport.handle, &error);
    MORTISE_RETURN_IF_ERROR(store::plugin_status(code, error, "cannot start " + transport.name));
    transport.started = true;
  }
  transports_serve_.store(true, std::memory_order_release);
  listeners_.start();
  log_serving();
  return Status();
}

void Server::when_compacted(int64_t revision, std::function<void(bool)> done) {
  compaction_->when_finished(revision, std::move(done));
}

void Server::reclaim(std::function<void(Status)> done) {
  auto shared = std::make_shared<std::function<void(Status)>>(std::move(done));
  Status posted = maintenance_.post([this, shared] {
    log_->info("starting defragment");
    ++counters_.reclaims;
    auto started = std::chrono::steady_clock::now();
    Status status = sync_store().status();
    if (status.ok()) status = store_->reclaim();
    // The apply thread's view is of the files from before.
    if (apply_loop_->remove(std::make_unique<mvcc::Removal>(), apply_loop_->store_number())) {
      apply_loop_->wait_removed();
    }
    refresh_store_size();
    const auto took = std::chrono::steady_clock::now() - started;
    counters_.reclaimed.observe(took);
    --counters_.reclaims;
    log_->info("finished defragment", {{"took", duration_text(took)}});
    (*shared)(status);
  });
  if (!posted.ok()) (*shared)(posted);
}

RpcStatus Server::run_long(std::function<void()> task) {
  Status status = long_reads_.post(std::move(task));
  if (status.ok()) return RpcStatus();
  return status.code() == StatusCode::kDropped ? rpc_errors::kTooManyRequests
                                               : rpc_errors::kStopped;
}

uint64_t Server::committed_index() const { return std::max(raft_->committed(), applied_index()); }

int64_t Server::new_lease_id() {
  int64_t id = 0;
  while (id == 0) id = static_cast<int64_t>(next_request_id() & INT64_MAX);
  return id;
}

api::StoreFigures Server::store_figures() {
  refresh_store_size();
  StoreSize::Figures figures = store_size_.figures();
  return {figures.bytes, figures.in_use};
}

Result<uint64_t> Server::sync_store() {
  int64_t unflushed = store_size_.unflushed();
  auto index = store_->sync();
  if (!index.ok()) return index;
  store_size_.synced(unflushed);
  refresh_store_size();
  return index;
}

bool Server::has_space(int64_t cost) {
  int64_t quota = context_->limits.quota_bytes;
  if (store_size_.figures().bytes + cost < quota) return true;
  refresh_store_size();
  return store_size_.figures().bytes + cost < quota;
}

void Server::raise_no_space(std::function<void()> done) {
  class Raised : public apply::Waiter {
   public:
    explicit Raised(Server* server) : server_(server) {}
    void complete(apply::ApplyResult) override {
      std::vector<std::function<void()>> waiters;
      {
        std::lock_guard lock(server_->no_space_mutex_);
        waiters.swap(server_->no_space_waiters_);
      }
      for (auto& waiter : waiters) waiter();
    }

   private:
    Server* const server_;
  };
  if (alarms_.is_raised({cluster_->local_id(), apply::kAlarmNoSpace})) return done();
  bool is_first = false, waits = false;
  {
    std::lock_guard lock(no_space_mutex_);
    is_first = no_space_waiters_.empty();
    waits = no_space_waiters_.size() < kRefusalsWaitingMax;
    if (waits) no_space_waiters_.push_back(std::move(done));
  }
  if (!waits) return done();
  if (!is_first) return;
  std::string alarm;
  wire::append_varint_field(&alarm, 1, 1);  // ACTIVATE
  wire::append_varint_field(&alarm, 2, cluster_->local_id());
  wire::append_varint_field(&alarm, 3, apply::kAlarmNoSpace);
  propose(wire::kRaftAlarm, alarm, {}, std::make_unique<Raised>(this));
}

void Server::log(std::string_view level, std::string_view message,
                 const std::vector<api::LogField>& fields, std::source_location where) {
  Fields out;
  for (const auto& [name, value] : fields) {
    if (auto* duration = std::get_if<std::chrono::nanoseconds>(&value)) {
      out.emplace_back(name, duration_text(*duration));
    } else if (auto* time = std::get_if<std::chrono::system_clock::time_point>(&value)) {
      out.emplace_back(name, time_text(*time));
    } else if (auto* list = std::get_if<std::vector<std::string>>(&value)) {
      out.emplace_back(name, *list);
    } else if (auto* number = std::get_if<int64_t>(&value)) {
      out.emplace_back(name, *number);
    } else {
      out.emplace_back(name, std::get<std::string>(value));
    }
  }
  log_->write(level_named(level), message, out, where);
}

void Server::fail(std::string_view what, const Status& status) {
  // Whether what waits has happened is not known; its callers are told that much before the
  // connection ends.
  fail_waiters();
  log_->fatal("the member stops: " + std::string(what), {{"error", status.message()}});
}

void Server::begin_drain() {
  std::unique_lock lock(chores_mutex_);
  for (Transport& transport : transports_) {
    if (!transport.started) continue;
    lock.unlock();
    transport.table->drain(transport.handle,
                           static_cast<uint64_t>(std::chrono::nanoseconds(kDrainTime).count()));
    lock.lock();
  }
}

// Calls that wait for a quorum when their grace is over are told that the server stops.
void Server::wait_for_drain() {
  auto drained = [&] {
    return std::all_of(transports_.begin(), transports_.end(),
                       [](const Transport& t) { return !t.started || t.drained; });
  };
  std::unique_lock lock(chores_mutex_);
  if (chores_wake_.wait_for(lock, kCallGrace, drained)) return;
  lock.unlock();
  fail_waiters();
  if (read_rounds_) read_rounds_->stop();
  lock.lock();
  chores_wake_.wait_for(lock, request_timeout(config_), drained);
}

void Server::fail_waiters() {
  for (auto& waiter : waiters_.take_all()) {
    apply::ApplyResult result;
    result.rpc = rpc_errors::kStopped;
    waiter->complete(std::move(result));
  }
}

void Server::stop() {
  if (!data_dir_) return;
  log_->info("closing etcd server", advertised_fields());
  if (inquiry_) inquiry_->stop();
  stop_publishing();
  tell_stopping();
  if (raft_ && chores_.joinable()) try_transfer_leadership();
  listeners_.stop();
  peer_listeners_.stop();
  if (name_checks_) name_checks_->stop();
  // From here on transports take up no call, so a client whose stream ends begins no other here.
  begin_drain();
  if (hub_) hub_->stop();
  if (keeper_) keeper_->stop();
  wait_for_drain();
  if (service_) service_->stop_serving();
  if (pages_) pages_->stop_serving();
  auto_compactor_.reset();
  if (compaction_) compaction_->stop();
  {
    std::lock_guard lock(chores_mutex_);
    stopping_ = true;
    chores_wake_.notify_all();
  }
  if (chores_.joinable()) chores_.join();
  if (integrity_) integrity_->stop();
  if (lease_forwarder_) lease_forwarder_->stop();
  peer_client_.reset();  // Calls that are open end with kStopped.
  if (snapshot_sender_) snapshot_sender_->stop();
  if (snapshot_receiver_) snapshot_receiver_->stop();
  if (peers_) peers_->stop();
  if (peer_relay_) peer_relay_->stop();
  if (catch_up_) catch_up_->stop();
  if (apply_loop_) apply_loop_->stop();
  if (raft_) {
    if (Status status = raft_->stop(); !status.ok()) fail("the log failed", status);
  }
  fail_waiters();
  if (version_monitor_) version_monitor_->stop();
  inquiries_.stop();
  if (read_rounds_) read_rounds_->stop();
  leadership_.stop();
  confirmed_reads_.stop();
  long_reads_.stop();
  maintenance_.stop();
  snapshots_.stop();
  for (Transport& transport : transports_) {
    if (transport.handle != nullptr) transport.table->destroy(transport.handle);
  }
  transports_.clear();
  if (client_relay_) client_relay_->stop();
  hub_.reset();
  keeper_.reset();
  if (store_) {
    if (auto synced = sync_store(); !synced.ok()) {
      log_->warn("the store could not be synced; the log will be replayed",
                 {{"error", synced.status().message()}});
    }
  }
  applier_.reset();
  peers_.reset();
  if (snapshot_receiver_) snapshot_receiver_->close();
  store_.reset();
  authority_.reset();
  if (executor_) executor_->stop();
  log_->info("closed etcd server", advertised_fields());
  data_dir_.reset();
}

}  // namespace mortise::server
