// Measures a backend plugin through the C ABI: CPU time for each put, lookup and scanned pair, of
// the whole process with its background threads, and resident memory.
//
//   backend_bench PLUGIN.so EMPTY_DIRECTORY [--keys=N] [--puts=N] [--value=BYTES] [--batch=N]
//                [--config=JSON]
//
// A put is what the host makes of one: a revision row, the current row, a history row, and a
// position row for each commit. Figures are of this machine and for comparison only.
#include <dlfcn.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "mortise/abi/backend.h"
#include "mortise/abi/plugin.h"

namespace {

enum Keyspace : uint32_t { kRevisions = 0, kCurrent = 1, kHistory = 2, kMeta = 3 };

constexpr size_t kRowHeaderBytes = 44;
constexpr size_t kPageKeys = 500;
constexpr auto kSettleStep = std::chrono::milliseconds(300);
constexpr double kSettledCpuSeconds = 0.003;

struct Arguments {
  std::string plugin;
  std::string directory;
  std::string config = "{}";
  uint64_t keys = 1'000'000;
  uint64_t puts = 1'000'000;
  uint64_t value_bytes = 256;
  uint64_t batch = 0;  // Zero: several.
};

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](timeval t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double resident_mb() {
  std::ifstream statm("/proc/self/statm");
  uint64_t total = 0;
  uint64_t resident = 0;
  statm >> total >> resident;
  return static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE)) / 1e6;
}

[[noreturn]] void die(const char* doing, mortise_status status, const mortise_error& error) {
  std::fprintf(stderr, "%s: status %d: %s\n", doing, status, error.message);
  std::exit(1);
}

mortise_bytes bytes(std::string_view v) {
  return {reinterpret_cast<const uint8_t*>(v.data()), v.size()};
}

const void* no_service(const mortise_host*, const char*) { return nullptr; }

const mortise_host kHost = {sizeof(mortise_host), 0, "backend_bench", "1", nullptr, &no_service};

class Bench {
 public:
  Bench(const mortise_backend_v1* table, Arguments arguments)
      : table_(table), arguments_(std::move(arguments)) {
    error_.struct_size = sizeof error_;
    // Half of a value repeats itself, half does not.
    pool_.resize(1 << 20);
    for (size_t i = 0; i < pool_.size(); ++i) {
      pool_[i] = (i / 64) % 2 == 0 ? static_cast<char>(random_()) : 'v';
    }
  }

  void run() {
    open();
    load();
    for (const uint64_t batch : {1, 16, 128, 512}) {
      if (arguments_.batch != 0 && arguments_.batch != batch) continue;
      const uint64_t puts = batch == 1 ? arguments_.puts / 4 : arguments_.puts;
      measure_puts("uniform puts", batch, puts, false);
    }
    measure_gets("gets, uniform", arguments_.keys);
    measure_gets("gets, 1000 hot keys", std::min<uint64_t>(arguments_.keys, 1000));
    measure_readers();
    measure_pages();
    measure_full_scan();
    print_size();
    reopen();
    measure_gets("gets after reopen", arguments_.keys);
    measure_full_scan();
    print_size();
    table_->store_close(store_);
  }

 private:
  void check(const char* doing, mortise_status status) {
    if (status != MORTISE_OK) die(doing, status, error_);
  }

  void open() {
    const double start = wall_seconds();
    check("open", table_->store_open(&kHost, arguments_.directory.c_str(), bytes(arguments_.config),
                                     &store_, &error_));
    std::printf("open                      %8.1f ms             RSS %6.1f MB\n",
                (wall_seconds() - start) * 1e3, resident_mb());
  }

  void reopen() {
    sync();
    table_->store_close(store_);
    open();
  }

  void sync() {
    uint64_t index = 0;
    check("sync", table_->sync(store_, &index, &error_));
  }

  std::string user_key(uint64_t n) const {
    char text[32];
    std::snprintf(text, sizeof text, "bench/%016" PRIu64, n * 2654435761 % arguments_.keys);
    return text;
  }

  std::string& keep(std::string text) { return arena_.emplace_back(std::move(text)); }

  void add_put(uint64_t key_number) {
    ++revision_;
    std::string& revision = keep(std::string(17, '\0'));
    for (int i = 0; i < 8; ++i) revision[7 - i] = static_cast<char>(revision_ >> (8 * i));
    revision[8] = '_';
    const std::string& key = keep(user_key(key_number));
    const size_t size = arguments_.value_bytes + kRowHeaderBytes;
    const std::string_view row(pool_.data() + random_() % (pool_.size() - size), size);
    const std::string& history = keep(key + revision);
    ops_.push_back({MORTISE_OP_PUT, kRevisions, bytes(revision), bytes(row)});
    ops_.push_back({MORTISE_OP_PUT, kCurrent, bytes(key), bytes(row)});
    ops_.push_back({MORTISE_OP_PUT, kHistory, bytes(history), bytes("")});
  }

  void commit() {
    ops_.push_back({MORTISE_OP_PUT, kMeta, bytes("consistent_index"), bytes("01234567")});
    mortise_commit_request request{};
    request.struct_size = sizeof request;
    request.applied_index = ++index_;
    request.applied_term = 1;
    request.ops = ops_.data();
    request.op_count = ops_.size();
    const double start = wall_seconds();
    check("commit", table_->commit(store_, &request, &error_));
    slowest_commit_ = std::max(slowest_commit_, wall_seconds() - start);
    ops_.clear();
    arena_.clear();
  }

  // Waits until background work has come to rest; its CPU time belongs to the puts.
  static void settle() {
    for (double before = cpu_seconds();;) {
      std::this_thread::sleep_for(kSettleStep);
      const double now = cpu_seconds();
      if (now - before < kSettledCpuSeconds) return;
      before = now;
    }
  }

  template <class KeyOf>
  void run_puts(const char* name, size_t batch, uint64_t puts, KeyOf key_of, bool sync_at_end) {
    slowest_commit_ = 0;
    const double cpu = cpu_seconds();
    const double wall = wall_seconds();
    for (uint64_t i = 0; i < puts; ++i) {
      add_put(key_of(i));
      if ((i + 1) % batch == 0 || i + 1 == puts) commit();
    }
    const double took = wall_seconds() - wall;
    const double foreground = cpu_seconds() - cpu;
    if (sync_at_end) sync();
    settle();
    const double all = cpu_seconds() - cpu;
    const double n = static_cast<double>(puts);
    std::printf(
        "%-15s batch %4zu %6.2f us CPU/put (%5.2f until the last commit) %6.0f k/s, slowest commit "
        "%6.2f ms, RSS %6.1f MB\n",
        name, batch, all / n * 1e6, foreground / n * 1e6, n / took / 1e3, slowest_commit_ * 1e3,
        resident_mb());
    std::fflush(stdout);
  }

  void load() {
    run_puts(
        "load", 128, arguments_.keys, [](uint64_t i) { return i; }, true);
  }

  void measure_puts(const char* name, size_t batch, uint64_t puts, bool sync_at_end) {
    run_puts(
        name, batch, puts, [this](uint64_t) { return random_() % arguments_.keys; }, sync_at_end);
  }

  // One reader for each lookup, as the host does it.
  void measure_gets(const char* name, uint64_t keys) {
    constexpr uint64_t kGets = 500'000;
    std::vector<std::string> asked;
    for (size_t i = 0; i < 4096; ++i) asked.push_back(user_key(random_() % keys));
    uint64_t found = 0;
    const double cpu = cpu_seconds();
    for (uint64_t i = 0; i < kGets; ++i) {
      if (i % 4096 == 0 && keys > 4096) {
        for (std::string& key : asked) key = user_key(random_() % keys);
      }
      mortise_reader* reader = nullptr;
      check("reader_open", table_->reader_open(store_, &reader, &error_));
      mortise_bytes value{};
      const mortise_status status =
          table_->get(reader, kCurrent, bytes(asked[i % asked.size()]), &value, &error_);
      if (status == MORTISE_OK) ++found;
      table_->reader_close(reader);
    }
    std::printf("%-25s %6.2f us CPU/get, %" PRIu64 " found, RSS %6.1f MB\n", name,
                (cpu_seconds() - cpu) / kGets * 1e6, found, resident_mb());
  }

  void measure_readers() {
    constexpr uint64_t kReaders = 1'000'000;
    const double cpu = cpu_seconds();
    for (uint64_t i = 0; i < kReaders; ++i) {
      mortise_reader* reader = nullptr;
      check("reader_open", table_->reader_open(store_, &reader, &error_));
      table_->reader_close(reader);
    }
    std::printf("reader open and close     %6.3f us CPU\n", (cpu_seconds() - cpu) / kReaders * 1e6);
  }

  uint64_t scan(uint32_t keyspace, uint32_t flags, std::string_view lower, uint64_t limit) {
    mortise_reader* reader = nullptr;
    check("reader_open", table_->reader_open(store_, &reader, &error_));
    mortise_cursor* cursor = nullptr;
    check("cursor_open", table_->cursor_open(reader, keyspace, flags, &cursor, &error_));
    check("cursor_seek", table_->cursor_seek(cursor, bytes(lower), bytes(""), &error_));
    mortise_bytes key{};
    mortise_bytes value{};
    uint64_t pairs = 0;
    while (pairs < limit && table_->cursor_next(cursor, &key, &value, &error_) == MORTISE_OK) {
      ++pairs;
    }
    table_->cursor_close(cursor);
    table_->reader_close(reader);
    return pairs;
  }

  void measure_pages() {
    constexpr uint64_t kPages = 1000;
    uint64_t pairs = 0;
    const double cpu = cpu_seconds();
    for (uint64_t i = 0; i < kPages; ++i) {
      pairs += scan(kCurrent, 0, user_key(random_() % arguments_.keys), kPageKeys);
    }
    const double used = cpu_seconds() - cpu;
    std::printf("pages of %zu              %6.1f us CPU/page, %5.3f us/pair, RSS %6.1f MB\n",
                kPageKeys, used / kPages * 1e6, used / static_cast<double>(pairs) * 1e6,
                resident_mb());
  }

  void measure_full_scan() {
    for (const uint32_t keyspace : {kCurrent, kRevisions}) {
      const double cpu = cpu_seconds();
      const uint64_t pairs = scan(keyspace, MORTISE_CURSOR_NO_CACHE, "", UINT64_MAX);
      std::printf("full scan, keyspace %u     %5.3f us CPU/pair, %" PRIu64 " pairs, RSS %6.1f MB\n",
                  keyspace, (cpu_seconds() - cpu) / static_cast<double>(pairs) * 1e6, pairs,
                  resident_mb());
    }
  }

  void print_size() {
    mortise_store_size size{};
    size.struct_size = sizeof size;
    const double start = wall_seconds();
    check("size", table_->size(store_, &size, &error_));
    std::printf("size: %.1f MB allocated, %.1f MB in use, %.1f MB memory (%.0f us)\n",
                static_cast<double>(size.allocated_bytes) / 1e6,
                static_cast<double>(size.in_use_bytes) / 1e6,
                static_cast<double>(size.memory_bytes) / 1e6, (wall_seconds() - start) * 1e6);
  }

  const mortise_backend_v1* const table_;
  const Arguments arguments_;
  mortise_backend* store_ = nullptr;
  mortise_error error_{};
  std::mt19937_64 random_{42};
  std::string pool_;
  std::deque<std::string> arena_;
  std::vector<mortise_write_op> ops_;
  uint64_t revision_ = 1;
  uint64_t index_ = 0;
  double slowest_commit_ = 0;
};

bool take(std::string_view argument, std::string_view name, std::string& out) {
  if (argument.substr(0, name.size()) != name) return false;
  out = argument.substr(name.size());
  return true;
}

bool parse(int argc, char** argv, Arguments& out) {
  std::vector<std::string> positional;
  for (int i = 1; i < argc; ++i) {
    std::string value;
    if (take(argv[i], "--keys=", value)) {
      out.keys = std::strtoull(value.c_str(), nullptr, 10);
    } else if (take(argv[i], "--puts=", value)) {
      out.puts = std::strtoull(value.c_str(), nullptr, 10);
    } else if (take(argv[i], "--value=", value)) {
      out.value_bytes = std::strtoull(value.c_str(), nullptr, 10);
    } else if (take(argv[i], "--batch=", value)) {
      out.batch = std::strtoull(value.c_str(), nullptr, 10);
    } else if (take(argv[i], "--config=", value)) {
      out.config = value;
    } else if (argv[i][0] != '-') {
      positional.emplace_back(argv[i]);
    } else {
      return false;
    }
  }
  if (positional.size() != 2 || out.keys == 0 || out.value_bytes > 65536) return false;
  out.plugin = positional[0];
  out.directory = positional[1];
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (!parse(argc, argv, arguments)) {
    std::fprintf(stderr,
                 "usage: backend_bench PLUGIN.so EMPTY_DIRECTORY [--keys=N] [--puts=N] "
                 "[--value=BYTES] [--batch=1|16|128|512] [--config=JSON]\n");
    return 2;
  }
  void* object = ::dlopen(arguments.plugin.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (object == nullptr) {
    std::fprintf(stderr, "%s\n", ::dlerror());
    return 1;
  }
  const auto* plugin =
      static_cast<const mortise_plugin_v1*>(::dlsym(object, MORTISE_PLUGIN_SYMBOL));
  if (plugin == nullptr) {
    std::fprintf(stderr, "%s\n", ::dlerror());
    return 1;
  }
  for (size_t i = 0; i < plugin->interface_count; ++i) {
    if (std::strcmp(plugin->interfaces[i].id, MORTISE_BACKEND_ID) != 0) continue;
    Bench(static_cast<const mortise_backend_v1*>(plugin->interfaces[i].table), arguments).run();
    return 0;
  }
  std::fprintf(stderr, "%s offers no %s\n", arguments.plugin.c_str(), MORTISE_BACKEND_ID);
  return 1;
}
