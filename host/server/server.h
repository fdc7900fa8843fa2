// One member, from its configuration to serving and back: makes the parts, connects them, starts
// them in order and stops them in the reverse one.
//
// main() calls start(), waits for a signal, and calls stop(). What fails later than start() ends
// the process with a line in the log: a store or a log that failed cannot be trusted further, and
// nothing that was acknowledged depends on an orderly end.
#pragma once

#include <signal.h>

#include <atomic>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "host/api/context.h"
#include "host/api/service.h"
#include "host/apply/applier.h"
#include "host/auth/warrant.h"
#include "host/config/config.h"
#include "host/integrity/monitor.h"
#include "host/loader/host_services.h"
#include "host/loader/loader.h"
#include "host/lock/keeper.h"
#include "host/pages/pages.h"
#include "host/server/apply_loop.h"
#include "host/server/auto_compaction.h"
#include "host/server/bootstrap.h"
#include "host/server/catch_up.h"
#include "host/server/compaction.h"
#include "host/server/counters.h"
#include "host/server/data_dir.h"
#include "host/server/leadership.h"
#include "host/server/lease_forwarder.h"
#include "host/server/listener.h"
#include "host/server/log.h"
#include "host/server/peer_http.h"
#include "host/server/raft_node.h"
#include "host/server/read_rounds.h"
#include "host/server/snapshot_receiver.h"
#include "host/server/snapshot_sender.h"
#include "host/server/store_size.h"
#include "host/server/systemd.h"
#include "host/server/task_threads.h"
#include "host/server/version_monitor.h"
#include "host/tls/context.h"
#include "host/tls/relay.h"
#include "host/watch/hub.h"

namespace mortise::server {

// How long a request may take from being accepted to being applied: 5 s and two election timeouts.
std::chrono::milliseconds request_timeout(const config::Config& config);

// Ranges over much of the store, and hashes, that run at once.
constexpr size_t kLongReadThreads = 2;
// Questions to other members that wait for their answers.
constexpr size_t kInquiryThreads = 2;
// Reads that go on once they are known to be linearizable.
constexpr size_t kConfirmedReadThreads = 2;

// What an address of clients is for.
enum class Traffic : uint8_t { kGrpcAndHttp, kGrpc, kHttp, kMetrics };

constexpr int kRemovedSignal = SIGUSR1;

class Server : public api::Node {
 public:
  // `executable_dir` is where plugins are looked for, if the configuration does not say.
  Server(const config::Config& config, std::string executable_dir, Log* log);
  ~Server() override;

  // Returns when the member serves clients, or with the reason why it cannot.
  Status start();
  void stop();
  // Was this member removed from its cluster? kRemovedSignal then comes to the process.
  bool is_removed() const { return is_removed_; }

  // api::Node
  void propose(uint32_t field, std::string_view request, const wire::Author& author,
               std::unique_ptr<apply::Waiter> waiter) override;
  void propose_membership(raft::MembershipChange change,
                          std::unique_ptr<apply::Waiter> waiter) override;
  bool is_linearizable() const override;
  void when_linearizable(std::function<void(const RpcStatus&)> done) override;
  void move_leader(uint64_t to, std::function<void(const RpcStatus&)> done) override;
  bool is_learner() const override { return raft_->is_learner(); }
  void promote(uint64_t id, api::MembersDone done) override;
  std::optional<std::chrono::steady_clock::time_point> active_since(uint64_t id) const override {
    return peers_->active_since(id);
  }
  void when_caught_up(std::function<void(const RpcStatus&)> done) override;
  bool keeps_time() const override;
  void renew_at_leader(int64_t lease, api::RenewalDone done) override;
  void time_to_live_at_leader(
      int64_t lease, bool with_keys,
      std::function<void(const RpcStatus&, const std::string& body)> done) override;
  void when_compacted(int64_t revision, std::function<void(bool)> done) override;
  std::optional<mvcc::PastHash> past_hash(int64_t revision) const override {
    return compaction_->hashes().find(revision);
  }
  void reclaim(std::function<void(Status)> done) override;
  RpcStatus run_long(std::function<void()> task) override;
  bool between_commits(std::function<void()> task) override {
    return apply_loop_->run_between_commits(std::move(task));
  }
  bool run_snapshot(std::function<void()> task) override {
    return snapshots_.post(std::move(task)).ok();
  }
  int64_t revision() const override { return revision_.load(std::memory_order_acquire); }
  uint64_t term() const override { return raft_->term(); }
  uint64_t leader() const override { return raft_->leader(); }
  uint64_t committed_index() const override;
  uint64_t applied_index() const override { return applied_index_.load(std::memory_order_acquire); }
  int64_t new_lease_id() override;
  bool has_space(int64_t cost) override;
  void raise_no_space(std::function<void()> done) override;
  api::StoreFigures store_figures() override;
  rpc::ServerStream* open_watch(const rpc::ClientStream& client,
                                std::shared_ptr<auth::Warrant> warrant) override;
  void log(std::string_view level, std::string_view message,
           const std::vector<api::LogField>& fields, std::source_location where) override;

 private:
  struct Transport {
    std::unique_ptr<loader::HostObject> host;
    const mortise_transport_v1* table = nullptr;
    mortise_transport* handle = nullptr;
    std::string name;
    bool started = false;
    bool drained = false;
  };

  // startup.cc
  Status load_plugins();
  std::unique_ptr<loader::HostObject> host_object(const std::string& plugin_name);
  Status take_over();
  Status open_store();
  Status open_log();
  Result<Beginning> find_beginning();
  Result<Beginning> bootstrap();
  Status write_identity(const Beginning& beginning);
  std::vector<membership::Member> founders(const Beginning& beginning);
  Result<wal::Recovered> recover_log(const Beginning& beginning, uint64_t applied,
                                     uint64_t applied_term, std::unique_ptr<raft::MemoryLog>* log);
  RaftNodeOptions raft_options(const Beginning& beginning, uint64_t applied);
  Status make_raft(const Beginning& beginning);

  // consensus.cc
  void proposal_failed(std::unique_ptr<apply::Waiter> waiter, const RpcStatus& status);
  void proposals_dropped(const std::vector<uint64_t>& ids);
  void expire_proposals();
  RpcStatus timeout_reason(Leadership::Clock::time_point start) const;
  void make_read_rounds();
  void role_changed(const raft::SoftState& state, uint64_t term);
  void disk_stalled(uint64_t asked);
  void on_tick();
  void skip_first_ticks(Leadership::Clock::time_point now);
  void try_transfer_leadership();
  std::vector<uint64_t> voting_members() const;

  // members.cc
  RpcStatus propose_membership_and_wait(raft::MembershipChange change);
  void make_version_monitor();
  std::vector<std::optional<membership::Version>> server_versions();
  void set_cluster_version(const std::string& version);
  Status check_cluster_version() const;
  void removed(std::chrono::milliseconds delay);
  void removed_self();
  void leave_if_removed();
  Status stand_alone(raft::MemoryLog* log, uint64_t applied, const raft::ConfState& conf_state,
                     raft::HardState* hard_state);

  // promotion.cc
  RpcStatus check_learner_ready(uint64_t id);
  void ask_leader_to_promote(uint64_t id, const api::MembersDone& done);
  void serve_membership();

  // peers.cc
  peer::Hooks peer_hooks();
  void make_peers();
  void serve_peer_http();
  void follow_members();
  void forget_removed_remotes();
  void watch_heartbeats(const std::vector<raft::Message>& messages);
  void send_messages(std::vector<raft::Message> messages);
  void check_address(const membership::Member& member, const Status& status);
  void make_snapshot_sender();
  size_t active_peers() const;
  bool is_active_since(uint64_t id, Leadership::Clock::time_point start) const;
  bool is_quorum_active(Leadership::Clock::time_point start) const;
  std::optional<uint64_t> longest_active(const std::vector<uint64_t>& members) const;

  // wiring.cc
  Status make_hub();
  void make_keeper();
  void answering(bool begin);
  void log_slow_apply(const wire::RaftRequest& request, const apply::ApplyResult* result,
                      std::chrono::nanoseconds took);
  apply::Hooks apply_hooks();
  Status make_apply();
  void make_compaction();
  void start_auto_compaction();
  Status make_api();

  // metrics.cc
  void show_metrics(loader::Exposition& out);
  void show_identity(loader::Exposition& out);
  void show_consensus(loader::Exposition& out);
  void show_mvcc(loader::Exposition& out);
  void show_compactions(loader::Exposition& out);
  void show_disk(loader::Exposition& out);
  void show_known_peers(loader::Exposition& out);

  // pages.cc
  pages::Versions versions() const;
  pages::Source page_source();
  std::string page_variables();
  std::string page_info();
  RpcStatus set_log_level(std::string_view name);

  // listening.cc
  Status make_tls();
  std::string local_address() const;
  Status make_self_signed(config::TlsOptions* tls, const char* folder,
                          const std::vector<config::Url>& urls);
  tls::LogHook tls_log();
  tls::Relay::Refused refusal_log();
  Status bind_listeners();
  Status listen_for_peers();
  Status listen_for_clients(const std::vector<config::Url>& urls, Traffic traffic);
  void check_peer(const tls::Identity& identity, const std::string& remote,
                  std::function<void(Status)> then);
  std::optional<api::KnownCaller> caller_behind(std::string_view remote) const;
  void warn_of_plain_urls() const;
  void rejected(const char* message, const Rejected& rejected) const;
  void adopt(Accepted accepted, Traffic traffic);
  void log_serving() const;

  // start_lines.cc
  void log_begin() const;
  Fields member_fields(bool is_new) const;
  Fields listen_fields() const;
  Fields advertised_fields() const;
  void log_start(bool is_new) const;
  void log_quota() const;
  void log_started() const;
  void log_role(const raft::SoftState& before, const raft::SoftState& now, uint64_t term) const;
  Status reclaim_at_start();

  // init_daemon.cc
  void tell_ready();
  void tell_stopping();
  bool makes_progress(std::chrono::nanoseconds silence_max);

  void publish_and_serve();
  bool publish();
  void stop_publishing();
  RpcStatus propose_and_wait(uint32_t field, std::string_view request);
  Status serve();

  // authentication.cc
  Status load_auth_plugin(const std::vector<std::string>& dirs);
  Status make_authority();
  wire::Author root_author() const;
  void auth_changed(const std::vector<std::string>& users);

  // state_transfer.cc
  void make_state_transfer();
  void install_snapshot(raft::SnapshotRef snapshot);
  Status switch_store(const raft::SnapshotRef& snapshot);
  void reap_stores();

  // leases.cc
  void make_lease_work();
  void serve_peer_leases();
  void expire_leases();
  void checkpoint_leases();

  // corruption.cc
  Result<integrity::LocalHash> hash_at(int64_t revision);
  std::vector<integrity::Peer> other_members() const;
  void raise_corrupt(uint64_t member_id);
  void make_integrity();
  void serve_peer_hashes();
  Status check_integrity_at_start();
  void stand_back_if_corrupt();

  // chores.cc
  void chores_loop();
  void watch_leader(apply::WaitList::Clock::time_point now);
  void refresh_store_size();
  void maybe_release_log();

  Result<uint64_t> sync_store();
  uint64_t next_request_id() { return next_request_id_.fetch_add(1, std::memory_order_relaxed); }
  void fail(std::string_view what, const Status& status);
  void begin_drain();
  void wait_for_drain();
  void fail_waiters();  // With kStopped.

  const config::Config config_;
  const std::string executable_dir_;
  Log* const log_;

  std::optional<DataDir> data_dir_;
  std::unique_ptr<loader::MetricsRegistry> metrics_;
  ServerCounters counters_;
  const std::unique_ptr<api::CallMetrics> call_metrics_;
  std::mutex versions_seen_mutex_;
  std::set<std::string> versions_seen_;  // Of the cluster, by scrapes.
  std::unique_ptr<loader::Executor> executor_;
  std::unique_ptr<loader::HostObject> backend_host_;
  std::unique_ptr<loader::HostObject> watch_host_;
  const mortise_backend_v1* backend_table_ = nullptr;
  std::string backend_name_;
  const mortise_watch_v1* watch_table_ = nullptr;
  std::unique_ptr<loader::HostObject> auth_host_;
  const mortise_auth_v1* auth_table_ = nullptr;  // Null: no authentication is served.
  std::vector<Transport> transports_;
  std::vector<const loader::Plugin*> plugins_;  // All that are loaded.
  const std::chrono::system_clock::time_point made_at_ = std::chrono::system_clock::now();
  std::atomic<bool> transports_serve_{false};  // All of them, from here on.

  std::unique_ptr<store::Store> store_;
  std::unique_ptr<auth::Authority> authority_;
  std::unique_ptr<lease::Lessor> lessor_;
  std::unique_ptr<membership::Cluster> cluster_;
  // Of the cluster that it joins, known from elsewhere. The starter's, then the apply thread's.
  std::vector<membership::Member> remotes_;
  apply::Alarms alarms_;
  apply::WaitList waiters_;
  std::unique_ptr<watch::Hub> hub_;
  std::unique_ptr<lock::Keeper> keeper_;
  std::unique_ptr<apply::Applier> applier_;
  std::unique_ptr<wal::Wal> wal_;
  std::unique_ptr<RaftNode> raft_;
  std::unique_ptr<ApplyLoop> apply_loop_;
  std::unique_ptr<CompactionRunner> compaction_;
  std::unique_ptr<AutoCompactor> auto_compactor_;
  std::unique_ptr<SnapshotReceiver> snapshot_receiver_;
  std::unique_ptr<SnapshotSender> snapshot_sender_;
  std::unique_ptr<api::Context> context_;
  std::unique_ptr<api::Service> service_;
  std::unique_ptr<pages::Pages> pages_;
  std::unique_ptr<peer::HttpClient> peer_client_;  // Before those that ask with it.
  std::unique_ptr<CatchUp> catch_up_;
  std::unique_ptr<LeaseForwarder> lease_forwarder_;
  std::unique_ptr<integrity::Monitor> integrity_;
  PeerHttp peer_http_;
  std::unique_ptr<peer::Transport> peers_;
  Listeners peer_listeners_;
  Listeners listeners_;
  // After the listeners, whose connections they hold. Null if there is no TLS on that side.
  std::unique_ptr<tls::Relay> client_relay_;
  std::unique_ptr<tls::Relay> peer_relay_;
  config::TlsOptions client_tls_;  // With the certificate that was made, if one was.
  config::TlsOptions peer_tls_;
  tls::Dialer peer_dialer_;
  std::optional<TaskThreads> name_checks_;  // They wait for the DNS.
  Leadership leadership_;
  std::mutex heartbeats_mutex_;
  std::map<uint64_t, Leadership::Clock::time_point> heartbeats_sent_;  // By receiver.
  std::unique_ptr<ReadRounds> read_rounds_;
  TaskThreads confirmed_reads_{kConfirmedReadThreads};
  TaskThreads long_reads_{kLongReadThreads};
  TaskThreads maintenance_;
  std::unique_ptr<Inquiry> inquiry_;
  TaskThreads inquiries_{kInquiryThreads};
  std::unique_ptr<VersionMonitor> version_monitor_;
  TaskThreads snapshots_;

  std::atomic<int64_t> revision_{mvcc::kFirstRevision};
  std::atomic<int64_t> compacted_{mvcc::kNeverCompacted};  // For metrics.
  std::atomic<uint64_t> applied_index_{0};
  std::atomic<uint64_t> next_request_id_{0};
  StoreSize store_size_;
  std::mutex no_space_mutex_;
  std::vector<std::function<void()>> no_space_waiters_;  // Guarded by it. Some: it is proposed.
  std::atomic<bool> logs_all_calls_{false};
  std::atomic<bool> releasing_log_{false};
  std::atomic<bool> reaping_stores_{false};
  std::atomic<bool> is_removed_{false};
  std::atomic<uint32_t> open_snapshots_{0};
  std::atomic<Leadership::Clock::rep> last_tick_{0};
  apply::WaitList::Clock::time_point leader_seen_;  // The chores thread's, as what follows.
  bool standing_back_ = false;
  uint64_t released_at_index_ = 0;
  uint64_t released_at_log_bytes_ = 0;
  bool first_ticks_skipped_ = false;  // The raft thread's.
  raft::SoftState shown_state_;       // Whoever is at the raft core.
  // The apply thread was asked for a sign of life and has not given it.
  std::shared_ptr<std::atomic<bool>> apply_asked_ = std::make_shared<std::atomic<bool>>(false);
  std::unique_ptr<Watchdog> watchdog_;
  Leadership::Clock::time_point first_tick_at_;
  std::thread publisher_;
  std::atomic<bool> published_{false};
  std::atomic<bool> shutting_down_{false};

  std::mutex chores_mutex_;
  std::condition_variable chores_wake_;  // Also: drained transports.
  bool stopping_ = false;
  std::optional<std::chrono::steady_clock::time_point> leaves_at_;  // It was removed.
  std::thread chores_;
};

}  // namespace mortise::server
