#include "tools/bench/server_probe.h"

#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <sstream>

namespace mortise::bench {
namespace {

Status read_file(const std::string& path, std::string* out) {
  std::ifstream file(path);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) return errno_status(errno, "cannot read " + path);
  *out = text.str();
  return Status();
}

bool find_kib(const std::string& text, const std::string& field, uint64_t* bytes) {
  const size_t at = text.find("\n" + field + ":");
  if (at == std::string::npos) return false;
  std::istringstream rest(text.substr(at + field.size() + 2));
  uint64_t kib = 0;
  if (!(rest >> kib)) return false;
  *bytes = kib * 1024;
  return true;
}

}  // namespace

Status parse_proc_stat(const std::string& text, double ticks_per_second, ServerSample* out) {
  // The name in parentheses may itself hold blanks and parentheses.
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return invalid("no process name in /proc/PID/stat");
  std::istringstream fields(text.substr(name_end + 1));
  // utime and stime are fields 14 and 15; the first one after the name is field 3.
  std::string skipped;
  for (int field = 3; field < 14; ++field) fields >> skipped;
  uint64_t user = 0, system = 0;
  if (!(fields >> user >> system)) return invalid("no CPU times in /proc/PID/stat");
  out->user_s = static_cast<double>(user) / ticks_per_second;
  out->system_s = static_cast<double>(system) / ticks_per_second;
  return Status();
}

Status parse_proc_status(const std::string& text, ServerSample* out) {
  if (!find_kib(text, "VmRSS", &out->rss_bytes) || !find_kib(text, "VmHWM", &out->rss_peak_bytes)) {
    return invalid("no memory figures in /proc/PID/status");
  }
  return Status();
}

Result<ServerSample> sample_server(int pid) {
  const std::string folder = "/proc/" + std::to_string(pid);
  std::string stat, status;
  if (Status s = read_file(folder + "/stat", &stat); !s.ok()) return s;
  if (Status s = read_file(folder + "/status", &status); !s.ok()) return s;
  ServerSample sample;
  Status parsed = parse_proc_stat(stat, static_cast<double>(sysconf(_SC_CLK_TCK)), &sample);
  if (parsed.ok()) parsed = parse_proc_status(status, &sample);
  if (!parsed.ok()) return parsed;
  return sample;
}

Result<ServerSample> sample_servers(const std::vector<int>& pids) {
  ServerSample sum;
  for (int pid : pids) {
    MORTISE_ASSIGN_OR_RETURN(auto sample, sample_server(pid));
    sum.user_s += sample.user_s;
    sum.system_s += sample.system_s;
    sum.rss_bytes += sample.rss_bytes;
    sum.rss_peak_bytes += sample.rss_peak_bytes;
  }
  return sum;
}

}  // namespace mortise::bench
