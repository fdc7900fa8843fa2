#include "tests/lib/node.h"

#include <signal.h>
#include <unistd.h>

#include <cstdlib>

#include "tests/lib/client.h"

namespace mortise::testing {
namespace {

constexpr size_t kLogTailBytes = 3000;
constexpr std::chrono::milliseconds kProbeBound{2000};

std::string exit_text(const Exit& exit) {
  return exit.signal != 0 ? "ended by signal " + std::to_string(exit.signal)
                          : "exited with " + std::to_string(exit.code);
}

}  // namespace

Target mortise_target(const std::string& backend) {
  const char* build = std::getenv("MORTISE_BUILD_DIR");
  MORTISE_CHECK(build != nullptr, "MORTISE_BUILD_DIR names the build directory");
  return {backend, std::string(build) + "/bin/mortised", backend};
}

Target etcd_target(const std::string& binary) { return {"etcd", binary, ""}; }

bool available(const Target& target) { return ::access(target.binary.c_str(), X_OK) == 0; }

std::vector<Target> mortise_targets() {
  return {mortise_target("rocksdb"), mortise_target("lmdb")};
}

Node::Node(Target target, NodeOptions options)
    : target_(std::move(target)), options_(std::move(options)), dir_(options_.in_memory) {
  log_path_ = dir_.path() + "/log";
  if (options_.data_dir.empty()) options_.data_dir = dir_.path() + "/data";
  client_url_ = options_.client_url;
  if (client_url_.empty()) client_url_ = "http://127.0.0.1:" + std::to_string(free_port());
  peer_url_ = options_.peer_url;
  if (peer_url_.empty()) peer_url_ = "http://127.0.0.1:" + std::to_string(free_port());
}

std::string Node::endpoint() const {
  if (client_url_.starts_with("unix://")) return "unix:" + client_url_.substr(7);
  return client_url_.substr(client_url_.find("//") + 2);
}

std::vector<std::string> Node::argv() const {
  const std::string& advertised = advertised_peer_url();
  std::string members = options_.initial_cluster;
  if (members.empty()) members = options_.name + "=" + advertised;
  std::vector<std::string> out = {target_.binary,
                                  "--name=" + options_.name,
                                  "--data-dir=" + options_.data_dir,
                                  "--listen-client-urls=" + client_url_,
                                  "--advertise-client-urls=" + client_url_,
                                  "--listen-peer-urls=" + peer_url_,
                                  "--initial-advertise-peer-urls=" + advertised};
  if (!options_.discovers) out.push_back("--initial-cluster=" + members);
  if (options_.joins) out.push_back("--initial-cluster-state=existing");
  if (!target_.is_etcd()) out.push_back("--backend=" + target_.backend);
  out.insert(out.end(), options_.flags.begin(), options_.flags.end());
  return out;
}

Status Node::launch() {
  Command command;
  command.argv = argv();
  command.env = options_.env;
  command.output_path = log_path_;
  command.directory = dir_.path();
  command.user = options_.user;
  MORTISE_ASSIGN_OR_RETURN(process_, Process::start(command));
  return Status();
}

Status Node::start() {
  MORTISE_RETURN_IF_ERROR(launch());
  return wait_ready();
}

Status Node::wait_ready() {
  auto deadline = std::chrono::steady_clock::now() + kStartBound;
  grpc::Status status;
  for (;;) {
    // A new connection each time: one that was refused waits before it tries again.
    Client client(endpoint());
    etcdserverpb::StatusResponse response;
    status = client.status(&response, kProbeBound);
    // Without a leader the member answers, but serves no writes yet.
    if ((status.ok() && response.leader() != 0) || wants_login(status)) return Status();
    auto exit = process_->wait(std::chrono::milliseconds(5));
    bool late = std::chrono::steady_clock::now() >= deadline;
    if (!exit && !late) continue;
    std::string text = log();
    if (text.size() > kLogTailBytes) text.erase(0, text.size() - kLogTailBytes);
    return internal_error(target_.name +
                          (exit ? ": " + exit_text(*exit) : ": no answer, " + status_text(status)) +
                          "; end of its log:\n" + text);
  }
}

std::optional<Exit> Node::stop() {
  process_->signal(SIGTERM);
  auto exit = process_->wait(kStopBound);
  process_ = nullptr;
  return exit;
}

void Node::kill() { process_ = nullptr; }

}  // namespace mortise::testing
