// The server's configuration: from arguments, environment and a configuration file to one plain
// struct.
//
// Called once by host/server at start. parse() touches nothing but its arguments: it neither logs
// nor reads globals; what is to be logged, printed and returned to the shell comes back in the
// outcome (process.h has the real arguments, environment and files). Errors are in the outcome,
// with etcd's texts where etcd has one. Everything here is a value; no thread is involved.
//
// An option that has no effect in this version is never ignored: any value but its default makes
// the outcome an error that names the option and the reason.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "host/base/status.h"
#include "host/config/tls_options.h"
#include "host/config/url.h"
#include "host/config/url_match.h"

namespace mortise::config {

inline constexpr std::string_view kEtcdVersion = "3.7.1";
inline constexpr std::string_view kMortiseVersion = "0.1.0";

struct PluginSpec {
  std::string name_or_path;         // Never empty. A path if it contains a '/'.
  std::string options_json = "{}";  // A JSON object.
};

// Where a new cluster's members find each other instead of in --initial-cluster.
struct Discovery {
  std::string token;
  std::vector<std::string> endpoints;  // Empty: no such service is asked.
  std::chrono::nanoseconds dial_timeout{};
  std::chrono::nanoseconds request_timeout{};
  std::string user;
  std::string password;
  std::string auth_token;
  bool has_tls = false;  // Endpoints without a scheme are asked over TLS.
  TlsOptions tls;
  std::string server_name;  // That a certificate must have; empty: the endpoint's host.
  std::string srv_domain;   // Empty: the DNS is not asked.
  std::string srv_name;
  std::string dns_server;  // Empty: the system's.
};

// What --log-rotation-config-json says.
struct LogRotation {
  uint64_t max_megabytes = 100;
  uint64_t max_days = 0;     // 0: any age.
  uint64_t max_backups = 0;  // 0: any number.
  bool local_time = false;
  bool compress = false;
};

struct Config {
  // Member
  std::string name;
  std::string data_dir;  // Never empty.
  std::string wal_dir;   // Empty: in the data directory.
  uint64_t snapshot_count = 0;
  uint64_t snapshot_catchup_entries = 0;
  uint64_t max_snapshots = 0;
  uint64_t max_wals = 0;
  std::chrono::milliseconds heartbeat_interval{};
  std::chrono::milliseconds election_timeout{};
  uint64_t election_ticks = 0;  // election_timeout / heartbeat_interval, at least 5.
  bool initial_election_tick_advance = true;
  bool pre_vote = true;
  std::vector<Url> listen_peer_urls;
  std::vector<Url> listen_client_urls;
  std::vector<Url> listen_client_http_urls;  // If any: the ones above serve gRPC only.
  std::vector<Url> listen_metrics_urls;
  bool socket_reuse_port = false;
  bool socket_reuse_address = false;
  std::chrono::nanoseconds raft_read_timeout{};
  std::chrono::nanoseconds raft_write_timeout{};

  // TLS
  TlsOptions client_tls;
  TlsOptions peer_tls;
  uint64_t self_signed_cert_validity = 1;  // Years.

  // Limits
  int64_t quota_backend_bytes = 0;  // As given; see effective_quota_bytes().
  uint64_t max_txn_ops = 0;
  uint64_t max_request_bytes = 0;
  uint32_t max_concurrent_streams = 0;
  std::chrono::nanoseconds grpc_keepalive_min_time{};
  std::chrono::nanoseconds grpc_keepalive_interval{};  // 0: no pings.
  std::chrono::nanoseconds grpc_keepalive_timeout{};   // 0: no limit.
  int64_t max_learners = 0;

  // Cluster
  std::vector<Url> initial_advertise_peer_urls;
  std::vector<Url> advertise_client_urls;
  std::string initial_cluster;  // name=url,...; see founding_members().
  std::string initial_cluster_state;
  std::string initial_cluster_token;
  Discovery discovery;
  bool strict_reconfig_check = true;
  bool force_new_cluster = false;
  std::chrono::nanoseconds downgrade_check_time{};  // 0: downgrades are ended by request only.

  // Monitoring
  std::string metrics;  // basic or extensive

  // Logging
  std::string logger;
  std::string log_level;   // debug, info, warn, error, dpanic, panic or fatal
  std::string log_format;  // json or console
  // "default" or "systemd/journal" alone, or "stderr", "stdout" and file paths.
  std::vector<std::string> log_outputs;
  std::optional<LogRotation> log_rotation;  // Of the one file among them.
  std::chrono::nanoseconds warning_apply_duration{};
  std::chrono::nanoseconds warning_unary_request_duration{};

  // Tuning; zero values are already replaced by what they stand for.
  uint64_t compaction_batch_limit = 0;
  std::chrono::nanoseconds compaction_sleep_interval{};
  // Comparisons between members; 0: never.
  std::chrono::nanoseconds corrupt_check_time{};
  std::chrono::nanoseconds compact_hash_check_time{};
  std::chrono::nanoseconds apply_hash_check_time{};
  std::chrono::nanoseconds watch_progress_notify_interval{};
  std::map<std::string, bool> feature_gates;  // Every gate with its value.
  bool enable_grpc_gateway = true;
  bool unsafe_no_fsync = false;
  bool memory_mlock = false;
  uint64_t bootstrap_defrag_threshold_bytes = 0;  // 0: nothing is defragmented at start.

  std::string auto_compaction_mode;  // periodic or revision
  // History to keep: nanoseconds or revisions, as the mode says. 0: nothing is compacted by itself.
  int64_t auto_compaction_retention = 0;
  std::string v2_deprecation;  // As given, for the log line of the start.

  // Authentication
  std::string auth_token;         // "simple" or "jwt,sign-method=...": the plugin's to read.
  uint64_t auth_token_ttl = 0;    // Seconds.
  uint64_t bcrypt_cost = 0;       // As given; see effective_bcrypt_cost().
  bool client_cert_auth = false;  // Certificates name users.

  // Plugins
  PluginSpec backend;
  PluginSpec watch;
  std::vector<PluginSpec> transports;  // Never empty.
  PluginSpec auth;                     // "none": authentication cannot be enabled.
  std::string plugin_dir;              // Empty: see plugin_search_path().

  // 0 stands for 2 GiB; a negative value for none, which is INT64_MAX here.
  int64_t effective_quota_bytes() const;
  // bcrypt's default if the one given is none that bcrypt has.
  uint64_t effective_bcrypt_cost() const;
};

// "ALPHA" or "BETA", as etcd tells it of one of its gates.
std::string_view feature_gate_stage(std::string_view name);

using LogValue = std::variant<std::string, int64_t, bool, std::vector<std::string>>;

struct LogField {
  std::string name;
  LogValue value;
};

struct LogLine {
  std::string level;  // "info", "warn" or "fatal"
  std::string msg;
  std::vector<LogField> fields;
};

enum class Action : uint8_t { kRun, kPrintVersion, kPrintHelp, kError };

// What the caller does with it, in this order: log `logs` (at their level, in the format of
// `config`), write the two texts, then run or exit with `exit_code`.
struct ParseOutcome {
  Action action = Action::kError;
  int exit_code = 0;
  std::string stdout_text;
  std::string stderr_text;
  std::vector<LogLine> logs;
  // Variables to remove from the process's environment.
  std::vector<std::string> unset_variables;
  // Complete for kRun. For kError only the logging fields are usable; they hold the defaults if the
  // user's could not be read.
  Config config;
};

struct ParseInput {
  // argv with the program's name first.
  std::span<const std::string> arguments;
  std::map<std::string, std::string> environment;
  // The content of a file; the message of an error is shown to the user.
  std::function<Result<std::string>(const std::string& path)> read_file;
  // The machine's address on its default route; stands in for a localhost that is advertised by
  // default while 0.0.0.0 is listened on. May be empty.
  std::function<Result<std::string>()> default_host;
};

ParseOutcome parse(const ParseInput& input);

// A member as --initial-cluster names it; its URLs are sorted.
struct InitialMember {
  std::string name;
  std::vector<Url> urls;
};

// What --initial-cluster means, by name.
Result<std::vector<InitialMember>> initial_members(const std::string& initial_cluster);
// Whether a URL is in there twice.
bool has_duplicate_url(const std::vector<InitialMember>& members);
// The other way round.
std::string initial_cluster_text(const std::vector<InitialMember>& members);

// The members of a new cluster, by name. What etcd checks before it makes one, and only then, since
// a member that has data ignores these options: --initial-cluster is well-formed, has no URL twice,
// names this member and fits --initial-advertise-peer-urls.
Result<std::vector<InitialMember>> founding_members(const Config& config,
                                                    const ResolveHost& resolve);
// The same for a member that joins a cluster, which knows the member's URLs already.
Result<std::vector<InitialMember>> members_to_join(const Config& config);

// Where to look for a plugin that is given by name, in order.
std::vector<std::string> plugin_search_path(const Config& config,
                                            const std::string& executable_dir);

// `git_sha` may be empty.
std::string version_text(std::string_view git_sha);
std::string usage_text();
std::string help_text();
// The tables of docs/configuration.md.
std::string options_markdown();

}  // namespace mortise::config
