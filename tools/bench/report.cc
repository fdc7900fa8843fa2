#include "tools/bench/report.h"

#include <fmt/format.h>

#include <cerrno>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>

namespace mortise::bench {
namespace {

using Json = nlohmann::ordered_json;

double us(uint64_t ns) { return static_cast<double>(ns) / 1e3; }
double mib(uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

double per(double amount, uint64_t count) {
  return count == 0 ? 0 : amount / static_cast<double>(count);
}

Histogram all_latencies(const Stats& stats) {
  Histogram all = stats.reads;
  all.merge(stats.writes);
  return all;
}

uint64_t requests(const Report& report) {
  return report.run.stats.succeeded() + report.run.stats.failed();
}

double throughput(const Report& report) {
  return report.run.elapsed_s > 0
             ? static_cast<double>(report.run.stats.succeeded()) / report.run.elapsed_s
             : 0;
}

void add_latency(std::string* out, const char* name, const Histogram& h) {
  if (h.count() == 0) return;
  fmt::format_to(
      std::back_inserter(*out),
      "{:<12} avg {:.3f}  p50 {:.3f}  p90 {:.3f}  p99 {:.3f}  p99.9 {:.3f}  max {:.3f} ms\n", name,
      h.mean() / 1e6, us(h.quantile(0.5)) / 1e3, us(h.quantile(0.9)) / 1e3,
      us(h.quantile(0.99)) / 1e3, us(h.quantile(0.999)) / 1e3, us(h.max()) / 1e3);
}

Json latency_json(const Histogram& h) {
  return Json{{"count", h.count()},
              {"avg", h.mean() / 1e3},
              {"min", us(h.min())},
              {"p50", us(h.quantile(0.5))},
              {"p90", us(h.quantile(0.9))},
              {"p99", us(h.quantile(0.99))},
              {"p99_9", us(h.quantile(0.999))},
              {"max", us(h.max())}};
}

}  // namespace

uint64_t Report::failures() const {
  uint64_t sum = run.stats.failed();
  if (watch) {
    sum += watch->canceled;
    if (watch->arrived < watch->expected) sum += watch->expected - watch->arrived;
  }
  return sum;
}

std::string report_text(const Report& report) {
  const Stats& stats = report.run.stats;
  std::string out;
  auto add = std::back_inserter(out);
  fmt::format_to(add, "{}: {} requests in {:.3f} s, {:.1f}/s, {} failed\n", report.command,
                 requests(report), report.run.elapsed_s, throughput(report), stats.failed());
  for (const auto& [code, error] : stats.errors) {
    fmt::format_to(add, "  {} x {}: {}\n", error.count, code, error.first_message);
  }
  add_latency(&out, "latency", all_latencies(stats));
  if (stats.reads.count() > 0 && stats.writes.count() > 0) {
    add_latency(&out, "  reads", stats.reads);
    add_latency(&out, "  writes", stats.writes);
  }
  if (stats.keys_read > 0) fmt::format_to(add, "{:<12} {}\n", "keys read", stats.keys_read);
  if (report.watch) {
    const WatchResult& watch = *report.watch;
    fmt::format_to(add, "{:<12} {} of {} arrived, {} watchers ended {}\n", "events", watch.arrived,
                   watch.expected, watch.canceled, watch.first_message);
    add_latency(&out, "delivery", watch.delivery);
  }
  fmt::format_to(add, "{:<12} {:.1f} us CPU a request\n", "client",
                 per(report.client_cpu_s * 1e6, requests(report)));
  if (report.server_before && report.server_after) {
    const ServerSample &before = *report.server_before, &after = *report.server_after;
    fmt::format_to(add,
                   "{:<12} {:.1f} us CPU a request ({:.2f} s user, {:.2f} s system), "
                   "resident {:.1f} -> {:.1f} MiB, peak {:.1f} MiB\n",
                   "server", per((after.cpu_s() - before.cpu_s()) * 1e6, requests(report)),
                   after.user_s - before.user_s, after.system_s - before.system_s,
                   mib(before.rss_bytes), mib(after.rss_bytes), mib(after.rss_peak_bytes));
  }
  return out;
}

std::string report_json(const Report& report) {
  const Stats& stats = report.run.stats;
  Json errors = Json::object();
  for (const auto& [code, error] : stats.errors) {
    errors[code] = {{"count", error.count}, {"first_message", error.first_message}};
  }
  Json json{{"command", report.command},
            {"command_line", report.command_line},
            {"requests", requests(report)},
            {"failed", stats.failed()},
            {"errors", errors},
            {"elapsed_s", report.run.elapsed_s},
            {"throughput", throughput(report)},
            {"latency_us", latency_json(all_latencies(stats))}};
  if (stats.reads.count() > 0) json["read_latency_us"] = latency_json(stats.reads);
  if (stats.writes.count() > 0) json["write_latency_us"] = latency_json(stats.writes);
  json["keys_read"] = stats.keys_read;
  if (report.watch) {
    json["watch"] = {{"expected", report.watch->expected},
                     {"arrived", report.watch->arrived},
                     {"ended", report.watch->canceled},
                     {"first_message", report.watch->first_message},
                     {"delivery_us", latency_json(report.watch->delivery)}};
  }
  json["client_cpu_us_per_request"] = per(report.client_cpu_s * 1e6, requests(report));
  if (report.server_before && report.server_after) {
    const ServerSample &before = *report.server_before, &after = *report.server_after;
    json["server"] = {
        {"cpu_us_per_request", per((after.cpu_s() - before.cpu_s()) * 1e6, requests(report))},
        {"user_s", after.user_s - before.user_s},
        {"system_s", after.system_s - before.system_s},
        {"rss_before_bytes", before.rss_bytes},
        {"rss_after_bytes", after.rss_bytes},
        {"rss_peak_bytes", after.rss_peak_bytes}};
  }
  // A message from a server may hold anything; what is not UTF-8 is replaced.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Status write_report(const std::string& path, const std::string& text) {
  if (path == "-") {
    std::cout << text << std::flush;
    return Status();
  }
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  if (!(file << text) || !file.flush()) return errno_status(errno, "cannot write " + path);
  return Status();
}

}  // namespace mortise::bench
