// mortise-plugin-check: loads a plugin, says what it offers, and runs the conformance suite on it.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "host/loader/checked.h"
#include "host/loader/host_services.h"
#include "host/loader/loader.h"
#include "tests/conformance/suite.h"
#include "tools/plugin_check/sudden_end.h"

namespace mortise {
namespace {

namespace fs = std::filesystem;
using conformance::Totals;

struct Arguments {
  std::string file;
  std::string config = "{}";
  std::string directory;
  std::string filter;
  std::string oracle;
  uint64_t seed = 1;
  bool quick = false;
  bool checked = false;
  bool verbose = false;
  std::vector<std::string> child;  // role, directory, seed: this process is a child of another.
};

void print_line(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

void print_plugin(const loader::Plugin& plugin) {
  print_line(plugin.name + " " + plugin.version + ": " + plugin.description);
  print_line("  file       " + plugin.path);
  print_line("  ABI        " + std::to_string(plugin.abi_major) + "." +
             std::to_string(plugin.abi_minor));
  for (const loader::Interface& i : plugin.interfaces) {
    print_line("  interface  " + i.id);
    std::string optional;
    for (const loader::MemberInfo& m : loader::members(i)) {
      if (!m.required) optional += std::string(" ") + m.name + (m.present ? ": yes" : ": no");
    }
    if (!optional.empty()) print_line("             optional:" + optional);
  }
}

bool offers(const loader::Plugin& plugin, std::string_view id) {
  for (const loader::Interface& i : plugin.interfaces) {
    if (i.id == id) return true;
  }
  return false;
}

loader::HostOptions host_options(const loader::Plugin& plugin, bool verbose,
                                 loader::MetricsRegistry& metrics, loader::Executor& executor) {
  loader::HostOptions options;
  options.host_name = "mortise-plugin-check";
  options.host_version = "1.0.0";
  options.plugin_name = plugin.name;
  options.metrics = &metrics;
  options.executor = &executor;
  if (!verbose) return options;
  options.log = [](mortise_log_level level, std::string_view message,
                   std::span<const loader::LogField> fields) {
    std::string line = "log " + std::to_string(level) + " " + std::string(message);
    for (const loader::LogField& f : fields) {
      line.append(" ").append(f.key).append("=").append(f.value);
    }
    std::fprintf(stderr, "%s\n", line.c_str());
  };
  return options;
}

std::string own_path() {
  std::error_code ec;
  return fs::read_symlink("/proc/self/exe", ec).string();
}

// The command that runs this program as a child on the same plugin.
std::vector<std::string> child_command(const Arguments& a) {
  const std::string self = own_path();
  if (self.empty()) return {};
  return {self, fs::absolute(a.file).string(), "--config", a.config, "--child"};
}

// The memory backend, if it lies beside the plugin or where the build puts it. It is no oracle of
// itself.
const mortise_backend_v1* find_oracle(const Arguments& a, const mortise_backend_v1* table) {
  std::vector<std::string> places = {a.oracle};
  if (a.oracle.empty()) {
    places = {(fs::absolute(a.file).parent_path() / "backend_memory.so").string(),
              (fs::path(own_path()).parent_path() / "../plugins/backend_memory.so").string()};
  }
  for (const std::string& place : places) {
    const auto plugin = loader::load(place, {}, "");
    if (!plugin.ok()) continue;
    const auto oracle = loader::backend(*plugin.value());
    if (oracle.ok() && oracle.value() != table) return oracle.value();
  }
  return nullptr;
}

// A directory of our own below the one that was given, or below the system's for temporary files.
std::string make_directory(const std::string& wanted) {
  std::error_code ec;
  const fs::path base = wanted.empty() ? fs::temp_directory_path(ec) : fs::path(wanted);
  std::string pattern = (base / "mortise-plugin-check.XXXXXX").string();
  return ::mkdtemp(pattern.data()) != nullptr ? pattern : "";
}

int finish(const Totals& totals) {
  std::string line =
      std::to_string(totals.passed) + " passed, " + std::to_string(totals.failed) + " failed";
  if (totals.skipped != 0) line += ", " + std::to_string(totals.skipped) + " skipped";
  print_line(line);
  return totals.failed == 0 ? 0 : 1;
}

int complain(const Status& status) {
  std::fprintf(stderr, "%s\n", status.message().c_str());
  return 1;
}

int check_backend(const Arguments& a, const loader::Plugin& plugin, conformance::Options& options) {
  auto found = loader::backend(plugin);
  if (!found.ok()) return complain(found.status());
  const mortise_backend_v1* table = found.value();
  if (a.checked) table = loader::checked_backend(table);
  if (!a.child.empty()) {
    return conformance::child_main(table, options.host, a.child[0], a.child[1], a.config,
                                   std::strtoull(a.child[2].c_str(), nullptr, 10));
  }
  options.oracle = find_oracle(a, found.value());
  options.child_command = child_command(a);
  options.directory = make_directory(a.directory);
  if (options.directory.empty()) {
    return complain(errno_status(errno, "a directory for the checks in \"" + a.directory + "\""));
  }
  print_line(std::string("  oracle     ") +
             (options.oracle != nullptr ? "backend_memory" : "std::map"));
  print_line("  directory  " + options.directory);
  const Totals totals = conformance::run_backend_suite(table, options);
  std::error_code ignored;
  if (totals.failed == 0) fs::remove_all(options.directory, ignored);
  return finish(totals);
}

int check_watch(const Arguments& a, const loader::Plugin& plugin,
                const conformance::Options& options) {
  const auto table = loader::watch(plugin);
  if (!table.ok()) return complain(table.status());
  return finish(conformance::run_watch_suite(
      a.checked ? loader::checked_watch(table.value()) : table.value(), options));
}

int check_auth(const Arguments& a, const loader::Plugin& plugin,
               const conformance::Options& options) {
  const auto table = loader::auth(plugin);
  if (!table.ok()) return complain(table.status());
  return finish(conformance::run_auth_suite(
      a.checked ? loader::checked_auth(table.value()) : table.value(), options));
}

int run(const Arguments& a) {
  if (a.file.empty())
    return complain(Status(StatusCode::kInvalid, "plugin \"\": no file is named"));
  const auto loaded = loader::load(fs::absolute(a.file).string(), {}, "");
  if (!loaded.ok()) return complain(loaded.status());
  const loader::Plugin& plugin = *loaded.value();
  if (a.child.empty()) print_plugin(plugin);
  note_step("the suite");
  loader::MetricsRegistry metrics;
  loader::Executor executor(2);
  loader::HostObject host(host_options(plugin, a.verbose, metrics, executor));
  conformance::Options options;
  options.host = host.get();
  options.config = a.config;
  options.seed = a.seed;
  options.quick = a.quick;
  options.filter = a.filter;
  options.print = print_line;
  options.begin = note_step;
  if (offers(plugin, MORTISE_BACKEND_ID)) return check_backend(a, plugin, options);
  if (offers(plugin, MORTISE_WATCH_ID)) return check_watch(a, plugin, options);
  if (offers(plugin, MORTISE_AUTH_ID)) return check_auth(a, plugin, options);
  if (offers(plugin, MORTISE_TRANSPORT_ID)) {
    print_line("no suite for this interface: nothing was called");
    return 0;
  }
  return complain(invalid("plugin " + plugin.path +
                          ": wanted an interface that this program knows, found only others"));
}

}  // namespace
}  // namespace mortise

int main(int argc, char** argv) {
  CLI::App app(
      "Loads a mortise plugin, says what it offers, and checks that it keeps the contract.");
  mortise::Arguments a;
  app.add_option("FILE", a.file, "The plugin, a shared object")->required();
  app.add_option("--config", a.config, "The plugin's options, a JSON object");
  app.add_option("--dir", a.directory, "Where to make the stores; kept if a check fails");
  app.add_option("--seed", a.seed, "Seed of everything random");
  app.add_option("--filter", a.filter, "Only checks whose name contains this");
  app.add_option("--oracle", a.oracle, "A backend to compare with, instead of backend_memory.so");
  app.add_flag("--quick", a.quick, "Fewer rounds");
  app.add_flag("--checked", a.checked, "Watch every call through the checked wrappers");
  app.add_flag("--verbose", a.verbose, "Write the plugin's log lines to stderr");
  app.add_option("--child", a.child)->expected(3)->group("");
  CLI11_PARSE(app, argc, argv);
  // A child's end is its parent's to judge.
  if (a.child.empty()) mortise::watch_for_sudden_end();
  const int code = mortise::run(a);
  mortise::expect_end();
  return code;
}
