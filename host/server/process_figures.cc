// Metrics of the process, under the names of Prometheus's Go library, and etcd's that stay zero.
#include <dirent.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <thread>

#include "host/server/allocator_figures.h"
#include "host/server/metrics.h"

namespace mortise::server {
namespace {

using loader::Exposition;

uint64_t open_files() {
  DIR* dir = ::opendir("/proc/self/fd");
  if (dir == nullptr) return 0;
  uint64_t count = 0;
  while (const dirent* entry = ::readdir(dir)) count += entry->d_name[0] != '.';
  ::closedir(dir);
  return count - 1;  // Without the directory's own.
}

double limit_of(int resource) {
  rlimit limit{};
  return ::getrlimit(static_cast<__rlimit_resource>(resource), &limit) == 0
             ? static_cast<double>(limit.rlim_cur)
             : 0;
}

// The fields of /proc/self/stat behind the name, which may hold anything: [0] is the state.
std::vector<std::string> stat_fields() {
  std::ifstream file("/proc/self/stat");
  std::string line;
  std::getline(file, line);
  std::istringstream rest(line.substr(std::min(line.rfind(')') + 1, line.size())));
  std::vector<std::string> fields;
  for (std::string field; rest >> field;) fields.push_back(field);
  return fields;
}

double boot_time() {
  std::ifstream file("/proc/stat");
  for (std::string word; file >> word;) {
    double value = 0;
    if (word == "btime" && file >> value) return value;
  }
  return 0;
}

void show_stat(Exposition& out) {
  constexpr size_t kUserTicks = 11, kSystemTicks = 12, kThreads = 17, kStart = 19, kVirtual = 20,
                   kResident = 21;
  const std::vector<std::string> fields = stat_fields();
  if (fields.size() <= kResident) return;
  auto number = [&](size_t i) { return std::strtod(fields[i].c_str(), nullptr); };
  const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  out.counter("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.",
              (number(kUserTicks) + number(kSystemTicks)) / ticks);
  static const double booted = boot_time();
  out.gauge("process_start_time_seconds", "Start time of the process since unix epoch in seconds.",
            booted + number(kStart) / ticks);
  out.gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", number(kVirtual));
  out.gauge("process_resident_memory_bytes", "Resident memory size in bytes.",
            number(kResident) * static_cast<double>(::sysconf(_SC_PAGESIZE)));
  out.gauge("go_threads", "Threads of the process.", number(kThreads));
}

// Lines of /proc/self/net/netstat come in pairs: names, then values.
void show_network(Exposition& out) {
  std::ifstream file("/proc/self/net/netstat");
  for (std::string names, values; std::getline(file, names) && std::getline(file, values);) {
    if (!names.starts_with("IpExt:")) continue;
    std::istringstream name_words(names), value_words(values);
    for (std::string name, value; name_words >> name && value_words >> value;) {
      const double bytes = std::strtod(value.c_str(), nullptr);
      if (name == "InOctets") {
        out.counter("process_network_receive_bytes_total",
                    "Number of bytes received by the process over the network.", bytes);
      } else if (name == "OutOctets") {
        out.counter("process_network_transmit_bytes_total",
                    "Number of bytes sent by the process over the network.", bytes);
      }
    }
  }
}

void show_allocator(Exposition& out) {
  const AllocatorFigures memory = allocator_figures();
  if (memory.mapped == 0) return;
  auto gauge = [&](const char* name, const char* help, uint64_t value) {
    out.gauge(std::string("go_memstats_") + name, help, static_cast<double>(value));
  };
  gauge("alloc_bytes", "Bytes that the allocator has given out.", memory.allocated);
  gauge("heap_alloc_bytes", "Bytes that the allocator has given out.", memory.allocated);
  gauge("heap_inuse_bytes", "Bytes of pages that hold such bytes.", memory.active);
  gauge("heap_released_bytes", "Bytes of the allocator's that the system may have back.",
        memory.retained);
  gauge("heap_sys_bytes", "Bytes that the allocator has mapped.", memory.mapped);
  gauge("sys_bytes", "Bytes that the allocator has mapped.", memory.mapped);
}

}  // namespace

void show_process(Exposition& out) {
  const auto files = static_cast<double>(open_files());
  const double files_max = limit_of(RLIMIT_NOFILE);
  out.gauge("os_fd_used", "The number of used file descriptors.", files);
  out.gauge("os_fd_limit", "The file descriptor limit.", files_max);
  out.gauge("process_open_fds", "Number of open file descriptors.", files);
  out.gauge("process_max_fds", "Maximum number of open file descriptors.", files_max);
  out.gauge("process_virtual_memory_max_bytes",
            "Maximum amount of virtual memory available in bytes.", limit_of(RLIMIT_AS));
  show_stat(out);
  show_network(out);
  show_allocator(out);
  out.gauge("go_sched_gomaxprocs_threads", "Processors that the process may use.",
            std::thread::hardware_concurrency());
  // Dashboards show them as text.
  out.gauge("go_info", "The server is not written in Go.", 1, {{"version", "none"}});
  out.gauge("etcd_server_go_version", "The server is not written in Go.", 1,
            {{"server_go_version", "none"}});
}

void show_parts_that_are_not_here(Exposition& out) {
  auto none = [](size_t bounds, double first) {
    HistogramFigures figures;
    for (size_t i = 0; i < bounds; ++i, first *= 2) figures.bounds.push_back(first);
    figures.counts.assign(bounds + 1, 0);
    return figures;
  };
  const HistogramFigures disk = none(14, 0.001);
  const std::string bbolt = "etcd_debugging_disk_backend_commit_";
  for (const char* step : {"rebalance", "spill", "write"}) {
    out.histogram(
        bbolt + step + "_duration_seconds",
        std::string("The latency distributions of commit.") + step + " called by bboltdb backend.",
        disk);
  }
  out.histogram("etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds",
                "Bucketed histogram of index compaction pause duration.", none(14, 0.5));
  out.histogram("etcd_debugging_snap_save_total_duration_seconds",
                "The total latency distributions of save called by snapshot.", disk);
  out.histogram("etcd_debugging_snap_save_marshalling_duration_seconds",
                "The marshalling cost distributions of save called by snapshot.", disk);
  out.histogram("etcd_snap_fsync_duration_seconds",
                "The latency distributions of fsync called by snap.", disk);
  out.histogram("etcd_snap_db_fsync_duration_seconds",
                "The latency distributions of fsyncing .snap.db file", disk);
  out.counter("etcd_debugging_store_expires_total", "Total number of expired keys.", 0);
  out.counter("etcd_debugging_store_watch_requests_total",
              "Total number of incoming watch requests (new or reestablished).", 0);
  out.gauge("etcd_debugging_store_watchers", "Count of currently active watchers.", 0);
  const std::string proxy = "etcd_grpc_proxy_";
  out.gauge(proxy + "cache_hits_total", "Total number of cache hits", 0);
  out.gauge(proxy + "cache_keys_total", "Total number of keys/ranges cached", 0);
  out.gauge(proxy + "cache_misses_total", "Total number of cache misses", 0);
  out.gauge(proxy + "watchers_coalescing_total", "Total number of current watchers coalescing", 0);
  out.counter(proxy + "events_coalescing_total", "Total number of events coalescing", 0);
}

}  // namespace mortise::server
