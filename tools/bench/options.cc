#include "tools/bench/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <map>

namespace mortise::bench {
namespace {

void add_connection_options(CLI::App* app, Options* o) {
  app->add_option("--endpoints", o->endpoints, "Servers, host:port, comma separated")
      ->delimiter(',')
      ->capture_default_str();
  app->add_option("--cacert", o->cacert, "PEM file of the authority to trust; turns TLS on");
  app->add_option("--cert", o->cert, "PEM file of the client's certificate; turns TLS on");
  app->add_option("--key", o->key, "PEM file of the client's private key");
  app->add_option("--token", o->token, "Token of a user, from Authenticate");
  app->add_option("--conns", o->conns, "TCP connections")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  app->add_option("--clients", o->clients, "Callers, each with one request under way")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  app->add_option("--threads", o->threads, "Threads of the load generator")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app->add_option("--timeout", o->timeout_s, "Seconds after which a request counts as failed")
      ->check(CLI::Range(0.1, 86400.0))
      ->capture_default_str();
}

void add_run_options(CLI::App* app, Options* o) {
  auto* total = app->add_option("--total", o->total, "Requests to send")
                    ->check(CLI::Range(uint64_t{1}, UINT64_MAX / 2))
                    ->capture_default_str();
  app->add_option("--duration", o->duration_s, "Seconds to run, in place of --total")
      ->check(CLI::Range(0.001, 1e7))
      ->excludes(total);
  app->add_option("--rate", o->rate, "Requests a second in all; 0 is as fast as possible")
      ->check(CLI::Range(0.0, 1e9))
      ->capture_default_str();
  app->add_option("--max-errors", o->max_errors, "Stop after so many failed requests")
      ->capture_default_str();
  app->add_option("--seed", o->seed, "Seed of the key choice")->capture_default_str();
  app->add_option("--server-pid", o->server_pids,
                  "Local servers whose CPU and memory to read and add up, comma separated")
      ->delimiter(',')
      ->check(CLI::PositiveNumber);
  app->add_option("--json", o->json_path, "File to write the report to; - for standard output");
  app->add_flag("--quiet", o->quiet, "No progress lines");
}

void add_key_options(CLI::App* app, Options* o) {
  static const std::map<std::string, Distribution> kDistributions{
      {"sequential", Distribution::kSequential},
      {"uniform", Distribution::kUniform},
      {"zipf", Distribution::kZipf}};
  app->add_option("--key-size", o->key_size, "Bytes of a key")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app->add_option("--key-prefix", o->key_prefix, "Start of every key, counted in its size");
  app->add_option("--key-space-size", o->key_space, "Number of distinct keys")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 60))
      ->capture_default_str();
  app->add_option("--val-size", o->value_size, "Bytes of a value")
      ->check(CLI::Range(0, 1 << 30))
      ->capture_default_str();
  app->add_option("--distribution", o->distribution, "sequential, uniform or zipf")
      ->transform(CLI::CheckedTransformer(kDistributions))
      ->default_str("sequential");
  app->add_option("--zipf-exponent", o->zipf_exponent, "Skew of zipf")
      ->check(CLI::Range(0.01, 10.0))
      ->capture_default_str();
  app->add_option("--preload", o->preload, "Keys to put before the measured run");
  app->add_option("--preload-batch", o->preload_batch, "Keys in one transaction of the preload")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
}

void add_range_options(CLI::App* app, Options* o) {
  auto* serializable =
      app->add_flag("--serializable", o->serializable, "Answer from the member's own store");
  app->add_flag("--linearizable", o->linearizable, "Answer what all members agree on (the default)")
      ->excludes(serializable);
  app->add_option("--range-limit", o->range_limit, "At most so many keys, from the chosen key on")
      ->check(CLI::NonNegativeNumber);
  app->add_flag("--prefix-range", o->prefix_range, "Ask for the whole key space, not for one key");
  app->add_flag("--keys-only", o->keys_only, "Leave the values out");
  app->add_flag("--count-only", o->count_only, "Only the number of keys");
  app->add_option("--rev", o->revision, "Revision to read at; 0 is the newest")
      ->check(CLI::NonNegativeNumber);
}

CLI::App* add_command(CLI::App* app, Options* o, Command command, const char* name,
                      const char* help) {
  CLI::App* sub = app->add_subcommand(name, help);
  sub->callback([o, command, name] {
    o->command = command;
    o->command_name = name;
  });
  add_connection_options(sub, o);
  add_run_options(sub, o);
  return sub;
}

void add_commands(CLI::App* app, Options* o) {
  add_key_options(add_command(app, o, Command::kPut, "put", "Put keys"), o);

  CLI::App* range = add_command(app, o, Command::kRange, "range", "Read a key, a page or all keys");
  add_key_options(range, o);
  add_range_options(range, o);

  CLI::App* txn = add_command(app, o, Command::kTxnPut, "txn-put", "Put keys in transactions");
  add_key_options(txn, o);
  txn->add_option("--txn-ops", o->txn_ops, "Puts in one transaction")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();

  CLI::App* watch = add_command(app, o, Command::kWatch, "watch",
                                "Put watched keys; measure from the put to the event's arrival");
  add_key_options(watch, o);
  watch->add_option("--watchers", o->watchers, "Watchers, spread evenly over the keys")
      ->check(CLI::Range(1, 10000000))
      ->capture_default_str();
  watch->add_option("--watch-streams", o->watch_streams, "Streams the watchers share")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  watch->add_option("--watch-put-rate", o->rate, "Puts a second; the same as --rate")
      ->check(CLI::Range(0.0, 1e9));

  CLI::App* lease = add_command(app, o, Command::kLeaseKeepAlive, "lease-keepalive",
                                "Keep leases alive, each caller on a stream of its own");
  lease->add_option("--leases", o->leases, "Leases to grant before the measured run")
      ->check(CLI::Range(1, 10000000))
      ->capture_default_str();
  lease->add_option("--lease-ttl", o->lease_ttl_s, "Seconds the leases live")
      ->check(CLI::Range(int64_t{1}, int64_t{9000000000}))
      ->capture_default_str();

  CLI::App* mixed = add_command(app, o, Command::kMixed, "mixed", "Reads and puts");
  add_key_options(mixed, o);
  add_range_options(mixed, o);
  mixed->add_option("--read-ratio", o->read_ratio, "Share of reads, 0 to 1")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
}

// What no single option's check can see.
Status check(const Options& o) {
  const int needed = static_cast<int>(o.key_prefix.size()) + digits_needed(o.key_space);
  if (o.key_size < needed) {
    return invalid(fmt::format("--key-size {} is too small: the prefix and {} keys need {} bytes",
                               o.key_size, o.key_space, needed));
  }
  if (o.preload > o.key_space) {
    return invalid(
        fmt::format("--preload {} is more than --key-space-size {}", o.preload, o.key_space));
  }
  if (o.command == Command::kTxnPut && static_cast<uint64_t>(o.txn_ops) > o.key_space) {
    return invalid("--txn-ops is more than --key-space-size: a transaction puts a key once");
  }
  if (o.command == Command::kWatch && o.value_size < 8) {
    return invalid(
        "--val-size must be at least 8 for watch: the value carries the time of the put");
  }
  if (o.cert.empty() != o.key.empty()) return invalid("--cert and --key belong together");
  if (o.threads > o.clients) {
    return invalid("--threads is more than --clients: some threads would have no work");
  }
  return Status();
}

}  // namespace

Result<std::optional<Options>> parse_options(int argc, const char* const* argv) {
  Options options;
  CLI::App app("Load generator for servers of the etcd v3 API", "mortise-bench");
  app.require_subcommand(1);
  app.fallthrough();
  add_commands(&app, &options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::cout << app.help();
    return std::optional<Options>();
  } catch (const CLI::ParseError& error) {
    return invalid(error.what());
  }
  if (options.endpoints.empty()) return invalid("--endpoints is empty");
  if (Status status = check(options); !status.ok()) return status;
  return std::optional<Options>(std::move(options));
}

}  // namespace mortise::bench
