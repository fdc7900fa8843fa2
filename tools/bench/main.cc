// mortise-bench: a load generator for servers of the etcd v3 API.
// Exit code: 0 if every request succeeded, 1 if not, 2 for a wrong command line.
#include <sys/resource.h>

#include <csignal>
#include <cstdio>
#include <ctime>
#include <exception>

#include "tools/bench/channels.h"
#include "tools/bench/keepalive.h"
#include "tools/bench/report.h"
#include "tools/bench/watch.h"

namespace mortise::bench {
namespace {

// Enough callers to keep a server busy, few enough for its limits.
constexpr int kPreparingClients = 128;
// Leases of one second are apart from those of the next by more than a run can grant.
constexpr int kLeaseIdBits = 24;

double own_cpu_s() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

Load measured_load(const Options& options) {
  Load load;
  load.token = options.token;
  load.clients = options.clients;
  load.threads = options.threads;
  load.total = options.total;
  load.duration_s = options.duration_s;
  load.rate = options.rate;
  load.max_errors = options.max_errors;
  load.timeout_s = options.timeout_s;
  if (!options.quiet) load.progress = options.command_name;
  return load;
}

// A run before or after the measured one; it must not fail.
Status run_unmeasured(const Channels& channels, const Options& options, const char* name,
                      uint64_t total, const MakerFactory& maker) {
  Load load;
  load.token = options.token;
  load.clients = kPreparingClients;
  load.total = total;
  load.max_errors = 1;
  load.timeout_s = options.timeout_s;
  if (!options.quiet) load.progress = name;
  const LoadResult result = run_unary(channels, load, maker, nullptr);
  if (runs_interrupted()) return Status(StatusCode::kStopped, std::string(name) + ": interrupted");
  if (result.stats.failed() == 0) return Status();
  const auto& [code, error] = *result.stats.errors.begin();
  return Status(StatusCode::kIo, std::string(name) + ": " + code + ": " + error.first_message);
}

// One measured run, and what must stand before it.
class Bench {
 public:
  explicit Bench(const Options& options) : options_(options) {}

  Result<Report> run() {
    auto channels = open_channels(options_);
    if (!channels.ok()) return channels.status();
    channels_ = std::move(channels).value();
    report_.command = options_.command_name;
    MORTISE_RETURN_IF_ERROR(preload());
    switch (options_.command) {
      case Command::kWatch: MORTISE_RETURN_IF_ERROR(run_watch()); break;
      case Command::kLeaseKeepAlive: MORTISE_RETURN_IF_ERROR(run_leases()); break;
      default: MORTISE_RETURN_IF_ERROR(measure([&] { return run_requests(nullptr); }));
    }
    return std::move(report_);
  }

 private:
  Status preload() {
    if (options_.preload == 0) return Status();
    return run_unmeasured(channels_, options_, "preload", preload_request_count(options_),
                          [&](int thread) { return make_preload_requests(options_, thread); });
  }

  LoadResult run_requests(const PutObserver& on_put) {
    return run_unary(
        channels_, measured_load(options_),
        [&](int thread) { return make_command_requests(options_, thread); }, on_put);
  }

  Status run_watch() {
    WatchReceiver receiver(channels_, options_);
    MORTISE_RETURN_IF_ERROR(receiver.start());
    return measure([&] {
      LoadResult result = run_requests([&](uint64_t key) { receiver.expect(key); });
      report_.watch = receiver.finish();
      return result;
    });
  }

  Status run_leases() {
    const int64_t first_id = static_cast<int64_t>(std::time(nullptr)) << kLeaseIdBits;
    const auto leases = static_cast<uint64_t>(options_.leases);
    MORTISE_RETURN_IF_ERROR(run_unmeasured(channels_, options_, "grant leases", leases, [&](int) {
      return make_lease_requests(Rpc::kLeaseGrant, first_id, options_.lease_ttl_s);
    }));
    MORTISE_RETURN_IF_ERROR(measure([&] {
      return run_keepalive(channels_, measured_load(options_), first_id, options_.leases);
    }));
    if (runs_interrupted()) return Status();
    return run_unmeasured(channels_, options_, "revoke leases", leases, [&](int) {
      return make_lease_requests(Rpc::kLeaseRevoke, first_id, options_.lease_ttl_s);
    });
  }

  template <typename Run>
  Status measure(const Run& run) {
    if (!options_.server_pids.empty()) {
      auto before = sample_servers(options_.server_pids);
      if (!before.ok()) return before.status();
      report_.server_before = before.value();
    }
    const double cpu_before = own_cpu_s();
    report_.run = run();
    report_.client_cpu_s = own_cpu_s() - cpu_before;
    if (!options_.server_pids.empty()) {
      auto after = sample_servers(options_.server_pids);
      if (!after.ok()) return after.status();
      report_.server_after = after.value();
    }
    return Status();
  }

  const Options& options_;
  Channels channels_;
  Report report_;
};

int fail(const Status& status) {
  std::fprintf(stderr, "mortise-bench: %s\n", status.message().c_str());
  return status.code() == StatusCode::kInvalid ? 2 : 1;
}

int bench_main(int argc, char** argv) {
  auto parsed = parse_options(argc, argv);
  if (!parsed.ok()) return fail(parsed.status());
  if (!parsed.value()) return 0;
  const Options& options = *parsed.value();
  std::signal(SIGINT, [](int) { interrupt_runs(); });
  std::signal(SIGTERM, [](int) { interrupt_runs(); });

  auto report = Bench(options).run();
  if (!report.ok()) return fail(report.status());
  report.value().command_line.assign(argv, argv + argc);
  if (options.json_path != "-") std::fputs(report_text(report.value()).c_str(), stdout);
  if (!options.json_path.empty()) {
    const Status written = write_report(options.json_path, report_json(report.value()));
    if (!written.ok()) return fail(written);
  }
  return report.value().failures() == 0 ? 0 : 1;
}

}  // namespace
}  // namespace mortise::bench

int main(int argc, char** argv) {
  try {
    return mortise::bench::bench_main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "mortise-bench: %s\n", error.what());
    return 1;
  }
}
