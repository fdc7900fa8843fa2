// /livez and /readyz: named checks, one after the other.
#include <algorithm>

#include "host/pages/pages.h"

namespace mortise::pages {
namespace {

struct Probe {
  std::string_view type;
  std::vector<std::string_view> checks;
};

const Probe kProbes[] = {
    {"livez", {"serializable_read"}},
    {"readyz", {"data_corruption", "serializable_read", "linearizable_read", "non_learner"}}};

constexpr std::string_view kLinearizableRead = "linearizable_read";

// What a check that needs nobody else found; empty: it passed.
std::string check(std::string_view name, const Source& source) {
  if (name == "serializable_read") return source.read().message();
  if (name == "non_learner") return source.is_learner() ? "not supported for learner" : "";
  const auto alarms = source.alarms();
  const bool corrupt = std::find(alarms.begin(), alarms.end(), "CORRUPT") != alarms.end();
  return corrupt ? "alarm activated: CORRUPT" : "";
}

const Probe* probe_of(std::string_view path, std::string_view* below) {
  for (const Probe& probe : kProbes) {
    const std::string root = "/" + std::string(probe.type);
    if (!path.starts_with(root)) continue;
    *below = path.substr(root.size());
    if (below->empty() || below->front() == '/') return &probe;
  }
  return nullptr;
}

}  // namespace

struct CheckRun {
  std::string_view type;
  std::string path;
  std::vector<std::string_view> checks;
  bool verbose = false;
  Answer answer;
  size_t next = 0;
  bool failed = false;
  std::string lines;
};

bool Pages::probe(const Request& request, const Answer& answer) {
  std::string_view below;
  const Probe* probe = probe_of(request.path, &below);
  if (probe == nullptr) return false;
  auto run = std::make_shared<CheckRun>();
  run->type = probe->type;
  run->path = request.path;
  run->verbose = !query_values(request.query, "verbose").empty();
  run->answer = answer;
  const auto excluded = query_values(request.query, "exclude");
  for (const std::string_view name : probe->checks) {
    const bool is_excluded = std::find(excluded.begin(), excluded.end(), name) != excluded.end();
    if (below.empty() ? !is_excluded : below.substr(1) == name) run->checks.push_back(name);
  }
  if (!below.empty() && run->checks.empty()) return false;
  if (auto refusal = refuse_other_method(request.method, "GET")) {
    source_.log("warn", "Health request error", request.path, "Method Not Allowed");
    answer(*refusal);
    return true;
  }
  run_checks(std::move(run));
  return true;
}

void Pages::checked(CheckRun* run, std::string_view name, const std::string& error) {
  const bool passed = error.empty();
  const std::string text(name), type(run->type);
  metrics_
      ->gauge("etcd_server_healthcheck", "The result of each kind of healthcheck.",
              {{"name", text}, {"type", type}})
      .set(passed ? 1 : 0);
  metrics_
      ->counter("etcd_server_healthchecks_total", "The total number of each kind of healthcheck.",
                {{"name", text}, {"status", passed ? "success" : "error"}, {"type", type}})
      .add(1);
  run->failed |= !passed;
  run->lines += passed ? "[+]" + text + " ok\n" : "[-]" + text + " failed: " + error + "\n";
}

void Pages::run_checks(std::shared_ptr<CheckRun> run) {
  while (run->next < run->checks.size()) {
    const std::string_view name = run->checks[run->next++];
    if (name != kLinearizableRead) {
      checked(run.get(), name, check(name, source_));
      continue;
    }
    source_.when_linearizable([this, run, name](RpcStatus status) {
      if (status.ok()) status = source_.read();
      checked(run.get(), name, status.message());
      run_checks(run);
    });
    return;
  }
  answer_probe(*run);
}

void Pages::answer_probe(const CheckRun& run) {
  if (run.failed) {
    source_.log("error", "Health check error", run.path, run.lines);
    return run.answer(text_page(503, run.lines));
  }
  run.answer(text_page(200, (run.verbose ? run.lines : "") + "ok"));
}

}  // namespace mortise::pages
