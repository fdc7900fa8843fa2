// CPU time and memory of server processes, from /proc.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "host/base/status.h"

namespace mortise::bench {

struct ServerSample {
  double user_s = 0;
  double system_s = 0;
  uint64_t rss_bytes = 0;
  uint64_t rss_peak_bytes = 0;  // Since the process started.

  double cpu_s() const { return user_s + system_s; }
};

// kNotFound if there is no such process.
Result<ServerSample> sample_server(int pid);
// The sum over several; the peak is that of each added up.
Result<ServerSample> sample_servers(const std::vector<int>& pids);

// The pieces of it, on the text of /proc/PID/stat and /proc/PID/status. kInvalid if a field is
// missing.
Status parse_proc_stat(const std::string& text, double ticks_per_second, ServerSample* out);
Status parse_proc_status(const std::string& text, ServerSample* out);

}  // namespace mortise::bench
