// mortise-scenarios: plays scenarios to a server and compares what comes with what they say.
// Exit 0: all equal. 77: there is no such etcd here.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "tests/scenarios/script.h"
#include "tests/scenarios/session.h"

namespace mortise::scenarios {
namespace {

constexpr int kSkipped = 77;

struct Arguments {
  std::string target = "rocksdb";
  std::vector<std::string> files;
  bool rewrite = false;
};

testing::Target target_of(const std::string& name) {
  if (name == "etcd") return testing::etcd_target();
  if (name.starts_with("/")) return testing::etcd_target(name);
  return testing::mortise_target(name);
}

// "3.4.23", as the server says; empty if it does not start.
std::string version_of(const testing::Target& target) {
  testing::Node node(target, {.in_memory = true});
  etcdserverpb::StatusResponse response;
  if (!node.start().ok()) return "";
  testing::Client(node.endpoint()).status(&response);
  return response.version();
}

// Versions of one digit each, as etcd's are.
bool at_least(const std::string& version, const std::string& since) {
  return version.substr(0, since.size()) >= since;
}

bool play(const testing::Target& target, const std::string& path, const Script& script,
          bool rewrite) {
  Session session(target);
  std::string error = session.start();
  if (!error.empty()) {
    std::printf("%s: the server does not start: %s\n", path.c_str(), error.c_str());
    return false;
  }
  bool equal = true;
  std::vector<std::string> results;
  for (const Step& step : script.steps) {
    results.push_back(session.run(step.text));
    bool wrong = results.back().starts_with("?");
    if (wrong || (!rewrite && results.back() != step.expected)) {
      std::printf("%s:%d: %s\n--- expected\n%s--- came\n%s", path.c_str(), step.line,
                  step.text[0].c_str(), step.expected.c_str(), results.back().c_str());
      equal = false;
    }
  }
  std::string left = session.left();
  if (!left.empty()) std::printf("%s: at the end: %s", path.c_str(), left.c_str());
  if (rewrite) testing::write_text(path, render(script, results));
  return equal && left.empty();
}

int main_function(const Arguments& arguments) {
  testing::Target target = target_of(arguments.target);
  if (target.is_etcd() && !testing::available(target)) {
    std::printf("skipped: no %s\n", target.binary.c_str());
    return kSkipped;
  }
  std::string version = version_of(target);
  int failed = 0;
  for (const std::string& path : arguments.files) {
    auto script = parse(testing::read_text(path));
    if (!script.ok() || script.value().steps.empty()) {
      std::printf("%s: %s\n", path.c_str(),
                  script.ok() ? "no steps" : script.status().message().c_str());
      ++failed;
    } else if (!at_least(version, script.value().since)) {
      std::printf("%s: not for %s\n", path.c_str(), version.c_str());
    } else if (play(target, path, script.value(), arguments.rewrite)) {
      std::printf("%s: %zu steps\n", path.c_str(), script.value().steps.size());
    } else {
      ++failed;
    }
    std::fflush(stdout);
  }
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace mortise::scenarios

int main(int argc, char** argv) {
  mortise::scenarios::Arguments arguments;
  CLI::App app("Plays scenarios to a server and compares what comes with what they say");
  app.add_option("--target", arguments.target, "rocksdb, lmdb, etcd, or the path of an etcd")
      ->capture_default_str();
  app.add_flag("--rewrite", arguments.rewrite, "Write what comes into the files");
  app.add_option("files", arguments.files, "Scenarios")->required();
  CLI11_PARSE(app, argc, argv);
  return mortise::scenarios::main_function(arguments);
}
