// What the pages tell of this member.
#include "host/pages/pages.h"

#include <sys/resource.h>
#include <sys/statvfs.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "host/config/secrets.h"
#include "host/json/openapi.h"
#include "host/server/allocator_figures.h"
#include "host/server/server.h"

namespace mortise::server {
namespace {

using Json = nlohmann::ordered_json;

std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::vector<std::string> command_line() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> words;
  for (std::string word; std::getline(file, word, '\0');) words.push_back(std::move(word));
  return config::without_secrets(words);
}

// Those of Go's fields that mean something here.
Json memory_figures() {
  const AllocatorFigures memory = allocator_figures();
  return {{"Alloc", memory.allocated},
          {"Sys", memory.mapped},
          {"HeapAlloc", memory.allocated},
          {"HeapSys", memory.mapped},
          {"HeapInuse", memory.active}};
}

uint64_t open_files_limit() {
  rlimit limit{};
  return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 0;
}

const char* role_text(raft::Role role) {
  switch (role) {
    case raft::Role::kLeader: return "StateLeader";
    case raft::Role::kCandidate: return "StateCandidate";
    case raft::Role::kPreCandidate: return "StatePreCandidate";
    default: return "StateFollower";
  }
}

const char* progress_text(raft::ProgressState state) {
  switch (state) {
    case raft::ProgressState::kReplicate: return "StateReplicate";
    case raft::ProgressState::kSnapshot: return "StateSnapshot";
    default: return "StateProbe";
  }
}

Json raft_status(const raft::Inspection& raft) {
  Json progress = Json::object();
  for (const raft::PeerInspection& peer : raft.peers) {
    progress[membership::hex_id(peer.id)] = {
        {"match", peer.match}, {"next", peer.next}, {"state", progress_text(peer.state)}};
  }
  return {{"id", membership::hex_id(raft.basic.id)},
          {"term", raft.basic.term},
          {"vote", membership::hex_id(raft.basic.vote)},
          {"commit", raft.basic.committed},
          {"lead", membership::hex_id(raft.basic.leader)},
          {"raftState", role_text(raft.basic.role)},
          {"applied", raft.basic.applied},
          {"progress", progress},
          {"leadtransferee", membership::hex_id(raft.basic.transferee)}};
}

// Of all files in a folder and below; those that vanish meanwhile count nothing.
uint64_t bytes_below(const std::string& folder) {
  std::error_code error;
  uint64_t bytes = 0;
  for (std::filesystem::recursive_directory_iterator it(folder, error), end; !error && it != end;
       it.increment(error)) {
    std::error_code gone;
    const uint64_t size = it->is_regular_file(gone) ? it->file_size(gone) : 0;
    if (!gone) bytes += size;
  }
  return bytes;
}

uint64_t free_bytes(const std::string& folder) {
  struct statvfs space {};
  if (::statvfs(folder.c_str(), &space) != 0) return 0;
  return static_cast<uint64_t>(space.f_bavail) * space.f_frsize;
}

}  // namespace

pages::Versions Server::versions() const {
  pages::Versions versions;
  versions.server = config::kEtcdVersion;
  versions.cluster = cluster_->version();
  if (!versions.cluster.empty()) versions.storage = cluster_->storage_version();
  return versions;
}

pages::Source Server::page_source() {
  pages::Source source;
  source.metrics_listeners = config::url_texts(config_.listen_metrics_urls);
  source.versions = [this] { return versions(); };
  source.alarms = [this] {
    std::vector<std::string> names;
    for (const apply::Alarm& alarm : alarms_.list(apply::kAlarmNone)) {
      names.emplace_back(alarm.type == apply::kAlarmNoSpace   ? "NOSPACE"
                         : alarm.type == apply::kAlarmCorrupt ? "CORRUPT"
                                                              : "UNKNOWN");
    }
    return names;
  };
  source.has_leader = [this] { return leader() != raft::kNoNode; };
  source.is_learner = [this] { return is_learner(); };
  source.read = [this] {
    auto reader = store_->reader();
    Status status = reader.status();
    bool found;
    std::string_view row;
    if (status.ok()) status = reader->get(store::kMeta, membership::kIdentityKey, &found, &row);
    return status.ok() ? RpcStatus() : RpcStatus(RpcCode::kUnknown, status.message());
  };
  source.when_linearizable = [this](std::function<void(const RpcStatus&)> done) {
    when_linearizable(std::move(done));
  };
  source.variables = [this] { return page_variables(); };
  source.info = [this] { return page_info(); };
  source.openapi = [this] {
    const mortise_host_rpc_v1* rpc = service_->table();
    return json::openapi_document({rpc->methods, rpc->method_count}, config::kMortiseVersion);
  };
  source.log_level = [this] { return std::string(level_name(log_->level())); };
  source.set_log_level = [this](std::string_view name) { return set_log_level(name); };
  source.log = [this](std::string_view level, std::string_view message, std::string_view path,
                      std::string_view detail) {
    log_->write(level_named(level), message, {{"path", path}, {"output", detail}});
  };
  return source;
}

std::string Server::page_variables() {
  const Json status = raft_status(raft_->inspect());
  std::string text = "{\n\"cmdline\": " + text_of(command_line());
  text += ",\n\"file_descriptor_limit\": " + std::to_string(open_files_limit());
  text += ",\n\"memstats\": " + text_of(memory_figures());
  text += ",\n\"raft.status\": " + text_of(status);
  return text + "\n}\n";
}

std::string Server::page_info() {
  Json plugins = Json::array();
  for (const loader::Plugin* plugin : plugins_) {
    plugins.push_back({{"name", plugin->name},
                       {"version", plugin->version},
                       {"description", plugin->description}});
  }
  const api::StoreFigures store = store_figures();
  const auto up = std::chrono::system_clock::now() - made_at_;
  return text_of({{"mortise_version", config::kMortiseVersion},
                  {"etcd_version", config::kEtcdVersion},
                  {"name", config_.name},
                  {"member_id", membership::hex_id(cluster_->local_id())},
                  {"cluster_id", membership::hex_id(cluster_->cluster_id())},
                  {"started", time_text(made_at_)},
                  {"uptime_seconds", std::chrono::duration_cast<std::chrono::seconds>(up).count()},
                  {"plugins", plugins},
                  {"wal_bytes", bytes_below(data_dir_->wal_path())},
                  {"data_dir_bytes", bytes_below(config_.data_dir)},
                  {"db_bytes", store.bytes},
                  {"db_in_use_bytes", store.in_use},
                  {"quota_bytes", context_->limits.quota_bytes},
                  {"disk_free_bytes", free_bytes(config_.data_dir)}});
}

// Levels that would silence errors are the command line's to choose. Pages know no users, so nobody
// may where there are some.
RpcStatus Server::set_log_level(std::string_view name) {
  if (authority_ != nullptr && authority_->enabled()) return rpc_errors::kPermissionDenied;
  std::string lower(name);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (lower != "debug" && lower != "info" && lower != "warn" && lower != "error") {
    return RpcStatus(RpcCode::kInvalidArgument, "Invalid log level " + lower);
  }
  log_->warn("the log level was changed over HTTP",
             {{"from", level_name(log_->level())}, {"to", lower}});
  log_->set_level(level_named(lower));
  logs_all_calls_ = log_->enabled(Level::kDebug);
  return RpcStatus();
}

}  // namespace mortise::server
