#include "host/config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/config/options.h"
#include "host/config/secrets.h"
#include "host/config/test_support.h"

namespace mortise::config {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::StartsWith;
using Strings = std::vector<std::string>;

// --- syntax of flags ---

TEST(Flags, Forms) {
  const std::vector<Strings> kForms = {
      {"--name=m1"}, {"-name=m1"}, {"--name", "m1"}, {"-name", "m1"}, {"--name=x", "-name", "m1"}};
  for (const Strings& form : kForms) {
    const ParseOutcome outcome = run(form);
    ASSERT_EQ(outcome.action, Action::kRun) << form.front();
    EXPECT_EQ(outcome.config.name, "m1");
  }
  EXPECT_EQ(run({"--name=a=b"}).config.name, "a=b");
  // The next argument is the value, whatever it looks like.
  EXPECT_EQ(run({"--data-dir", "--name"}).config.data_dir, "--name");
}

TEST(Flags, Booleans) {
  EXPECT_TRUE(run({"--socket-reuse-port"}).config.socket_reuse_port);
  EXPECT_TRUE(run({"--socket-reuse-port=T"}).config.socket_reuse_port);
  EXPECT_FALSE(run({"--pre-vote=0"}).config.pre_vote);
  const ParseOutcome outcome = run({"--socket-reuse-port", "true"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_EQ(verify_error(outcome), "\"true\" is not a valid flag");
}

TEST(Flags, SyntaxErrors) {
  const struct {
    Strings flags;
    const char* error;
  } kTests[] = {
      {{"--nope"}, "flag provided but not defined: -nope"},
      {{"--nope=1"}, "flag provided but not defined: -nope"},
      {{"--experimental-initial-corrupt-check"},
       "flag provided but not defined: -experimental-initial-corrupt-check"},
      {{"--discovery=x"}, "flag provided but not defined: -discovery"},
      {{"--enable-v2"}, "flag provided but not defined: -enable-v2"},
      {{"--client-transport-security.allowed-cn=x"},
       "flag provided but not defined: -client-transport-security.allowed-cn"},
      {{"---name"}, "bad flag syntax: ---name"},
      {{"--=x"}, "bad flag syntax: --=x"},
      {{"-=x"}, "bad flag syntax: -=x"},
      {{"--name"}, "flag needs an argument: -name"},
      {{"--snapshot-count=abc"}, "invalid value \"abc\" for flag -snapshot-count: parse error"},
      {{"--snapshot-count", "-1"}, "invalid value \"-1\" for flag -snapshot-count: parse error"},
      {{"--snapshot-count=18446744073709551616"},
       "invalid value \"18446744073709551616\" for flag -snapshot-count: value out of range"},
      {{"--pre-vote=maybe"}, "invalid boolean value \"maybe\" for -pre-vote: parse error"},
      {{"--grpc-keepalive-interval=5"},
       "invalid value \"5\" for flag -grpc-keepalive-interval: parse error"},
      {{"--max-concurrent-streams=abc"},
       "invalid value \"abc\" for flag -max-concurrent-streams: strconv.ParseUint: parsing "
       "\"abc\": "
       "invalid syntax"},
      {{"--max-concurrent-streams=4294967296"},
       "invalid value \"4294967296\" for flag -max-concurrent-streams: strconv.ParseUint: parsing "
       "\"4294967296\": value out of range"},
      {{"--listen-client-urls=localhost"},
       "invalid value \"localhost\" for flag -listen-client-urls: URL scheme must be http, https, "
       "unix, "
       "or unixs: localhost"},
      {{"--listen-peer-urls=http://h"},
       "invalid value \"http://h\" for flag -listen-peer-urls: URL address does not have the form "
       "\"host:port\": http://h"},
      {{"--initial-cluster-state=old"},
       "invalid value \"old\" for flag -initial-cluster-state: invalid value"},
      {{"--discovery-fallback=x"},
       "invalid value \"x\" for flag -discovery-fallback: invalid value"},
      {{"--v2-deprecation=not-yet"},
       "invalid value \"not-yet\" for flag -v2-deprecation: invalid value \"not-yet\""},
      {{"--feature-gates=Nope=true"},
       "invalid value \"Nope=true\" for flag -feature-gates: unrecognized feature gate: Nope"},
      {{"--feature-gates=AllBeta"},
       "invalid value \"AllBeta\" for flag -feature-gates: missing bool value for AllBeta"},
      {{"--feature-gates=AllBeta=x"},
       "invalid value \"AllBeta=x\" for flag -feature-gates: invalid value of AllBeta=x, err: "
       "strconv.ParseBool: parsing \"x\": invalid syntax"},
      {{"--backend-options=x"},
       "invalid value \"x\" for flag -backend-options: expected key=value, found \"x\""},
      {{"--backend-options={"},
       "invalid value \"{\" for flag -backend-options: not a JSON object: {"},
  };
  for (const auto& test : kTests) {
    const ParseOutcome outcome = run(test.flags);
    EXPECT_EQ(outcome.action, Action::kError) << test.error;
    EXPECT_EQ(outcome.exit_code, 2) << test.error;
    EXPECT_THAT(outcome.stderr_text, StartsWith(std::string(test.error) + "\nUsage:\n"));
    EXPECT_TRUE(outcome.logs.empty()) << test.error;
  }
}

TEST(Flags, PositionalArguments) {
  for (const Strings& flags : {Strings{"foo"}, {"--name=a", "foo"}, {"--", "foo"}}) {
    const ParseOutcome outcome = run(flags);
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_EQ(verify_error(outcome), "\"foo\" is not a valid flag");
  }
  EXPECT_EQ(verify_error(run({"-"})), "\"-\" is not a valid flag");
  EXPECT_EQ(run({"--"}).action, Action::kRun);
  for (const char* command : {"gateway", "grpc-proxy"}) {
    const ParseOutcome outcome = run({command, "start"});
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_EQ(outcome.stderr_text,
              std::string(command) + " is not supported yet in this version\n");
  }
}

TEST(Flags, VersionAndHelp) {
  const ParseOutcome version = run({"--version"}, {{"ETCD_NAME", "x"}});
  EXPECT_EQ(version.action, Action::kPrintVersion);
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_TRUE(version.logs.empty());
  for (const char* flag : {"-h", "--help", "-help"}) {
    const ParseOutcome help = run({flag});
    EXPECT_EQ(help.action, Action::kPrintHelp);
    EXPECT_EQ(help.exit_code, 0);
    EXPECT_THAT(help.stdout_text, HasSubstr("--listen-client-urls 'http://localhost:2379'"));
    EXPECT_THAT(help.stdout_text, HasSubstr("--backend 'rocksdb'"));
    EXPECT_THAT(help.stderr_text, StartsWith("Usage:\n"));
  }
}

TEST(Flags, LegacyFlagsAreIgnored) {
  for (const char* flag : {"cluster-active-size", "cluster-remove-delay", "cluster-sync-interval",
                           "config", "force", "max-result-buffer", "max-retry-attempts",
                           "peer-heartbeat-interval", "peer-election-timeout", "retry-interval",
                           "snapshot", "v", "vv", "test.coverprofile", "test.outputdir"}) {
    EXPECT_EQ(run({"-" + std::string(flag)}).action, Action::kRun) << flag;
    EXPECT_EQ(run({"-" + std::string(flag) + "=9"}).action, Action::kRun) << flag;
  }
}

// --- defaults ---

TEST(Defaults, TableHasContractDefaults) {
  const std::map<std::string, std::string> kExpected = {
#include "host/config/testdata/contract_defaults.inc"
  };
  std::map<std::string, std::string> actual;
  for (const Option& option : options()) {
    if (option.ours || option.group == Group::kIgnored || option.group == Group::kFileOnly)
      continue;
    actual[std::string(option.name)] = option.default_text;
  }
  EXPECT_EQ(actual, kExpected);
}

TEST(Defaults, Config) {
  const ParseOutcome outcome = run({});
  ASSERT_EQ(outcome.action, Action::kRun);
  const Config& config = outcome.config;
  EXPECT_EQ(config.name, "default");
  EXPECT_EQ(config.data_dir, "default.etcd");
  EXPECT_EQ(config.snapshot_count, 10000u);
  EXPECT_EQ(config.heartbeat_interval, milliseconds(100));
  EXPECT_EQ(config.election_timeout, milliseconds(1000));
  EXPECT_EQ(config.election_ticks, 10u);
  EXPECT_EQ(url_texts(config.listen_peer_urls), Strings{"http://localhost:2380"});
  EXPECT_EQ(url_texts(config.listen_client_urls), Strings{"http://localhost:2379"});
  EXPECT_EQ(config.effective_quota_bytes(), int64_t{2} << 30);
  EXPECT_EQ(config.max_concurrent_streams, 4294967295u);
  EXPECT_EQ(config.grpc_keepalive_interval, seconds(7200));
  EXPECT_EQ(config.initial_cluster, "default=http://localhost:2380");
  EXPECT_EQ(config.log_outputs, Strings{"default"});
  EXPECT_EQ(config.warning_unary_request_duration, milliseconds(300));
  EXPECT_EQ(config.compaction_batch_limit, 1000u);
  EXPECT_EQ(config.compaction_sleep_interval, milliseconds(10));
  EXPECT_EQ(config.watch_progress_notify_interval, seconds(600));
  EXPECT_EQ(config.snapshot_catchup_entries, 5000u);
  EXPECT_TRUE(config.feature_gates.at("FastLeaseKeepAlive"));
  EXPECT_TRUE(config.feature_gates.at("InitialCorruptCheck"));
  EXPECT_TRUE(config.feature_gates.at("CompactHashCheck"));
  EXPECT_EQ(config.corrupt_check_time, seconds(4 * 3600));
  EXPECT_EQ(config.compact_hash_check_time, seconds(60));
  EXPECT_EQ(config.apply_hash_check_time, seconds(1));
  EXPECT_EQ(config.backend.name_or_path, "rocksdb");
  EXPECT_EQ(config.backend.options_json, "{}");
  EXPECT_EQ(config.watch.name_or_path, "interval");
  EXPECT_EQ(config.auth.name_or_path, "rbac");
  ASSERT_EQ(config.transports.size(), 2u);
  EXPECT_EQ(config.transports[0].name_or_path, "grpc");
  EXPECT_EQ(config.transports[0].options_json, "{}");
  EXPECT_EQ(config.transports[1].name_or_path, "http");
  EXPECT_EQ(config.transports[1].options_json,
            R"({"cors":"*","gateway":true,"host_whitelist":"*"})");
  EXPECT_EQ(plugin_search_path(config, "/usr/bin"),
            (Strings{"/usr/bin/../plugins", "/usr/bin/../lib/mortise/plugins"}));
  EXPECT_EQ(field(find_line(outcome, "'data-dir' was empty; using default"), "data-dir"),
            "default.etcd");
  EXPECT_NE(find_line(outcome, "Running: "), nullptr);
  EXPECT_TRUE(founding_members(config, nullptr).ok());
}

TEST(Defaults, EveryDefaultGivenExplicitlyIsAccepted) {
  Strings flags;
  for (const Option& option : options()) {
    const bool list = option.kind == Kind::kSet || option.kind == Kind::kList;
    if (!is_flag(option) || option.group == Group::kIgnored ||
        (list && option.default_text.empty())) {
      continue;
    }
    flags.push_back("--" + std::string(option.name) + "=" + std::string(option.default_text));
  }
  EXPECT_EQ(verify_error(run(flags)), "");
  EXPECT_EQ(run(flags).action, Action::kRun);
}

TEST(Defaults, DerivedFromOthers) {
  EXPECT_EQ(run({"--name=m1"}).config.initial_cluster, "m1=http://localhost:2380");
  EXPECT_EQ(run({"--name=m1"}).config.data_dir, "m1.etcd");
  EXPECT_EQ(run({"--name=m1", "--initial-advertise-peer-urls=http://b:1,http://a:1"})
                .config.initial_cluster,
            "m1=http://a:1,m1=http://b:1");
  EXPECT_EQ(run({"--name=m1", "--initial-cluster=x=http://h:1"}).config.initial_cluster,
            "x=http://h:1");
  EXPECT_EQ(run({"--heartbeat-interval=50", "--election-timeout=525"}).config.election_ticks, 10u);
  EXPECT_EQ(run({"--quota-backend-bytes=-1"}).config.effective_quota_bytes(), INT64_MAX);
  EXPECT_EQ(run({"--quota-backend-bytes=99999999999"}).config.effective_quota_bytes(), 99999999999);
  EXPECT_EQ(run({"--warning-unary-request-duration=0s"}).config.warning_unary_request_duration,
            milliseconds(300));
  EXPECT_EQ(
      run({"--warning-unary-request-duration=1\u00b5s"}).config.warning_unary_request_duration,
      std::chrono::microseconds(1));
  EXPECT_EQ(run({"--plugin-dir=/p"}).config.plugin_dir, "/p");
}

TEST(Defaults, AdvertisedHost) {
  const Strings flags = {"--name=m1", "--listen-peer-urls=http://0.0.0.0:9380",
                         "--listen-client-urls=http://0.0.0.0:9379",
                         "--advertise-client-urls=http://localhost:2379"};
  const ParseOutcome found = run(flags, {}, {}, "10.9.8.7");
  EXPECT_EQ(url_texts(found.config.initial_advertise_peer_urls), Strings{"http://10.9.8.7:9380"});
  EXPECT_EQ(url_texts(found.config.advertise_client_urls), Strings{"http://10.9.8.7:9379"});
  EXPECT_EQ(found.config.initial_cluster, "m1=http://10.9.8.7:9380");
  EXPECT_EQ(field(find_line(found, "detected default host for advertise"), "host"), "10.9.8.7");
  const ParseOutcome unused = run({}, {}, {}, "10.9.8.7");
  EXPECT_EQ(url_texts(unused.config.advertise_client_urls), Strings{"http://localhost:2379"});
  EXPECT_EQ(find_line(unused, "detected default host for advertise"), nullptr);
  const ParseOutcome missing = run(flags);
  EXPECT_EQ(url_texts(missing.config.advertise_client_urls), Strings{"http://localhost:2379"});
  EXPECT_EQ(field(find_line(missing, "failed to detect default host"), "error"),
            "could not find default route");
}

// --- environment ---

TEST(Environment, SetsOptions) {
  const ParseOutcome outcome =
      run({"--data-dir=/d"}, {{"ETCD_NAME", "env"}, {"ETCD_PRE_VOTE", "false"}, {"PATH", "/bin"}});
  ASSERT_EQ(outcome.action, Action::kRun);
  EXPECT_EQ(outcome.config.name, "env");
  EXPECT_FALSE(outcome.config.pre_vote);
  const LogLine* line = find_line(outcome, "recognized and used environment variable");
  EXPECT_EQ(field(line, "variable-name"), "ETCD_NAME");
  EXPECT_EQ(field(line, "variable-value"), "env");
  EXPECT_EQ(find_line(outcome, "unrecognized environment variable"), nullptr);
}

TEST(Environment, PasswordsAreNotLogged) {
  const ParseOutcome outcome =
      run({"--data-dir=/d", "--discovery-user", "bob:hush", "--auth-token=jwt,priv-key=hush"},
          {{"ETCD_DISCOVERY_PASSWORD", "hush"}, {"ETCD_ROOT_PASSWORD", "hush"}});
  std::string all;
  for (const LogLine& line : outcome.logs) {
    for (const LogField& f : line.fields) {
      if (const auto* text = std::get_if<std::string>(&f.value)) all += *text + "\n";
      const auto* list = std::get_if<std::vector<std::string>>(&f.value);
      if (list == nullptr) continue;
      for (const std::string& text : *list) all += text + "\n";
    }
  }
  EXPECT_EQ(all.find("hush"), std::string::npos) << all;
  EXPECT_NE(all.find("ETCD_DISCOVERY_PASSWORD"), std::string::npos);
  EXPECT_NE(all.find("ETCD_ROOT_PASSWORD=..."), std::string::npos);
}

TEST(Secrets, OfACommandLine) {
  const std::vector<std::string> given = {"mortised",
                                          "--name",
                                          "a",
                                          "-discovery-password",
                                          "-hush",
                                          "--discovery-password=hush",
                                          "--discovery-user=bob",
                                          "--discovery-user=bob:hush",
                                          "--auth-token",
                                          "simple",
                                          "--pre-vote",
                                          "--auth-token",
                                          "jwt,pub-key=hush"};
  EXPECT_EQ(without_secrets(given),
            (std::vector<std::string>{"mortised", "--name", "a", "-discovery-password", "...",
                                      "--discovery-password=...", "--discovery-user=bob",
                                      "--discovery-user=bob:...", "--auth-token", "simple",
                                      "--pre-vote", "--auth-token", "jwt,..."}));
}

TEST(Environment, ConflictIsFatal) {
  for (const char* value : {"env", "flag", ""}) {
    const ParseOutcome outcome = run({"--name=flag"}, {{"ETCD_NAME", value}});
    EXPECT_EQ(outcome.action, Action::kError);
    EXPECT_EQ(outcome.exit_code, 1);
    ASSERT_FALSE(outcome.logs.empty());
    const LogLine& line = outcome.logs.back();
    EXPECT_EQ(line.level, "fatal");
    EXPECT_EQ(line.msg,
              "conflicting environment variable is shadowed by corresponding command-line flag "
              "(either unset "
              "environment variable or disable flag))");
    EXPECT_EQ(field(&line, "environment-variable"), "ETCD_NAME");
  }
  const ParseOutcome ours = run({"--backend=lmdb"}, {{"MORTISE_BACKEND", "rocksdb"}});
  EXPECT_EQ(ours.logs.back().level, "fatal");
}

TEST(Environment, UnknownVariablesAreWarnedAbout) {
  const ParseOutcome outcome = run({}, {{"ETCD_NOPE", "1"}});
  EXPECT_EQ(outcome.action, Action::kRun);
  const LogLine* line = find_line(outcome, "unrecognized environment variable");
  EXPECT_EQ(field(line, "environment-variable"), "ETCD_NOPE=1");
  EXPECT_EQ(line->level, "warn");
  EXPECT_EQ(run({}, {{"ETCD_UNSUPPORTED_ARCH", "arm64"}, {"ETCD_VERIFY", "all"}}).action,
            Action::kRun);
}

TEST(Environment, VersionVariableIsUnset) {
  const ParseOutcome outcome = run({}, {{"ETCD_VERSION", "v3"}});
  EXPECT_EQ(outcome.action, Action::kRun);
  EXPECT_EQ(outcome.unset_variables, Strings{"ETCD_VERSION"});
  EXPECT_EQ(field(find_line(outcome, "cannot set special environment variable"), "value"), "v3");
  EXPECT_EQ(find_line(outcome, "unrecognized environment variable"), nullptr);
}

TEST(Environment, BadValue) {
  const ParseOutcome outcome = run({}, {{"ETCD_SNAPSHOT_COUNT", "abc"}});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_EQ(verify_error(outcome), "invalid value \"abc\" for ETCD_SNAPSHOT_COUNT: parse error");
}

TEST(Environment, OursHaveTwoNames) {
  EXPECT_EQ(run({}, {{"ETCD_BACKEND", "lmdb"}}).config.backend.name_or_path, "lmdb");
  EXPECT_EQ(run({}, {{"MORTISE_BACKEND", "lmdb"}}).config.backend.name_or_path, "lmdb");
  EXPECT_EQ(run({}, {{"MORTISE_BACKEND_OPTIONS", "a=1"}}).config.backend.options_json, "{\"a\":1}");
  EXPECT_EQ(run({}, {{"MORTISE_PLUGIN_DIR", "/p"}}).config.plugin_dir, "/p");
  EXPECT_EQ(verify_error(run({}, {{"ETCD_BACKEND", "lmdb"}, {"MORTISE_BACKEND", "lmdb"}})),
            "ETCD_BACKEND and MORTISE_BACKEND are both set; use one of them");
  EXPECT_EQ(field(find_line(run({}, {{"MORTISE_NAME", "x"}}), "unrecognized environment variable"),
                  "environment-variable"),
            "MORTISE_NAME=x");
}

// --- validation ---

TEST(Validation, Texts) {
  const struct {
    Strings flags;
    const char* error;
  } kTests[] = {
      {{"--listen-peer-urls=http://example.com:1"},
       "expected IP in URL for binding (http://example.com:1)"},
      {{"--listen-client-urls=http://:1", "--advertise-client-urls=http://h:1"},
       "expected IP in URL for binding (http://:1)"},
      {{"--listen-metrics-urls=http://example.com:1"},
       "expected IP in URL for binding (http://example.com:1)"},
      {{"--listen-client-http-urls=http://example.com:1"},
       "expected IP in URL for binding (http://example.com:1)"},
      {{"--initial-advertise-peer-urls=http://:1"},
       "--initial-advertise-peer-urls \"http://:1\" must be \"host:port\" (unexpected empty host "
       "(http://:1))"},
      {{"--advertise-client-urls=http://:1"},
       "--advertise-client-urls \"http://:1\" must be in the format \"host:port\", "
       "\"unix:/path/to/socket\" "
       "or \"unixs:/path/to/socket\" (unexpected empty host (http://:1))"},
      {{"--initial-cluster=default=http://localhost:2380", "--discovery-srv=example.com"},
       "multiple discovery or bootstrap flags are set. Choose one of \"initial-cluster\", "
       "\"discovery-endpoints\" or \"discovery-srv\""},
      {{"--discovery-token=t"}, "both --discovery-token and --discovery-endpoints must be set"},
      {{"--discovery-endpoints=http://h:1"},
       "both --discovery-token and --discovery-endpoints must be set"},
      {{"--discovery-token=t", "--discovery-endpoints=http://h:1, "},
       "--discovery-endpoints must not contain empty endpoints"},
      {{"--discovery-fallback=proxy"},
       "v2 proxy is deprecated, and --discovery-fallback can't be configured as \"proxy\""},
      {{"--heartbeat-interval=0"}, "--heartbeat-interval must be >0 (set to 0ms)"},
      {{"--election-timeout=0"}, "--election-timeout must be >0 (set to 0ms)"},
      {{"--heartbeat-interval=300"},
       "--election-timeout[1000ms] should be at least as 5 times as --heartbeat-interval[300ms]"},
      {{"--heartbeat-interval=201", "--election-timeout=1004"},
       "--election-timeout[1004ms] should be at least as 5 times as --heartbeat-interval[201ms]"},
      {{"--election-timeout=50001"},
       "--election-timeout[50001ms] is too long, and should be set less than 50000ms"},
      {{"--listen-client-urls=http://localhost:1"},
       "--advertise-client-urls is required when --listen-client-urls is set explicitly"},
      {{"--auto-compaction-mode="}, "undefined auto-compaction-mode"},
      {{"--auto-compaction-mode=x"}, "unknown auto-compaction-mode \"x\""},
      {{"--auto-compaction-retention=x"},
       "error parsing CompactionRetention: time: invalid duration \"x\""},
      {{"--auto-compaction-retention=-1h"},
       "--auto-compaction-retention must be >=0 (set to -1h0m0s)"},
      {{"--auto-compaction-retention=9000000"},
       "error parsing CompactionRetention: more hours than can be counted"},
      {{"--feature-gates=LeaseCheckpointPersist=true"},
       "enabling feature gate LeaseCheckpointPersist requires enabling feature gate "
       "LeaseCheckpoint"},
      {{"--compact-hash-check-time=0s"}, "--compact-hash-check-time must be >0 (set to 0s)"},
      {{"--tls-min-version=TLS1.1"},
       "unexpected TLS version \"TLS1.1\" (must be one of: TLS1.2, TLS1.3)"},
      {{"--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"},
       "min version (TLS1.3) is greater than max version (TLS1.2)"},
      {{"--tls-min-version=TLS1.3", "--cipher-suites=X"},
       "cipher suites cannot be configured when only TLS1.3 is enabled"},
      {{"--log-outputs=default,stderr"}, "multi logoutput for \"default\" is not supported yet"},
      {{"--logger=capnslog"}, "--logger=capnslog is removed in v3.5"},
      {{"--logger=x"}, "unknown logger option \"x\""},
      {{"--log-level=loud"}, "unrecognized level: \"loud\""},
      {{"--log-format=xml"}, "unknown log format: xml, supported values json, console"},
      {{"--enable-log-rotation"},
       "--log-outputs requires a single file path when --log-rotate-config-json is defined"},
      {{"--enable-log-rotation", "--log-outputs=/a,/b"},
       "--log-outputs requires a single file path when --log-rotate-config-json is defined"},
      {{"--listen-client-urls=https://localhost:1", "--advertise-client-urls=https://localhost:1"},
       "TLS key/cert (--cert-file, --key-file) must be provided for client url https://localhost:1 "
       "with "
       "HTTPS scheme"},
      {{"--listen-metrics-urls=https://localhost:1"},
       "client TLS key/cert (--cert-file, --key-file) must be provided for metrics secure url "
       "https://localhost:1"},
      {{"--listen-client-http-urls=http://localhost:2379"},
       "cannot bind both --listen-client-urls and --listen-client-http-urls on the same url "
       "http://localhost:2379"},
      {{"--auth-token=kerberos"}, "auth: invalid auth options"},
      {{"--backend="}, "--backend must not be empty"},
      {{"--watch-plugin="}, "--watch-plugin must not be empty"},
      {{"--transport-plugins="}, "--transport-plugins must not contain an empty name"},
      {{"--transport-plugins=grpc,grpc"}, "--transport-plugins names \"grpc\" twice"},
      {{"--compaction-batch-limit=-1"}, "--compaction-batch-limit must be >=0 (set to -1)"},
  };
  for (const auto& test : kTests) {
    const ParseOutcome outcome = run(test.flags);
    EXPECT_EQ(outcome.action, Action::kError) << test.error;
    bool bad_level = std::string_view(test.error).starts_with("unrecognized level");
    EXPECT_EQ(outcome.exit_code, bad_level ? 2 : 1) << test.error;
    EXPECT_EQ(verify_error(outcome), test.error);
    EXPECT_EQ(find_line(outcome, "failed to verify flags")->level, "warn");
    EXPECT_NE(find_line(outcome, "Running: "), nullptr);
    EXPECT_EQ(outcome.config.log_outputs.size() > 0, true);
  }
}

TEST(Validation, AdvertiseUrlsUnsetHasALineOfItsOwn) {
  const ParseOutcome outcome = run({"--listen-client-urls=http://localhost:1"});
  EXPECT_NE(find_line(outcome, "advertise client URLs are not set"), nullptr);
}

TEST(Validation, Warnings) {
  EXPECT_NE(find_line(run({"--max-snapshots=3"}),
                      "--max-snapshots is deprecated in 3.6 and will be decommissioned in 3.8."),
            nullptr);
  EXPECT_NE(
      find_line(
          run({"--v2-deprecation=gone"}),
          "--v2-deprecation is deprecated and scheduled for removal in v3.8. The default value "
          "is enforced, ignoring user input."),
      nullptr);
  EXPECT_EQ(run({"--v2-deprecation=gone"}).config.v2_deprecation, "write-only");
  EXPECT_NE(find_line(run({"--max-request-bytes=20000000"}), "exceeded recommended request limit"),
            nullptr);
  const ParseOutcome raised = run({"--watch-progress-notify-interval=1ms"});
  EXPECT_EQ(raised.config.watch_progress_notify_interval, milliseconds(100));
  EXPECT_NE(find_line(raised, "adjusting watch progress notify interval to minimum period"),
            nullptr);
  const ParseOutcome floored = run({"--raft-read-timeout=1s"});
  EXPECT_EQ(floored.config.raft_read_timeout, seconds(5));
  EXPECT_NE(find_line(floored, "raft-read-timeout increased to minimum value: 5s"), nullptr);
}

TEST(Validation, UrlsFromFlags) {
  const ParseOutcome outcome =
      run({"--listen-client-urls=unix://localhost:20000,http://127.0.0.1:1,http://127.0.0.1:1",
           "--advertise-client-urls=unix://localhost:20000", "--listen-peer-urls="});
  ASSERT_EQ(outcome.action, Action::kRun) << verify_error(outcome);
  EXPECT_EQ(url_texts(outcome.config.listen_client_urls),
            (Strings{"http://127.0.0.1:1", "unix://localhost:20000"}));
  EXPECT_EQ(outcome.config.listen_client_urls[1].path, "localhost:20000");
  EXPECT_EQ(url_texts(outcome.config.listen_peer_urls), Strings{"http://localhost:2380"});
}

TEST(Validation, TlsOfBothSides) {
  const ParseOutcome outcome = run(
      {"--cert-file=c", "--key-file=k", "--client-crl-file=crl", "--client-cert-auth",
       "--client-cert-allowed-hostname=h1,h2", "--trusted-ca-file=ca", "--peer-auto-tls",
       "--peer-cert-allowed-cn=a,b", "--peer-skip-client-san-verification", "--peer-crl-file=pcrl",
       "--cipher-suites=X,Y", "--tls-max-version=TLS1.3", "--self-signed-cert-validity=3",
       "--listen-metrics-urls=https://localhost:1", "--listen-client-http-urls=http://localhost:3",
       "--listen-peer-urls=https://localhost:2"});
  ASSERT_EQ(outcome.action, Action::kRun) << verify_error(outcome);
  const TlsOptions& client = outcome.config.client_tls;
  EXPECT_EQ(client.cert_file + client.key_file + client.trusted_ca_file + client.crl_file,
            "ckcacrl");
  EXPECT_TRUE(client.client_cert_auth);
  EXPECT_FALSE(client.auto_tls);
  EXPECT_EQ(client.allowed_hostnames, (Strings{"h1", "h2"}));
  EXPECT_EQ(client.min_version + client.max_version, "TLS1.2TLS1.3");
  const TlsOptions& peer = outcome.config.peer_tls;
  EXPECT_FALSE(peer.has_certificate());
  EXPECT_TRUE(peer.auto_tls);
  EXPECT_TRUE(peer.skip_client_san_verification);
  EXPECT_EQ(peer.allowed_cns, (Strings{"a", "b"}));
  EXPECT_EQ(peer.crl_file, "pcrl");
  EXPECT_EQ(peer.cipher_suites, (Strings{"X", "Y"}));
  EXPECT_EQ(outcome.config.self_signed_cert_validity, 3u);
  EXPECT_EQ(url_texts(outcome.config.listen_metrics_urls), Strings{"https://localhost:1"});
  EXPECT_EQ(url_texts(outcome.config.listen_client_http_urls), Strings{"http://localhost:3"});
}

// --- what has no effect yet ---

// Another value than the default for an option of its kind.
std::string other_value(const Option& option) {
  static const std::map<std::string_view, std::string> kSpecial = {
      {"log-rotation-config-json", "{}"},
  };
  if (const auto found = kSpecial.find(option.name); found != kSpecial.end()) return found->second;
  switch (option.kind) {
    case Kind::kBool: return option.default_text == "true" ? "false" : "true";
    case Kind::kInt:
    case Kind::kUint: return "7";
    case Kind::kDuration: return "7s";
    case Kind::kOrigins: return "http://h:1";
    default: return "other";
  }
}

TEST(NotYet, EveryOptionIsRefusedByName) {
  int refused = 0;
  for (const Option& option : options()) {
    if (option.support != Support::kNotYet || !is_flag(option)) continue;
    const std::string name(option.name);
    Strings flags = {"--" + name + "=" + other_value(option)};
    const ParseOutcome outcome = run(flags);
    EXPECT_EQ(outcome.exit_code, 1) << name;
    EXPECT_THAT(verify_error(outcome),
                HasSubstr("--" + name + " is not supported yet: " + std::string(option.note)));
    // The same through the environment.
    std::map<std::string, std::string> environment;
    for (const std::string& flag : flags) {
      const size_t equals = flag.find('=');
      environment[variable_name("ETCD", flag.substr(2, equals - 2))] = flag.substr(equals + 1);
    }
    EXPECT_EQ(verify_error(run({}, environment)), verify_error(outcome)) << name;
    ++refused;
  }
  EXPECT_GT(refused, 0);
}

TEST(NotYet, AcceptedValues) {
  const std::vector<Strings> kTests = {
      {"--feature-gates=InitialCorruptCheck=true"},
      {"--feature-gates=FastLeaseKeepAlive=false,TxnModeWriteWithSharedBuffer=false"},
      {"--feature-gates=SetMemberLocalAddr=true"},
      {"--feature-gates=AllAlpha=true,AllBeta=true"},
      {"--feature-gates=CompactHashCheck=false,AllBeta=false"},
      {"--enable-grpc-gateway=false"},
      {"--feature-gates=PriorityRequest=true,StopGRPCServiceOnDefrag=true"},
      {"--raft-read-timeout=6s", "--raft-write-timeout=1m"},
      {"--log-outputs=systemd/journal"},
      {"--memory-mlock"},
      {"--bootstrap-defrag-threshold-megabytes=1"},
      {"--backend-bbolt-freelist-type="},
      {"--cors=*", "--host-whitelist="},
      {"--log-level=Warn", "--log-format="},
      {"--initial-cluster=default=http://a:1,default=http://b:1"},
  };
  for (const Strings& flags : kTests) {
    const ParseOutcome outcome = run(flags);
    EXPECT_EQ(outcome.action, Action::kRun) << flags.front() << ": " << verify_error(outcome);
  }
}

TEST(NoEffect, IsSaidInTheLog) {
  constexpr std::string_view kLine = "an option has no effect in this server";
  EXPECT_EQ(find_line(run({"--backend-batch-limit=0"}), kLine), nullptr);
  EXPECT_EQ(find_line(run({"--backend-bbolt-freelist-type="}), kLine), nullptr);
  const ParseOutcome outcome = run({"--backend-batch-limit=5"});
  EXPECT_EQ(outcome.action, Action::kRun) << verify_error(outcome);
  const LogLine* line = find_line(outcome, kLine);
  EXPECT_EQ(field(line, "option"), "--backend-batch-limit");
  EXPECT_THAT(field(line, "reason"), HasSubstr("--backend-options"));
}

TEST(LogRotation, Values) {
  const auto rotation = [](const std::string& json) {
    return run({"--enable-log-rotation", "--log-outputs=/tmp/a.log",
                "--log-rotation-config-json=" + json});
  };
  EXPECT_FALSE(run({}).config.log_rotation.has_value());
  const ParseOutcome standard = run({"--enable-log-rotation", "--log-outputs=/tmp/a.log,stderr"});
  ASSERT_TRUE(standard.config.log_rotation.has_value()) << verify_error(standard);
  EXPECT_EQ(standard.config.log_rotation->max_megabytes, 100u);
  EXPECT_FALSE(standard.config.log_rotation->compress);
  const auto all = rotation(
      R"({"maxsize": 1, "maxage": 2, "MaxBackups": 3, "localtime": true, "compress": true})");
  ASSERT_TRUE(all.config.log_rotation.has_value()) << verify_error(all);
  EXPECT_EQ(all.config.log_rotation->max_megabytes, 1u);
  EXPECT_EQ(all.config.log_rotation->max_days, 2u);
  EXPECT_EQ(all.config.log_rotation->max_backups, 3u);
  EXPECT_TRUE(all.config.log_rotation->local_time);
  EXPECT_TRUE(all.config.log_rotation->compress);
  EXPECT_EQ(rotation(R"({"maxsize": 0})").config.log_rotation->max_megabytes, 100u);
  EXPECT_EQ(verify_error(rotation("{")), "improperly formatted log rotation config");
  EXPECT_EQ(verify_error(rotation("[]")), "invalid log rotation config: expected an object");
  EXPECT_EQ(verify_error(rotation(R"({"maxsize": -1})")),
            "invalid log rotation config: maxsize must be a number that is not negative");
  EXPECT_EQ(verify_error(rotation(R"({"compress": 1})")),
            "invalid log rotation config: compress must be true or false");
  EXPECT_EQ(verify_error(rotation(R"({"max_size": 1})")),
            "invalid log rotation config: unknown key \"max_size\"");
  EXPECT_EQ(verify_error(run({"--log-outputs=stderr,systemd/journal"})),
            "--log-outputs: systemd/journal cannot be combined with other outputs");
}

TEST(Gates, ExplicitValueWinsOverGroups) {
  const auto gates =
      run({"--feature-gates=FastLeaseKeepAlive=true", "--feature-gates=AllBeta=false"})
          .config.feature_gates;
  EXPECT_TRUE(gates.at("FastLeaseKeepAlive"));
  EXPECT_FALSE(gates.at("TxnModeWriteWithSharedBuffer"));
  EXPECT_EQ(gates.size(), 9u);
  const auto without = run({"--feature-gates=AllAlpha=false", "--corrupt-check-time=0s"}).config;
  EXPECT_FALSE(without.feature_gates.at("InitialCorruptCheck"));
  EXPECT_FALSE(without.feature_gates.at("CompactHashCheck"));
  EXPECT_EQ(without.corrupt_check_time, seconds(0));
}

// --- automatic compaction ---

TEST(AutoCompaction, RetentionIsHoursRevisionsOrADuration) {
  const struct {
    Strings flags;
    int64_t retention;
  } kTests[] = {
      {{}, 0},
      {{"--auto-compaction-retention="}, 0},
      {{"--auto-compaction-retention=0h"}, 0},
      {{"--auto-compaction-retention=2"}, 7200'000'000'000},
      {{"--auto-compaction-retention=010"}, 36000'000'000'000},
      {{"--auto-compaction-retention=1h30m"}, 5400'000'000'000},
      {{"--auto-compaction-retention=250ms"}, 250'000'000},
      {{"--auto-compaction-mode=revision", "--auto-compaction-retention=1000"}, 1000},
      {{"--auto-compaction-mode=revision", "--auto-compaction-retention=1us"}, 1000},
  };
  for (const auto& test : kTests) {
    const ParseOutcome outcome = run(test.flags);
    EXPECT_EQ(outcome.action, Action::kRun) << verify_error(outcome);
    EXPECT_EQ(outcome.config.auto_compaction_retention, test.retention);
  }
}

// --- plugins ---

TEST(Plugins, OptionForms) {
  const struct {
    const char* text;
    const char* json;
  } kTests[] = {
      {"", "{}"},
      {"a=1,b=x", "{\"a\":1,\"b\":\"x\"}"},
      {"size=64MiB, on=true,ratio=0.5", "{\"on\":true,\"ratio\":0.5,\"size\":\"64MiB\"}"},
      {"a=", "{\"a\":\"\"}"},
      {"a=b=c", "{\"a\":\"b=c\"}"},
      {"{\"b\": {\"c\": [1]}, \"a\": \"1\"}", "{\"a\":\"1\",\"b\":{\"c\":[1]}}"},
  };
  for (const auto& test : kTests) {
    const ParseOutcome outcome =
        run({"--backend=lmdb", std::string("--backend-options=") + test.text});
    EXPECT_EQ(outcome.config.backend.options_json, test.json);
  }
  for (const char* bad : {"=1", "a=1,a=2", "[1]", "{\"a\":}"}) {
    EXPECT_EQ(run({std::string("--backend-options=") + bad}).exit_code, 2) << bad;
  }
}

TEST(Plugins, Transports) {
  const auto transports = run({"--transport-plugins=grpc,/opt/x.so"}).config.transports;
  ASSERT_EQ(transports.size(), 2u);
  EXPECT_EQ(transports[1].name_or_path, "/opt/x.so");
  EXPECT_EQ(transports[1].options_json, "{}");
}

TEST(Plugins, FlagsOfHttpAreItsOptions) {
  auto transports =
      run({"--cors=http://b:1,http://a:1", "--host-whitelist=h,g", "--enable-grpc-gateway=false"})
          .config.transports;
  EXPECT_EQ(transports[1].options_json,
            R"({"cors":"http://a:1,http://b:1","gateway":false,"host_whitelist":"g,h"})");
  transports = run({"--host-whitelist="}).config.transports;
  EXPECT_EQ(transports[1].options_json, R"({"cors":"*","gateway":true,"host_whitelist":"*"})");
}

TEST(Discovery, Service) {
  const Discovery discovery =
      run({"--discovery-token=t", "--discovery-endpoints=h2:1,http://h1:1", "--discovery-user=u:p",
           "--discovery-dial-timeout=3s", "--discovery-request-timeout=4s"})
          .config.discovery;
  EXPECT_EQ(discovery.token, "t");
  EXPECT_EQ(discovery.endpoints, (Strings{"h2:1", "http://h1:1"}));
  EXPECT_EQ(discovery.user, "u:p");
  EXPECT_EQ(discovery.dial_timeout, std::chrono::seconds(3));
  EXPECT_EQ(discovery.request_timeout, std::chrono::seconds(4));
  EXPECT_FALSE(discovery.has_tls);
}

TEST(Discovery, Tls) {
  const Strings service = {"--discovery-token=t", "--discovery-endpoints=h:1"};
  const auto with = [&](const Strings& flags) {
    Strings all = service;
    all.insert(all.end(), flags.begin(), flags.end());
    return run(all).config.discovery;
  };
  const Discovery files =
      with({"--discovery-cert=c", "--discovery-key=k", "--discovery-cacert=ca"});
  EXPECT_TRUE(files.has_tls);
  EXPECT_EQ(files.tls.cert_file + files.tls.key_file + files.tls.trusted_ca_file, "ckca");
  EXPECT_FALSE(files.tls.trusts_any_server);
  EXPECT_TRUE(with({"--discovery-insecure-transport=false"}).has_tls);
  const Discovery unverified = with({"--discovery-insecure-skip-tls-verify"});
  EXPECT_TRUE(unverified.has_tls);
  EXPECT_TRUE(unverified.tls.trusts_any_server);
}

TEST(Discovery, Dns) {
  const ParseOutcome outcome = run({"--discovery-srv=example.test", "--discovery-srv-name=blue",
                                    "--discovery-dns-server=127.0.0.1:53"});
  EXPECT_EQ(outcome.config.discovery.srv_domain, "example.test");
  EXPECT_EQ(outcome.config.discovery.srv_name, "blue");
  EXPECT_EQ(outcome.config.discovery.dns_server, "127.0.0.1:53");
  EXPECT_EQ(outcome.config.initial_cluster, "");
}

// --- bootstrap ---

Result<std::string> resolve_for_test(const std::string& host) {
  if (host == "one.example") return std::string("10.0.0.1");
  if (host == "six.example") return std::string("fd00::1");
  return invalid("lookup " + host + ": no such host");
}

TEST(Bootstrap, Checks) {
  const struct {
    Strings flags;
    const char* error;
  } kTests[] = {
      {{"--name=a", "--initial-cluster=b=http://localhost:2380"},
       "couldn't find local name \"a\" in the initial cluster configuration"},
      {{"--initial-cluster=default=http://localhost:1"},
       "--initial-cluster has default=http://localhost:1 but missing from "
       "--initial-advertise-peer-urls=http://localhost:2380 (resolved urls: "
       "\"http://localhost:2380\" != \"http://localhost:1\")"},
      {{"--initial-advertise-peer-urls=http://localhost:2380,http://localhost:1"},
       "--initial-advertise-peer-urls has http://localhost:1 but missing from "
       "--initial-cluster=default=http://localhost:1,default=http://localhost:2380"},
      {{"--initial-cluster=default=http://localhost:1,default=http://localhost:2380"},
       "--initial-cluster has default=http://localhost:1 but missing from "
       "--initial-advertise-peer-urls=http://localhost:2380 (len([\"http://localhost:2380\"]) != "
       "len([\"http://localhost:1\" \"http://localhost:2380\"]))"},
      {{"--initial-cluster=default=nonsense"},
       "error setting up initial cluster: URL scheme must be http, https, unix, or unixs: "
       "nonsense"},
      {{"--initial-cluster=default=http://localhost:2380,x=http://localhost:2380"},
       "initial cluster default=http://localhost:2380,x=http://localhost:2380 has duplicate url"},
      // As in etcd, localhost is not looked up.
      {{"--initial-cluster=default=http://127.0.0.1:2380"},
       "--initial-cluster has default=http://127.0.0.1:2380 but missing from "
       "--initial-advertise-peer-urls=http://localhost:2380 (resolved urls: "
       "\"http://localhost:2380\" != \"http://127.0.0.1:2380\")"},
      {{"--initial-cluster=default=http://one.example:1",
        "--initial-advertise-peer-urls=http://10.0.0.1:1"},
       ""},
      {{"--initial-cluster=default=http://six.example:1",
        "--initial-advertise-peer-urls=http://[fd00:0::1]:1"},
       ""},
      {{"--initial-cluster=default=http://none.example:1",
        "--initial-advertise-peer-urls=http://10.0.0.1:1"},
       "--initial-cluster has default=http://none.example:1 but missing from "
       "--initial-advertise-peer-urls=http://10.0.0.1:1 (failed to resolve "
       "\"http://none.example:1\" (lookup none.example: no such host))"},
  };
  for (const auto& test : kTests) {
    const ParseOutcome outcome = run(test.flags);
    ASSERT_EQ(outcome.action, Action::kRun) << verify_error(outcome);
    EXPECT_EQ(founding_members(outcome.config, resolve_for_test).status().message(), test.error);
  }
}

TEST(Bootstrap, Members) {
  const Strings flags = {"--name=b", "--initial-cluster=c=http://h:3,b=http://h:2,b=http://h:1",
                         "--initial-advertise-peer-urls=http://h:1,http://h:2"};
  auto members = founding_members(run(flags).config, nullptr);
  ASSERT_TRUE(members.ok()) << members.status().message();
  ASSERT_EQ(members->size(), 2u);
  EXPECT_EQ((*members)[0].name, "b");
  EXPECT_EQ(url_texts((*members)[0].urls), (Strings{"http://h:1", "http://h:2"}));
  EXPECT_EQ(url_texts((*members)[1].urls), Strings{"http://h:3"});
}

// Who joins has announced its URLs before.
TEST(Bootstrap, JoiningIgnoresWhatIsAdvertised) {
  Strings flags = {"--initial-cluster-state=existing",
                   "--initial-cluster=default=http://localhost:1,x=http://localhost:2"};
  EXPECT_TRUE(members_to_join(run(flags).config).ok());
  flags.push_back("--name=y");
  EXPECT_EQ(members_to_join(run(flags).config).status().message(),
            "couldn't find local name \"y\" in the initial cluster configuration");
}

TEST(Version, Text) {
  EXPECT_THAT(version_text(""),
              StartsWith("etcd Version: 3.7.1\nGit SHA: Not provided\nGo Version: none"));
  EXPECT_THAT(version_text("abc123"), HasSubstr("Git SHA: abc123\n"));
  EXPECT_THAT(version_text(""), testing::EndsWith("\nmortise Version: 0.1.0\n"));
}

}  // namespace
}  // namespace mortise::config
