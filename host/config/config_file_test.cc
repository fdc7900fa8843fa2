#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "host/config/options.h"
#include "host/config/process.h"
#include "host/config/test_support.h"

namespace mortise::config {
namespace {

using testing::HasSubstr;
using Strings = std::vector<std::string>;

ParseOutcome run_file(const std::string& content) {
  return run({"--config-file=/c.yml"}, {}, {{"/c.yml", content}});
}

ParseOutcome run_testdata(const std::string& name) {
  const auto content = read_file("testdata/" + name);
  EXPECT_TRUE(content.ok()) << content.status().message();
  return content.ok() ? run_file(content.value()) : ParseOutcome();
}

Strings past_keys(const ParseOutcome& outcome) {
  Strings keys;
  for (const LogLine& line : outcome.logs) {
    if (line.msg == "a key of etcd's past in the configuration file; it is ignored") {
      keys.push_back(field(&line, "key"));
    }
  }
  return keys;
}

TEST(ConfigFile, SampleIsServed) {
  const ParseOutcome outcome = run_testdata("sample.yml");
  ASSERT_EQ(outcome.action, Action::kRun) << verify_error(outcome);
  EXPECT_EQ(outcome.config.name, "default");
  EXPECT_EQ(outcome.config.data_dir, "default.etcd");
  EXPECT_EQ(outcome.config.initial_cluster, "default=http://localhost:2380");
  EXPECT_FALSE(outcome.config.strict_reconfig_check);
  EXPECT_EQ(outcome.config.log_outputs, Strings{"stderr"});
  EXPECT_EQ(outcome.config.log_level, "debug");
  EXPECT_EQ(field(find_line(outcome, "an option has no effect in this server"), "option"),
            "--enable-pprof");
  EXPECT_EQ(past_keys(outcome), (Strings{"discovery", "discovery-fallback", "discovery-proxy",
                                         "proxy", "proxy-failure-wait"}));
  EXPECT_NE(
      find_line(outcome, "--max-snapshots is deprecated in 3.6 and will be decommissioned in 3.8."),
      nullptr);
}

TEST(ConfigFile, FlagsAndVariablesAreIgnored) {
  const ParseOutcome outcome =
      run({"--config-file=/c.yml", "--name=flag"},
          {{"ETCD_NAME", "env"}, {"ETCD_NOPE", "1"}, {"ETCD_CONFIG_FILE", "/no"}},
          {{"/c.yml", "data-dir: /d"}});
  ASSERT_EQ(outcome.action, Action::kRun) << verify_error(outcome);
  EXPECT_EQ(outcome.config.name, "default");
  EXPECT_EQ(outcome.config.data_dir, "/d");
  EXPECT_EQ(find_line(outcome, "unrecognized environment variable"), nullptr);
  EXPECT_EQ(
      field(find_line(outcome,
                      "loaded server configuration, other configuration command line flags and "
                      "environment variables will be ignored if provided"),
            "path"),
      "/c.yml");
  const ParseOutcome variable = run({}, {{"ETCD_CONFIG_FILE", "/c.yml"}}, {{"/c.yml", "name: v"}});
  EXPECT_EQ(variable.config.name, "v");
  // A syntax error of a flag comes first.
  EXPECT_EQ(run({"--config-file=/c.yml", "--nope"}, {}, {{"/c.yml", ""}}).exit_code, 2);
}

TEST(ConfigFile, Unreadable) {
  const ParseOutcome outcome = run({"--config-file=/none.yml"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_EQ(verify_error(outcome), "open /none.yml: no such file or directory");
}

TEST(ConfigFile, EmptyFileMeansDefaults) {
  EXPECT_EQ(run_file("").action, Action::kRun);
  EXPECT_EQ(run_file("# nothing\n").action, Action::kRun);
  EXPECT_EQ(run_file("{}").action, Action::kRun);
}

TEST(ConfigFile, Json) {
  const ParseOutcome outcome = run_testdata("config.json");
  ASSERT_EQ(outcome.action, Action::kRun) << verify_error(outcome);
  EXPECT_EQ(outcome.config.name, "from-json");
  EXPECT_EQ(outcome.config.snapshot_count, 5000u);
  EXPECT_FALSE(outcome.config.pre_vote);
  EXPECT_EQ(outcome.config.backend.name_or_path, "lmdb");
  EXPECT_EQ(outcome.config.backend.options_json, "{\"a\":1,\"b\":\"x\"}");
}

TEST(ConfigFile, Plugins) {
  const ParseOutcome outcome = run_testdata("plugins.yml");
  ASSERT_EQ(outcome.action, Action::kRun) << verify_error(outcome);
  const Config& config = outcome.config;
  EXPECT_EQ(config.plugin_dir, "/opt/plugins");
  EXPECT_EQ(config.backend.name_or_path, "lmdb");
  EXPECT_EQ(config.backend.options_json,
            "{\"label\":\"5\",\"map-size\":1073741824,\"nested\":{\"deep\":[1,\"two\",true]}}");
  EXPECT_EQ(config.watch.name_or_path, "/opt/watch.so");
  EXPECT_EQ(config.watch.options_json, "{\"shards\":4}");
  ASSERT_EQ(config.transports.size(), 2u);
  EXPECT_EQ(config.transports[0].options_json, "{\"threads\":2}");
  EXPECT_EQ(config.transports[1].name_or_path, "/opt/extra.so");
  EXPECT_EQ(config.grpc_keepalive_min_time, std::chrono::seconds(7));
  EXPECT_TRUE(config.socket_reuse_port);
  EXPECT_EQ(config.log_outputs, (Strings{"stdout", "/tmp/mortise-test.log"}));
  EXPECT_EQ(config.initial_cluster, "m1=http://localhost:2380");
  EXPECT_TRUE(past_keys(outcome).empty());
}

TEST(ConfigFile, OptionsOfHttpGoBeforeFlags) {
  const ParseOutcome outcome =
      run_file("plugins: {transports: [{name: http, options: {cors: x, threads: 2}}]}");
  ASSERT_EQ(outcome.config.transports.size(), 1u) << verify_error(outcome);
  EXPECT_EQ(outcome.config.transports[0].options_json,
            R"({"cors":"x","gateway":true,"host_whitelist":"*","threads":2})");
}

TEST(ConfigFile, OurKeysAtTheTopLevel) {
  const ParseOutcome outcome = run_file(
      "backend: /opt/b.so\nbackend-options: a=1\ntransport-plugins: [grpc, x]\nwatch-plugin: w\n"
      "plugins: {backend: }\n");
  ASSERT_EQ(outcome.action, Action::kRun) << verify_error(outcome);
  EXPECT_EQ(outcome.config.backend.name_or_path, "/opt/b.so");
  EXPECT_EQ(outcome.config.backend.options_json, "{\"a\":1}");
  EXPECT_EQ(outcome.config.transports.size(), 2u);
  EXPECT_EQ(outcome.config.watch.name_or_path, "w");
}

TEST(ConfigFile, UnknownKeysAreNamedWithTheirLine) {
  const struct {
    const char* content;
    const char* error;
  } kTests[] = {
      {"name: m\n\nelection-timeuot: 5\n",
       "configuration file, line 3: unknown key \"election-timeuot\""},
      {"client-transport-security:\n  auto-tls: false\n  client-crl-file: x\n",
       "configuration file, line 3: unknown key \"client-transport-security.client-crl-file\""},
      {"plugins:\n  nope: 1\n", "configuration file, line 2: unknown key \"plugins.nope\""},
      {"plugins:\n  backend: {name: lmdb, option: {}}\n",
       "configuration file, line 2: unknown key \"plugins.backend.option\""},
      {"experimental-corrupt-check-time: 5\n",
       "configuration file, line 1: unknown key \"experimental-corrupt-check-time\"; its name is "
       "\"corrupt-check-time\" now"},
      {"experimental-enable-v2v3: x\n",
       "configuration file, line 1: unknown key \"experimental-enable-v2v3\"; etcd 3.7 has no "
       "experimental keys"},
  };
  for (const auto& test : kTests) {
    const ParseOutcome outcome = run_file(test.content);
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_EQ(verify_error(outcome), test.error);
  }
}

TEST(ConfigFile, KeysAreFoundWithoutRegardToCase) {
  EXPECT_EQ(run_file("Name: m7").config.name, "m7");
}

TEST(ConfigFile, Numbers) {
  for (const char* text : {"1e3", "1000.0", "0x3e8", "1_000", "1000"}) {
    EXPECT_EQ(run_file("snapshot-count: " + std::string(text)).config.snapshot_count, 1000u)
        << text;
  }
  EXPECT_EQ(run_file("quota-backend-bytes: -5").config.quota_backend_bytes, -5);
  EXPECT_EQ(run_file("name: 'yes'").config.name, "yes");
}

TEST(ConfigFile, Errors) {
  const struct {
    const char* content;
    const char* error;
  } kTests[] = {
      {"name: [", "error converting YAML to JSON: "},
      {"- a\n- b", "line 1: top level: expected a map, found a list"},
      {"name: [a]", "line 1: name: expected a string, found a list"},
      {"\nsnapshot-count: abc",
       "line 2: snapshot-count: expected a non-negative integer, found \"abc\""},
      {"snapshot-count: \"10\"", "snapshot-count: expected a non-negative integer, found \"10\""},
      {"snapshot-count: -1", "snapshot-count: expected a non-negative integer, found \"-1\""},
      {"max-concurrent-streams: 4294967296",
       "max-concurrent-streams: expected a non-negative integer"},
      {"quota-backend-bytes: 1.5", "quota-backend-bytes: expected an integer, found \"1.5\""},
      {"pre-vote: \"true\"", "pre-vote: expected true or false, found \"true\""},
      {"pre-vote: 1", "pre-vote: expected true or false, found \"1\""},
      {"grpc-keepalive-timeout: 5s",
       "grpc-keepalive-timeout: expected an integer of nanoseconds, found \"5s\""},
      {"name: 5", "name: expected a string (in quotes), found \"5\""},
      {"name: yes", "name: expected a string (in quotes), found \"yes\""},
      {"name: 1.50", "name: expected a string (in quotes), found \"1.50\""},
      {"log-outputs: [5]", "log-outputs: expected a string (in quotes), found \"5\""},
      {"? [a]\n: b", "top level: expected a key, found a list"},
      {"cors: x", "cors: URL scheme must be http, https, unix, or unixs: x"},
      {"snapshot-count: 1e-3", "snapshot-count: expected a non-negative integer, found \"1e-3\""},
      {"log-outputs: stderr", "log-outputs: expected a list, found \"stderr\""},
      {"log-outputs: [[a]]", "log-outputs: expected a string, found a list"},
      {"peer-transport-security: x", "invalid peer-transport-security"},
      {"peer-transport-security:", "invalid peer-transport-security"},
      {"client-transport-security: x", "invalid client-transport-security"},
      {"initial-cluster-state: old", "unexpected clusterState \"old\""},
      {"feature-gates: Nope=true", "unrecognized feature gate: Nope"},
      {"heartbeat-interval: 0", "--heartbeat-interval must be >0 (set to 0ms)"},
      {"plugins: x", "plugins: expected a map, found \"x\""},
      {"plugins: {backend: {name: a, path: b}}", "plugins.backend: give either name or path, once"},
      {"plugins: {backend: {name: ''}}", "plugins.backend: the plugin has no name"},
      {"plugins: {backend: ''}", "plugins.backend: the plugin has no name"},
      {"plugins: {backend: a}\nbackend: b", "backend is given twice in the configuration file"},
      {"plugins: {transports: grpc}", "plugins.transports: expected a list, found \"grpc\""},
      {"plugins: {transports: []}", "--transport-plugins must name at least one transport"},
      {"plugins: {transports: [{options: {}}]}", "plugins.transports: the plugin has no name"},
      {"plugins: {backend: {options: [1]}}",
       "plugins.backend.options: expected a map, found a list"},
      {"backend-options: x", "backend-options: expected key=value, found \"x\""},
      {"backend: ''", "--backend must not be empty"},
  };
  for (const auto& test : kTests) {
    const ParseOutcome outcome = run_file(test.content);
    EXPECT_EQ(outcome.exit_code, 1) << test.content;
    EXPECT_THAT(verify_error(outcome), HasSubstr(test.error)) << test.content;
  }
}

TEST(ConfigFile, BadUrlsPrintALine) {
  const struct {
    const char* key;
    const char* shown;
  } kTests[] = {
      {"listen-peer-urls", "listen-peer-urls"},
      {"listen-client-urls", "listen-client-urls"},
      {"listen-client-http-urls", "listen-client-http-urls"},
      {"listen-metrics-urls", "listen-metrics-urls"},
      {"initial-advertise-peer-urls", "initial-advertise-peer-urls"},
      {"advertise-client-urls", "advertise-peer-urls"},
  };
  for (const auto& test : kTests) {
    const ParseOutcome outcome = run_file(std::string(test.key) + ": nonsense");
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_EQ(outcome.stderr_text,
              "unexpected error setting up " + std::string(test.shown) +
                  ": URL scheme must be http, https, unix, or unixs: nonsense\n");
    EXPECT_EQ(verify_error(outcome), "");
  }
}

TEST(ConfigFile, ListenWithoutAdvertiseIsAllowed) {
  const ParseOutcome outcome = run_file("listen-client-urls: http://localhost:1");
  ASSERT_EQ(outcome.action, Action::kRun);
  EXPECT_EQ(url_texts(outcome.config.advertise_client_urls), Strings{"http://localhost:2379"});
}

TEST(ConfigFile, NotYetOptionsAreNamedByTheirKey) {
  const struct {
    const char* content;
    const char* error;
  } kTests[] = {
      {"discovery-config: {client: {max-recv-bytes: 5}}",
       "discovery-config.client.max-recv-bytes is not supported yet"},
  };
  for (const auto& test : kTests) {
    EXPECT_THAT(verify_error(run_file(test.content)), HasSubstr(test.error)) << test.content;
  }
}

TEST(ConfigFile, TlsOfBothSides) {
  const ParseOutcome outcome = run_file(
      "client-transport-security: {cert-file: c, key-file: k, client-cert-file: cc,\n"
      "  client-key-file: ck, client-cert-auth: true, trusted-ca-file: ca, allowed-cn: [a, b],\n"
      "  skip-client-san-verification: true}\n"
      "peer-transport-security: {auto-tls: true, allowed-hostname: [h],\n"
      "  skip-client-san-verification: true}\n"
      "cipher-suites: [A, B]\ntls-min-version: TLS1.2\ntls-max-version: TLS1.3\n"
      "self-signed-cert-validity: 3\n");
  ASSERT_EQ(outcome.action, Action::kRun) << verify_error(outcome);
  const TlsOptions& client = outcome.config.client_tls;
  EXPECT_EQ(client.cert_file + client.key_file + client.client_cert_file + client.client_key_file,
            "ckccck");
  EXPECT_EQ(client.trusted_ca_file, "ca");
  EXPECT_TRUE(client.client_cert_auth);
  EXPECT_EQ(client.allowed_cns, (Strings{"a", "b"}));
  EXPECT_FALSE(client.auto_tls);
  EXPECT_EQ(client.cipher_suites, (Strings{"A", "B"}));
  EXPECT_EQ(client.min_version + client.max_version, "TLS1.2TLS1.3");
  const TlsOptions& peer = outcome.config.peer_tls;
  EXPECT_TRUE(peer.auto_tls);
  EXPECT_TRUE(peer.skip_client_san_verification);
  EXPECT_EQ(peer.allowed_hostnames, Strings{"h"});
  EXPECT_EQ(peer.cipher_suites, client.cipher_suites);
  EXPECT_EQ(outcome.config.self_signed_cert_validity, 3u);
}

// A file that sets an option to another value than the default, by its key: each one must be
// refused.
TEST(ConfigFile, EveryNotYetKeyIsRefused) {
  int refused = 0;
  for (const Option& option : options()) {
    if (option.support != Support::kNotYet || option.yaml.empty()) continue;
    const bool list = option.kind == Kind::kList || option.kind == Kind::kSet;
    std::string value = list ? "[x]" : "x";
    if (option.kind == Kind::kBool) value = option.default_text == "true" ? "false" : "true";
    if (option.kind == Kind::kInt || option.kind == Kind::kUint || option.kind == Kind::kDuration)
      value = "7";
    if (option.kind == Kind::kUrls || option.kind == Kind::kOrigins) value = "http://localhost:1";
    std::string content;
    std::string indent;
    std::string path(option.yaml);
    for (size_t dot = path.find('.'); dot != std::string::npos; dot = path.find('.')) {
      content += indent + path.substr(0, dot) + ":\n";
      indent += "  ";
      path.erase(0, dot + 1);
    }
    content += indent + path + ": " + value + "\n";
    EXPECT_THAT(verify_error(run_file(content)),
                HasSubstr("is not supported yet: " + std::string(option.note)))
        << content;
    ++refused;
  }
  EXPECT_GT(refused, 0);
}

TEST(Table, KeysAndNamesAreUnique) {
  std::map<std::string_view, int> names;
  std::map<std::string_view, int> keys;
  for (const Option& option : options()) {
    EXPECT_EQ(names[option.name]++, 0) << option.name;
    EXPECT_FALSE(option.help.empty()) << option.name;
    EXPECT_EQ(option.note.empty(), option.support == Support::kEffective) << option.name;
    if (!option.yaml.empty()) {
      EXPECT_EQ(keys[option.yaml]++, 0) << option.yaml;
    }
  }
}

TEST(Process, ReadsFilesAndVariables) {
  EXPECT_EQ(read_file("testdata/none").status().message(),
            "open testdata/none: no such file or directory");
  EXPECT_EQ(read_file("testdata").status().message(), "read testdata: is a directory");
  ASSERT_EQ(setenv("MORTISE_CONFIG_TEST", "a=b", 1), 0);
  EXPECT_EQ(process_environment().at("MORTISE_CONFIG_TEST"), "a=b");
  const char* arguments[] = {"x", "y"};
  EXPECT_EQ(process_arguments(2, arguments), (Strings{"x", "y"}));
  // Whatever the machine's network is, there is an address or a reason.
  const auto host = default_host();
  if (host.ok()) {
    EXPECT_FALSE(host.value().empty());
  } else {
    EXPECT_THAT(host.status().message(), HasSubstr("could not find default"));
  }
}

// docs/configuration.md ends with the generated tables. MORTISE_REWRITE=1 writes them anew.
TEST(Document, IsCurrent) {
  const char* source = std::getenv("MORTISE_SOURCE_DIR");
  ASSERT_NE(source, nullptr) << "run by ctest";
  const std::string path = std::string(source) + "/docs/configuration.md";
  const auto document = read_file(path);
  ASSERT_TRUE(document.ok()) << document.status().message();
  const std::string marker = "<!-- generated from the table of options; do not edit below -->\n\n";
  const size_t begin = document.value().find(marker);
  ASSERT_NE(begin, std::string::npos);
  const std::string wanted = document.value().substr(0, begin) + marker + options_markdown();
  if (std::getenv("MORTISE_REWRITE") != nullptr) {
    std::ofstream(path) << wanted;
    return;
  }
  EXPECT_TRUE(document.value() == wanted)
      << "docs/configuration.md is out of date: run config_file_test with MORTISE_REWRITE=1";
}

}  // namespace
}  // namespace mortise::config
