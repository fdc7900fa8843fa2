#include "host/server/etcd_import.h"

#include <sys/stat.h>

#include <cerrno>
#include <cinttypes>
#include <filesystem>

#include "host/etcd_dir/log.h"
#include "host/etcd_dir/member_entries.h"
#include "host/etcd_dir/snap_file.h"
#include "host/etcd_dir/v2_members.h"
#include "host/snapshot/etcd_state.h"
#include "host/snapshot/loader.h"

namespace mortise::server {
namespace {

namespace fs = std::filesystem;

constexpr size_t kLogBatchBytes = 4 << 20;

Status in_file(const std::string& path, const Status& status) {
  return Status(status.code(), path + ": " + status.message());
}

// Nothing is in a log that is being made.
class NoEntries : public wal::RecoverySink {
 public:
  void drop_from(uint64_t) override {}
  Status append(const wal::EntryRecord&) override { return Status(); }
};

// Our log while it is written.
class LogCopy {
 public:
  Status open(const std::string& path, const etcd_dir::Log& log, uint64_t segment_bytes);
  Status add(const etcd_dir::LogEntry& entry);
  Status finish(const raft::HardState& state);

 private:
  Status flush();
  std::unique_ptr<wal::Wal> wal_;
  wal::BatchBuffer batch_;
};

Status LogCopy::open(const std::string& path, const etcd_dir::Log& log, uint64_t segment_bytes) {
  wal::Options options;
  options.dir = path;
  options.cluster_id = log.cluster_id;
  options.member_id = log.member_id;
  options.segment_bytes = segment_bytes;
  NoEntries none;
  MORTISE_ASSIGN_OR_RETURN(wal_, wal::Wal::open(options, none));
  if (log.snapshot.index > 0) {
    batch_.add_snapshot_mark({log.snapshot.index, log.snapshot.term, /*replaces_log=*/true});
  }
  return Status();
}

Status LogCopy::add(const etcd_dir::LogEntry& entry) {
  batch_.add_entry({entry.term, entry.index, static_cast<uint8_t>(entry.type), entry.data});
  return batch_.payload_bytes() < kLogBatchBytes ? Status() : flush();
}

Status LogCopy::flush() {
  MORTISE_RETURN_IF_ERROR(wal_->append(batch_));
  batch_.clear(2 * kLogBatchBytes);
  return Status();
}

Status LogCopy::finish(const raft::HardState& state) {
  batch_.set_hard_state({state.term, state.vote, state.commit});
  MORTISE_RETURN_IF_ERROR(flush());
  wal_.reset();
  return Status();
}

class Import {
 public:
  Import(const ImportPaths& paths, const ImportHooks& hooks, Log* log)
      : paths_(paths), hooks_(hooks), server_log_(log) {}
  Status run();

 private:
  Status read_etcd_log();
  Status choose_database();
  Result<snapshot::EtcdState> read_database(const std::string& path);
  Status copy_log();
  Status check_log_end() const;
  Result<etcd_dir::Membership> membership_by_log() const;
  Status choose_members();
  Status load_store();

  const ImportPaths& paths_;
  const ImportHooks& hooks_;
  Log* const server_log_;
  etcd_dir::Log log_;
  std::string database_;
  snapshot::EtcdState state_;
  snapshot::Position applied_;  // The database's, with the term that the log has there.
  uint64_t last_index_ = 0;
  uint64_t entries_ = 0;
  etcd_dir::MemberEntries member_entries_;
  snapshot::LoadOptions load_;
};

Status Import::run() {
  MORTISE_RETURN_IF_ERROR(read_etcd_log());
  MORTISE_RETURN_IF_ERROR(choose_database());
  MORTISE_RETURN_IF_ERROR(copy_log());
  MORTISE_RETURN_IF_ERROR(check_log_end());
  MORTISE_RETURN_IF_ERROR(choose_members());
  return load_store();
}

Status Import::read_etcd_log() {
  auto log = etcd_dir::read_log(paths_.etcd_wal);
  if (!log.ok() && log.status().code() == StatusCode::kNotFound) {
    return invalid(log.status().message() + " for the database in " + paths_.etcd_snap +
                   "; if that etcd ran with --wal-dir, mortised needs the same");
  }
  MORTISE_RETURN_IF_ERROR(log.status());
  log_ = std::move(*log);
  if (!log_.end.torn.empty()) {
    server_log_->warn(
        "left out a write that a crash cut short at the end of etcd's log",
        {{"path", log_.end.path}, {"offset", log_.end.offset}, {"reason", log_.end.torn}});
  }
  return Status();
}

Result<snapshot::EtcdState> Import::read_database(const std::string& path) {
  MORTISE_ASSIGN_OR_RETURN(auto source, bbolt::FileSource::open(path));
  auto file = bbolt::File::open(source.get());
  if (!file.ok()) return in_file(path, file.status());
  auto state = snapshot::read_etcd_state(*file);
  if (!state.ok()) return in_file(path, state.status());
  return state;
}

// A crash may have left the database from before a leader's snapshot that raft had taken, and that
// snapshot's beside it.
Status Import::choose_database() {
  database_ = paths_.etcd_snap + "/db";
  MORTISE_ASSIGN_OR_RETURN(state_, read_database(database_));
  const uint64_t needed = log_.snapshot.index;
  if (state_.position.index < needed) {
    char name[32];
    std::snprintf(name, sizeof name, "/%016" PRIx64 ".snap.db", needed);
    const std::string received = paths_.etcd_snap + name;
    std::error_code error;
    const uint64_t before = state_.position.index;
    if (fs::exists(received, error)) {
      database_ = received;
      MORTISE_ASSIGN_OR_RETURN(state_, read_database(database_));
    }
    if (state_.position.index < needed) {
      return corruption("database file (" + paths_.etcd_snap + "/db index " +
                        std::to_string(before) + ") does not match with snapshot (index " +
                        std::to_string(needed) + ")");
    }
  }
  if (state_.auth_enabled && !hooks_.enforces_auth) {
    return invalid(database_ +
                   ": the data has authentication enabled, and this member runs without a plugin "
                   "for it (--auth-plugin=none)");
  }
  applied_.index = state_.position.index;
  if (applied_.index == log_.snapshot.index) applied_.term = log_.snapshot.term;
  return Status();
}

Status Import::copy_log() {
  LogCopy copy;
  MORTISE_RETURN_IF_ERROR(copy.open(paths_.wal, log_, hooks_.log_segment_bytes));
  auto last = etcd_dir::read_entries(log_, [&](const etcd_dir::LogEntry& entry) {
    ++entries_;
    if (entry.index == applied_.index) applied_.term = entry.term;
    member_entries_.note(entry);
    return copy.add(entry);
  });
  MORTISE_RETURN_IF_ERROR(last.status());
  last_index_ = *last;
  return copy.finish(log_.state);
}

Status Import::check_log_end() const {
  const std::string end = log_.end.path + ": offset " + std::to_string(log_.end.offset) +
                          ": the log ends with entry " + std::to_string(last_index_);
  if (last_index_ < applied_.index) {
    return corruption(end + ", but " + database_ + " holds what entries up to " +
                      std::to_string(applied_.index) + " did");
  }
  if (last_index_ < log_.state.commit) {
    return corruption(end + ", but entries up to " + std::to_string(log_.state.commit) +
                      " were committed");
  }
  return Status();
}

// As of what is applied. kNotFound if the log does not reach back far enough.
Result<etcd_dir::Membership> Import::membership_by_log() const {
  etcd_dir::Membership before;
  if (log_.snapshot.index > 0) {
    const std::string path =
        paths_.etcd_snap + "/" + etcd_dir::snap_file_name(log_.snapshot.term, log_.snapshot.index);
    MORTISE_ASSIGN_OR_RETURN(auto file, etcd_dir::read_snap_file(path));
    auto members = etcd_dir::read_v2_members(file.data);
    if (!members.ok()) return in_file(path, members.status());
    before = std::move(*members);
  }
  return member_entries_.after(std::move(before), applied_.index, hooks_.learners_max);
}

// From 3.6 on the database says who the members are; before, the log does. etcdctl 3.4 restores a
// snapshot without changing the members in it, so a database that another log has made is not
// asked, however new it is.
Status Import::choose_members() {
  const bool database_knows =
      !state_.storage_version.empty() && state_.position.term == applied_.term;
  if (!database_knows) {
    auto by_log = membership_by_log();
    const bool can_do_without = !by_log.ok() && state_.position.term == applied_.term;
    if (!can_do_without) {
      MORTISE_RETURN_IF_ERROR(by_log.status());
      load_.roster = std::move(by_log->roster);
      load_.cluster_version = by_log->cluster_version;
    }
  }
  std::vector<membership::Member> members = state_.members;
  if (load_.roster) {
    members.clear();
    for (const auto& [id, member] : load_.roster->members) members.push_back(member);
  }
  if (applied_.index > 0 && members.empty()) {
    return corruption(database_ + ": the cluster has no members");
  }
  load_.conf_state = snapshot::conf_state_of(members);
  return Status();
}

Status Import::load_store() {
  const auto started = std::chrono::steady_clock::now();
  if (::mkdir(paths_.store.c_str(), 0700) != 0) {
    return errno_status(errno, "cannot create directory " + paths_.store);
  }
  MORTISE_ASSIGN_OR_RETURN(auto source, bbolt::FileSource::open(database_));
  server_log_->info("loading etcd's database", {{"path", database_}, {"bytes", source->size()}});
  MORTISE_ASSIGN_OR_RETURN(auto store, hooks_.open_store(paths_.store));
  load_.temp_dir = paths_.temp;
  load_.position = applied_;
  load_.cluster_id = log_.cluster_id;
  load_.member_id = log_.member_id;
  auto loaded = snapshot::load(*source, load_, store.get());
  if (!loaded.ok()) return in_file(database_, loaded.status());
  server_log_->info("loaded etcd's database",
                    {{"path", database_},
                     {"local-member-id", membership::hex_id(log_.member_id)},
                     {"cluster-id", membership::hex_id(log_.cluster_id)},
                     {"revision", loaded->state.revision},
                     {"keys", loaded->keys},
                     {"consistent-index", applied_.index},
                     {"snapshot-index", log_.snapshot.index},
                     {"commit-index", log_.state.commit},
                     {"last-index", last_index_},
                     {"entries", entries_},
                     {"took", duration_text(std::chrono::steady_clock::now() - started)}});
  return Status();
}

}  // namespace

Status import_etcd(const ImportPaths& paths, const ImportHooks& hooks, Log* log) {
  return Import(paths, hooks, log).run();
}

}  // namespace mortise::server
