// etcd's metrics of this member, out of what its parts have counted.
#include "host/server/metrics.h"

#include "host/server/server.h"

namespace mortise::server {
namespace {

using loader::Exposition;
using loader::Labels;

constexpr const char* kTrue = "true";
constexpr const char* kFalse = "false";

void show_ops(Exposition& out, const apply::Counters& applied, const ServerCounters& server,
              const api::CallMetrics& calls) {
  auto apply_time = [&](std::string_view op, const char* success, const FineHistogram& times) {
    if (times.is_empty()) return;
    out.histogram("etcd_server_apply_duration_seconds",
                  "The latency distributions of v2 apply called by backend.",
                  times.figures(kNanosecondsPerSecond),
                  {{"op", std::string(op)}, {"success", success}, {"version", "v3"}});
  };
  auto request_time = [&](std::string_view type, const char* success,
                          const HistogramFigures& times) {
    for (size_t i = 0; i < times.counts.size(); ++i) {
      if (times.counts[i] == 0) continue;
      return out.histogram("etcd_server_request_duration_seconds",
                           "Response latency distribution in seconds for each type.", times,
                           {{"success", success}, {"type", std::string(type)}});
    }
  };
  for (size_t op = 0; op < apply::kOps; ++op) {
    const std::string_view name = apply::op_name(op);
    apply_time(name, kTrue, applied[op].applied);
    apply_time(name, kFalse, applied[op].refused);
    request_time(name, kTrue, applied[op].answered.figures(kNanosecondsPerSecond));
    request_time(name, kFalse,
                 sum(applied[op].failed.figures(kNanosecondsPerSecond),
                     server.failed_requests[op].figures(kNanosecondsPerSecond)));
  }
  request_time("Range", kTrue, calls.range_answered.figures(kNanosecondsPerSecond));
  request_time("Range", kFalse, calls.range_failed.figures(kNanosecondsPerSecond));
  request_time("ReadonlyTxn", kTrue, calls.txn_answered.figures(kNanosecondsPerSecond));
  request_time("ReadonlyTxn", kFalse, calls.txn_failed.figures(kNanosecondsPerSecond));
  auto range_time = [&](const char* success, const FineHistogram& times) {
    if (times.is_empty()) return;
    out.histogram("etcd_server_range_duration_seconds", "The latency distributions of txn.Range",
                  times.figures(kNanosecondsPerSecond), {{"success", success}});
  };
  range_time(kTrue, calls.range_read);
  range_time(kFalse, calls.range_refused);
}

void show_leases(Exposition& out, const lease::Counters& leases) {
  out.counter("etcd_debugging_lease_granted_total", "The total number of granted leases.",
              figure(leases.granted));
  out.counter("etcd_debugging_lease_renewed_total",
              "The number of renewed leases seen by the leader.", figure(leases.renewed));
  out.counter("etcd_debugging_lease_revoked_total", "The total number of revoked leases.",
              figure(leases.revoked));
  out.histogram("etcd_debugging_lease_ttl_total", "Bucketed histogram of lease TTLs.",
                leases.granted_ttls.figures(1));
}

void show_watches(Exposition& out, const watch::Hub::Stats& stats, const watch::SendTimes& sends) {
  auto gauge = [&](const char* name, const char* help, uint64_t value) {
    out.gauge(std::string("etcd_debugging_mvcc_") + name, help, static_cast<double>(value));
  };
  out.counter("etcd_debugging_mvcc_events_total", "Total number of events sent by this member.",
              static_cast<double>(stats.events_sent));
  gauge("pending_events_total", "Total number of pending events to be sent.", stats.pending_events);
  gauge("slow_watcher_total", "Total number of unsynced slow watchers.", stats.unsynced_watchers);
  gauge("watch_stream_total", "Total number of watch streams.", stats.streams);
  gauge("watcher_total", "Total number of watchers.", stats.watchers);
  auto times = [&](const char* name, const char* help, const DiskHistogram& figures) {
    out.histogram(std::string("etcd_debugging_server_watch_send_loop_") + name, help,
                  figures.figures(kNanosecondsPerSecond));
  };
  times("control_stream_duration_seconds",
        "The total duration in seconds of running through the send loop control stream response.",
        sends.answers);
  times("progress_duration_seconds",
        "The total duration in seconds of running through the progress loop control stream "
        "response.",
        sends.progress);
  times("watch_stream_duration_seconds",
        "The total duration in seconds of running through the send loop watch stream response all "
        "events.",
        sends.events);
  times("watch_stream_duration_per_event_seconds",
        "The average duration in seconds of running through the send loop watch stream response, "
        "per event.",
        sends.per_event);
}

void show_wal(Exposition& out, const wal::Counters& wal) {
  out.histogram("etcd_disk_wal_fsync_duration_seconds",
                "The latency distributions of fsync called by WAL.", figures(wal.sync));
  out.histogram("etcd_disk_wal_write_duration_seconds",
                "The latency distributions of write called by WAL.", figures(wal.write));
  out.gauge("etcd_disk_wal_write_bytes_total", "Total number of bytes written in WAL.",
            static_cast<double>(wal.bytes_written.load(std::memory_order_relaxed)));
}

}  // namespace

void Server::show_metrics(Exposition& out) {
  show_identity(out);
  show_consensus(out);
  show_mvcc(out);
  show_compactions(out);
  show_disk(out);
  show_ops(out, applier_->counters(), counters_, *call_metrics_);
  show_leases(out, lessor_->counters());
  show_watches(out, hub_->stats(), hub_->send_times());
  show_wal(out, raft_->wal_counters());
  show_known_peers(out);
  show_peers(out, membership::hex_id(cluster_->local_id()), peers_->counters());
  show_calls(out, *call_metrics_);
  show_parts_that_are_not_here(out);
  show_process(out);
}

void Server::show_identity(Exposition& out) {
  std::string version = cluster_->version();
  version = version.substr(0, version.rfind('.'));
  if (!version.empty()) {
    std::lock_guard lock(versions_seen_mutex_);
    versions_seen_.insert(version);
    for (const std::string& seen : versions_seen_) {
      out.gauge("etcd_cluster_version",
                "Which version is running. 1 for 'cluster_version' label with current cluster "
                "version",
                seen == version, {{"cluster_version", seen}});
    }
  }
  out.gauge("etcd_server_version",
            "Which version is running. 1 for 'server_version' label with current version.", 1,
            {{"server_version", std::string(config::kEtcdVersion)}});
  out.gauge("mortise_version", "Which version of mortise is running.", 1,
            {{"version", std::string(config::kMortiseVersion)}});
  out.gauge("etcd_server_id",
            "Server or member ID in hexadecimal format. 1 for 'server_id' label with current ID.",
            1, {{"server_id", membership::hex_id(cluster_->local_id())}});
  for (const loader::Plugin* plugin : plugins_) {
    out.gauge("mortise_plugin_info", "A plugin that is loaded.", 1,
              {{"plugin", plugin->name}, {"version", plugin->version}});
  }
  std::map<std::string, bool> gates = config_.feature_gates;
  gates.insert({{"AllAlpha", false}, {"AllBeta", false}});
  for (const auto& [name, on] : gates) {
    out.gauge("etcd_server_feature_enabled",
              "Whether or not a feature is enabled. 1 is enabled, 0 is not.", on,
              {{"name", name}, {"stage", std::string(config::feature_gate_stage(name))}});
  }
  for (const apply::Alarm& alarm : alarms_.list(apply::kAlarmNone)) {
    out.gauge("etcd_debugging_server_alarms",
              "Alarms for every member in cluster. 1 for 'server_id' label with current ID. 2 for "
              "'alarm_type' label with type of this alarm",
              1,
              {{"alarm_type", alarm.type == apply::kAlarmNoSpace ? "NOSPACE" : "CORRUPT"},
               {"server_id", membership::hex_id(alarm.member_id)}});
  }
}

void Server::show_consensus(Exposition& out) {
  auto gauge = [&](const char* name, const char* help, double value) {
    out.gauge(std::string("etcd_server_") + name, help, value);
  };
  auto counter = [&](const char* name, const char* help, double value) {
    out.counter(std::string("etcd_server_") + name, help, value);
  };
  gauge("has_leader", "Whether or not a leader exists. 1 is existence, 0 is not.",
        leader() != raft::kNoNode);
  gauge("is_leader", "Whether or not this member is a leader. 1 if is, 0 otherwise.",
        raft_->is_leader());
  gauge("is_learner", "Whether or not this member is a learner. 1 if is, 0 otherwise.",
        is_learner());
  counter("leader_changes_seen_total", "The number of leader changes seen.",
          figure(counters_.leader_changes));
  counter("heartbeat_send_failures_total",
          "The total number of leader heartbeat send failures (likely overloaded from slow disk).",
          figure(counters_.late_heartbeats));
  gauge("proposals_committed_total", "The total number of consensus proposals committed.",
        static_cast<double>(committed_index()));
  gauge("proposals_applied_total", "The total number of consensus proposals applied.",
        static_cast<double>(applied_index()));
  gauge("proposals_pending", "The current number of pending proposals to commit.",
        static_cast<double>(waiters_.size()));
  counter("proposals_failed_total", "The total number of failed proposals seen.",
          figure(counters_.proposals_failed));
  counter("slow_apply_total",
          "The total number of slow apply requests (likely overloaded from slow disk).",
          figure(counters_.slow_applies) + figure(call_metrics_->slow_reads));
  counter("slow_read_indexes_total",
          "The total number of pending read indexes not in sync with leader's or timed out read "
          "index requests.",
          static_cast<double>(read_rounds_->slow_rounds()));
  counter("read_indexes_failed_total", "The total number of failed read indexes seen.",
          static_cast<double>(read_rounds_->failed_rounds()));
  counter("learner_promote_successes",
          "The total number of successful learner promotions while this member is leader.",
          figure(counters_.promotions));
  gauge("snapshot_apply_in_progress_total",
        "1 if the server is applying the incoming snapshot. 0 if none.",
        counters_.snapshot_applies.load());
  gauge("quota_backend_bytes", "Current backend storage quota size in bytes.",
        static_cast<double>(context_->limits.quota_bytes));
  out.counter("etcd_debugging_server_lease_expired_total", "The total number of expired leases.",
              figure(counters_.leases_expired));
}

void Server::show_mvcc(Exposition& out) {
  const mvcc::WriteCounters& writes = applier_->write_counters();
  auto counter = [&](const char* name, const char* help, double value) {
    out.counter(std::string("etcd_mvcc_") + name, help, value);
  };
  counter("range_total", "Total number of ranges seen by this member.",
          figure(writes.ranges) + figure(call_metrics_->ranges));
  counter("put_total", "Total number of puts seen by this member.", figure(writes.puts));
  counter("delete_total", "Total number of deletes seen by this member.", figure(writes.deletes));
  counter("txn_total", "Total number of txns seen by this member.",
          figure(writes.txns) + figure(call_metrics_->read_only_txns));
  const api::StoreFigures size = store_figures();
  auto gauge = [&](const char* name, const char* help, double value) {
    out.gauge(name, help, value);
  };
  gauge("etcd_mvcc_db_total_size_in_bytes",
        "Total size of the underlying database physically allocated in bytes.",
        static_cast<double>(size.bytes));
  gauge("etcd_mvcc_db_total_size_in_use_in_bytes",
        "Total size of the underlying database logically in use in bytes.",
        static_cast<double>(size.in_use));
  gauge("etcd_mvcc_db_open_read_transactions", "The number of currently open read transactions",
        static_cast<double>(store_->open_readers()));
  if (context_->authority != nullptr) {
    gauge("etcd_debugging_auth_revision", "The current revision of auth store.",
          static_cast<double>(context_->authority->revision()));
  }
  gauge("etcd_debugging_mvcc_current_revision", "The current revision of store.",
        static_cast<double>(revision()));
  gauge("etcd_debugging_mvcc_compact_revision", "The revision of the last compaction in store.",
        static_cast<double>(compacted_.load(std::memory_order_relaxed)));
  gauge("etcd_debugging_mvcc_keys_total", "Total number of keys.",
        static_cast<double>(writes.keys.load(std::memory_order_relaxed)));
  gauge("etcd_debugging_mvcc_total_put_size_in_bytes",
        "The total size of put kv pairs seen by this member.", figure(writes.put_bytes));
  out.histogram("etcd_mvcc_hash_duration_seconds",
                "The latency distribution of storage hash operation.",
                call_metrics_->hashes.figures(kNanosecondsPerSecond));
  out.histogram("etcd_mvcc_hash_rev_duration_seconds",
                "The latency distribution of storage hash by revision operation.",
                call_metrics_->revision_hashes.figures(kNanosecondsPerSecond));
}

void Server::show_compactions(Exposition& out) {
  const std::string prefix = "etcd_debugging_mvcc_db_compaction_";
  out.counter(prefix + "keys_total", "Total number of db keys compacted.",
              figure(counters_.compacted_versions));
  out.gauge(prefix + "last", "The unix time of the last db compaction. Resets to 0 on start.",
            static_cast<double>(counters_.last_compaction.load(std::memory_order_relaxed)));
  out.histogram(prefix + "pause_duration_milliseconds",
                "Bucketed histogram of db compaction pause duration.",
                counters_.compaction_batch_ms.figures(1));
  out.histogram(prefix + "total_duration_milliseconds",
                "Bucketed histogram of db compaction total duration.",
                counters_.compaction_ms.figures(1));
}

void Server::show_disk(Exposition& out) {
  out.histogram("etcd_disk_backend_commit_duration_seconds",
                "The latency distributions of commit called by backend.",
                store_->commit_times().figures(kNanosecondsPerSecond));
  out.histogram("etcd_disk_backend_defrag_duration_seconds",
                "The latency distribution of backend defragmentation.",
                counters_.reclaimed.figures(kNanosecondsPerSecond));
  out.gauge("etcd_disk_defrag_inflight",
            "Whether or not defrag is active on the member. 1 means active, 0 means not.",
            counters_.reclaims.load() > 0);
  out.histogram("etcd_disk_backend_snapshot_duration_seconds",
                "The latency distribution of backend snapshots.",
                call_metrics_->snapshots.figures(kNanosecondsPerSecond));
  out.histogram("etcd_snap_db_save_total_duration_seconds",
                "The total latency distributions of v3 snapshot save",
                counters_.snapshots_saved.figures(kNanosecondsPerSecond));
  if (auto size = store_->size(); size.ok()) {
    auto backend = [&](const char* name, const char* help, uint64_t value) {
      out.gauge(std::string("mortise_backend_") + name, help, static_cast<double>(value),
                {{"plugin", backend_name_}});
    };
    backend("disk_bytes", "Bytes that the backend's files take.", size->allocated_bytes);
    backend("in_use_bytes", "Of these, what reclaiming would not give back.", size->in_use_bytes);
    backend("memory_bytes", "Bytes that the backend keeps in memory.", size->memory_bytes);
  }
  uint64_t wal_segments = raft_->wal_counters().segments.load(std::memory_order_relaxed);
  out.gauge("mortise_wal_segments", "Files of the write-ahead log.",
            static_cast<double>(wal_segments));
}

void Server::show_known_peers(Exposition& out) {
  const std::string local = membership::hex_id(cluster_->local_id());
  for (const membership::Member& member : cluster_->members()) {
    out.gauge("etcd_network_known_peers", "The current number of known peers.", 1,
              {{"Local", local}, {"Remote", membership::hex_id(member.id)}});
  }
}

}  // namespace mortise::server
