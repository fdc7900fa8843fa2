#include "plugins/backend_rocksdb/host_bridge.h"

#include <rocksdb/env.h>
#include <rocksdb/listener.h>

#include <cstdarg>
#include <cstdio>
#include <memory>
#include <utility>

namespace mortise::backend_rocksdb {
namespace {

constexpr size_t kLogLineBytesMax = 1024;

class HostLogger : public rocksdb::Logger {
 public:
  HostLogger(sdk::Host host, std::shared_ptr<rocksdb::Logger> file)
      : Logger(file->GetInfoLogLevel()), host_(host), file_(std::move(file)) {}
  ~HostLogger() override { (void)Close(); }

  using Logger::Logv;
  void Logv(const rocksdb::InfoLogLevel level, const char* format, va_list args) override {
    if (level >= rocksdb::InfoLogLevel::WARN_LEVEL && level <= rocksdb::InfoLogLevel::FATAL_LEVEL) {
      char line[kLogLineBytesMax];
      va_list copy;
      va_copy(copy, args);
      (void)std::vsnprintf(line, sizeof line, format, copy);
      va_end(copy);
      const bool warning = level == rocksdb::InfoLogLevel::WARN_LEVEL;
      host_.log(warning ? MORTISE_LOG_WARN : MORTISE_LOG_ERROR, "rocksdb", {{"message", line}});
    }
    file_->Logv(level, format, args);
  }
  void LogHeader(const char* format, va_list args) override { file_->LogHeader(format, args); }
  size_t GetLogFileSize() const override { return file_->GetLogFileSize(); }
  void Flush() override { file_->Flush(); }

 protected:
  rocksdb::Status CloseImpl() override { return file_->Close(); }

 private:
  const sdk::Host host_;
  const std::shared_ptr<rocksdb::Logger> file_;
};

const char* condition_name(rocksdb::WriteStallCondition condition) {
  switch (condition) {
    case rocksdb::WriteStallCondition::kDelayed: return "slowed down";
    case rocksdb::WriteStallCondition::kStopped: return "stopped";
    default: return "normal";
  }
}

class HostListener : public rocksdb::EventListener {
 public:
  explicit HostListener(sdk::Host host)
      : host_(host),
        flushes_(host.counter("mortise_backend_flushes_total",
                              "Times that what was in memory went to disk.")),
        compactions_(host.counter("mortise_backend_compactions_total", "Merges of tables.")),
        compaction_seconds_(host.counter("mortise_backend_compaction_seconds_total",
                                         "Time that merges of tables took.")),
        compaction_bytes_(host.counter("mortise_backend_compaction_written_bytes_total",
                                       "Bytes that merges of tables wrote.")),
        stalls_(host.counter("mortise_backend_stalls_total",
                             "Times that commits were made to wait for background work.")) {}

  void OnFlushCompleted(rocksdb::DB*, const rocksdb::FlushJobInfo&) override { flushes_.add(); }
  void OnCompactionCompleted(rocksdb::DB*, const rocksdb::CompactionJobInfo& info) override {
    compactions_.add();
    compaction_seconds_.add(static_cast<double>(info.stats.elapsed_micros) / 1e6);
    compaction_bytes_.add(static_cast<double>(info.stats.total_output_bytes));
  }

  void OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status* error) override {
    host_.log(MORTISE_LOG_ERROR, "rocksdb background work failed", {{"error", error->ToString()}});
  }
  void OnStallConditionsChanged(const rocksdb::WriteStallInfo& info) override {
    const bool normal = info.condition.cur == rocksdb::WriteStallCondition::kNormal;
    if (!normal) stalls_.add();
    host_.log(normal ? MORTISE_LOG_INFO : MORTISE_LOG_WARN,
              "rocksdb changed the pace of commits because of background work",
              {{"keyspace", info.cf_name}, {"commits", condition_name(info.condition.cur)}});
  }

 private:
  const sdk::Host host_;
  const sdk::Metric flushes_, compactions_, compaction_seconds_, compaction_bytes_, stalls_;
};

}  // namespace

Status connect_host(const sdk::Host& host, const std::string& path, rocksdb::Options& options) {
  std::shared_ptr<rocksdb::Logger> file;
  const rocksdb::Status made = rocksdb::CreateLoggerFromOptions(path, options, &file);
  if (!made.ok()) return from_rocksdb(made, "cannot open the log of", path);
  options.info_log = std::make_shared<HostLogger>(host, std::move(file));
  options.listeners.push_back(std::make_shared<HostListener>(host));
  return Status();
}

}  // namespace mortise::backend_rocksdb
