// Lines of the log that people and programs know from etcd's: how a member starts, and what raft
// makes of it.
#include <sched.h>
#include <sys/utsname.h>

#include <filesystem>

#include "host/server/server.h"

namespace mortise::server {
namespace {

constexpr int64_t kDefaultQuotaBytes = int64_t{2} << 30;
// More is no mistake, but nobody has tried much more with etcd.
constexpr int64_t kQuotaBytesAdvised = int64_t{8} << 30;

std::string size_text(int64_t bytes) { return bytes_text(static_cast<uint64_t>(bytes)); }

int64_t usable_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return static_cast<int64_t>(std::thread::hardware_concurrency());
}

void append(Fields* to, const Fields& more) { to->insert(to->end(), more.begin(), more.end()); }

std::string gates_text(const std::map<std::string, bool>& gates) {
  std::string text;
  for (const auto& [name, on] : gates) {
    text += (text.empty() ? "" : ",") + name + (on ? "=true" : "=false");
  }
  return text;
}

}  // namespace

void Server::log_begin() const {
  std::error_code ignored;
  const bool is_member = std::filesystem::exists(config_.data_dir + "/member", ignored);
  log_->info(is_member ? "server has already been initialized" : "Initialize and start etcd server",
             {{"data-dir", config_.data_dir}, {"dir-type", is_member ? "member" : "empty"}});
}

Fields Server::member_fields(bool is_new) const {
  utsname os{};
  ::uname(&os);
  return {{"etcd-version", config::kEtcdVersion},
          {"mortise-version", config::kMortiseVersion},
          {"git-sha", "Not provided"},
          {"go-version", "none (mortise is C++)"},
          {"go-os", "linux"},
          {"go-arch", std::string_view(os.machine) == "x86_64" ? "amd64" : os.machine},
          {"max-cpu-set", usable_processors()},
          {"max-cpu-available", static_cast<int64_t>(std::thread::hardware_concurrency())},
          {"member-initialized", !is_new},
          {"name", config_.name},
          {"data-dir", config_.data_dir},
          {"wal-dir", config_.wal_dir},
          {"wal-dir-dedicated", config_.wal_dir},
          {"member-dir", config_.data_dir + "/member"},
          {"backend", config_.backend.name_or_path},
          {"force-new-cluster", config_.force_new_cluster},
          {"heartbeat-interval", duration_text(config_.heartbeat_interval)},
          {"election-timeout", duration_text(config_.election_timeout)},
          {"initial-election-tick-advance", config_.initial_election_tick_advance},
          {"snapshot-count", config_.snapshot_count},
          {"max-wals", config_.max_wals},
          {"max-snapshots", config_.max_snapshots},
          {"snapshot-catchup-entries", config_.snapshot_catchup_entries}};
}

Fields Server::listen_fields() const {
  return {{"initial-advertise-peer-urls", config::url_texts(config_.initial_advertise_peer_urls)},
          {"listen-peer-urls", config::url_texts(config_.listen_peer_urls)},
          {"advertise-client-urls", config::url_texts(config_.advertise_client_urls)},
          {"listen-client-urls", config::url_texts(config_.listen_client_urls)}};
}

void Server::log_start(bool is_new) const {
  const std::string retention =
      duration_text(std::chrono::nanoseconds(config_.auto_compaction_retention));
  const int64_t quota =
      config_.quota_backend_bytes == 0 ? kDefaultQuotaBytes : config_.quota_backend_bytes;
  Fields fields = member_fields(is_new);
  append(&fields, listen_fields());
  append(&fields, {{"initial-cluster", config_.initial_cluster},
                   {"initial-cluster-state", config_.initial_cluster_state},
                   {"initial-cluster-token", config_.initial_cluster_token},
                   {"quota-backend-bytes", quota},
                   {"max-request-bytes", config_.max_request_bytes},
                   {"max-concurrent-streams", config_.max_concurrent_streams},
                   {"pre-vote", config_.pre_vote},
                   {"feature-gates", gates_text(config_.feature_gates)},
                   {"initial-corrupt-check", config_.feature_gates.at("InitialCorruptCheck")},
                   {"corrupt-check-time-interval", duration_text(config_.corrupt_check_time)},
                   {"compact-check-time-interval", duration_text(config_.compact_hash_check_time)},
                   {"apply-hash-check-time", duration_text(config_.apply_hash_check_time)},
                   {"auto-compaction-mode", config_.auto_compaction_mode},
                   {"auto-compaction-retention", retention},
                   {"auto-compaction-interval", retention},
                   {"downgrade-check-interval", duration_text(config_.downgrade_check_time)},
                   {"max-learners", config_.max_learners},
                   {"v2-deprecation", config_.v2_deprecation}});
  log_->info("starting an etcd server", fields);
}

void Server::log_quota() const {
  const int64_t quota = config_.quota_backend_bytes;
  Fields fields{{"quota-name", "v3-applier"},
                {"quota-size-bytes", quota == 0 ? kDefaultQuotaBytes : quota}};
  if (quota < 0) return log_->info("disabled backend quota", fields);
  fields.emplace_back("quota-size", size_text(quota == 0 ? kDefaultQuotaBytes : quota));
  if (quota == 0) return log_->info("enabled backend quota with default value", fields);
  if (quota > kQuotaBytesAdvised) {
    Fields advice = fields;
    advice.emplace_back("quota-maximum-size-bytes", kQuotaBytesAdvised);
    advice.emplace_back("quota-maximum-size", size_text(kQuotaBytesAdvised));
    log_->warn("quota exceeds the maximum value", advice);
  }
  log_->info("enabled backend quota", fields);
}

void Server::log_started() const {
  const std::string version = cluster_->version();
  const std::string local = membership::hex_id(cluster_->local_id());
  Fields fields{{"local-member-id", local}, {"local-server-version", config::kEtcdVersion}};
  if (version.empty()) {
    fields.emplace_back("cluster-version", "to_be_decided");
  } else {
    fields.emplace_back("cluster-id", membership::hex_id(cluster_->cluster_id()));
    fields.emplace_back("cluster-version", membership::shown_version(version));
  }
  log_->info("starting etcd server", fields);
  Fields listening{{"local-member-id", local}};
  append(&listening, listen_fields());
  log_->info("now serving peer/client/metrics", listening);
  for (const config::Url& url : config_.listen_peer_urls) {
    log_->info("serving peer traffic",
               {{"address", url.is_unix() ? url.path : url.host + ":" + url.port}});
  }
}

// What etcd's raft says of itself.
void Server::log_role(const raft::SoftState& before, const raft::SoftState& now,
                      uint64_t term) const {
  const std::string local = membership::hex_id(cluster_->local_id());
  const std::string at_term = " at term " + std::to_string(term);
  if (before.role != now.role) {
    log_->info_of("raft", local + " became " + raft::to_string(now.role) + at_term);
  }
  if (before.leader == now.leader) return;
  const std::string leader = membership::hex_id(now.leader);
  std::string news = "elected leader " + leader;
  if (now.leader == raft::kNoNode) {
    news = "lost leader " + membership::hex_id(before.leader);
  } else if (before.leader != raft::kNoNode) {
    news = "changed leader from " + membership::hex_id(before.leader) + " to " + leader;
  }
  log_->info_of("raft", "raft.node: " + local + " " + news + at_term);
}

Fields Server::advertised_fields() const {
  return {{"name", config_.name},
          {"data-dir", config_.data_dir},
          {"advertise-peer-urls", config::url_texts(config_.initial_advertise_peer_urls)},
          {"advertise-client-urls", config::url_texts(config_.advertise_client_urls)}};
}

// --bootstrap-defrag-threshold-megabytes: before anybody waits for this member.
Status Server::reclaim_at_start() {
  const uint64_t threshold = config_.bootstrap_defrag_threshold_bytes;
  if (threshold == 0) return Status();
  MORTISE_ASSIGN_OR_RETURN(const mortise_store_size size, store_->size());
  store_size_.refresh(size);
  const StoreSize::Figures figures = store_size_.figures();
  if (static_cast<uint64_t>(std::max<int64_t>(figures.bytes - figures.in_use, 0)) < threshold) {
    log_->info("Skipping defragmentation", {{"current-db-size-bytes", figures.bytes},
                                            {"current-db-size", size_text(figures.bytes)},
                                            {"current-db-size-in-use-bytes", figures.in_use},
                                            {"current-db-size-in-use", size_text(figures.in_use)},
                                            {"bootstrap-defrag-threshold-bytes", threshold},
                                            {"bootstrap-defrag-threshold", bytes_text(threshold)}});
    return Status();
  }
  log_->info("starting defragment");
  const auto started = std::chrono::steady_clock::now();
  MORTISE_RETURN_IF_ERROR(store_->reclaim());
  log_->info("finished defragment",
             {{"took", duration_text(std::chrono::steady_clock::now() - started)}});
  return Status();
}

}  // namespace mortise::server
