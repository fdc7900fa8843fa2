// The result of a run, for people and as JSON.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "host/base/status.h"
#include "tools/bench/load.h"
#include "tools/bench/options.h"
#include "tools/bench/server_probe.h"
#include "tools/bench/watch.h"

namespace mortise::bench {

struct Report {
  std::vector<std::string> command_line;
  std::string command;
  LoadResult run;
  double client_cpu_s = 0;
  std::optional<ServerSample> server_before;  // Both or none.
  std::optional<ServerSample> server_after;
  std::optional<WatchResult> watch;

  // Failed requests, lost events and ended watchers. Not 0: the run counts as failed.
  uint64_t failures() const;
};

std::string report_text(const Report& report);
std::string report_json(const Report& report);
// "-" is standard output.
Status write_report(const std::string& path, const std::string& text);

}  // namespace mortise::bench
