// The host object that a plugin instance is given: log, metrics, executor, and whatever else the
// host adds.
//
// The server makes one for each plugin instance; mortise-plugin-check too. Threads: add_service()
// before the object is handed out, everything else any. Ownership: the registry, the executor and
// added tables outlive the object, and the object outlives the plugin's instance.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "host/loader/executor.h"
#include "host/loader/metrics.h"
#include "mortise/abi/host.h"

namespace mortise::loader {

struct LogField {
  std::string_view key;
  std::string_view value;
  bool is_number = false;
};

struct HostOptions {
  std::string host_name;  // "mortised"
  std::string host_version;
  // Joins log lines as the field "plugin", and metrics named "mortise_*" as a label.
  std::string plugin_name;
  // Both may be empty: then nothing is logged. Called on any thread.
  std::function<bool(mortise_log_level)> log_enabled;
  std::function<void(mortise_log_level, std::string_view, std::span<const LogField>)> log;
  MetricsRegistry* metrics = nullptr;  // Null: the service is not offered.
  Executor* executor = nullptr;        // Null: the service is not offered.
};

class HostObject {
 public:
  explicit HostObject(HostOptions options);
  HostObject(const HostObject&) = delete;
  HostObject& operator=(const HostObject&) = delete;

  // Offers one more service, such as "mortise.host.rpc/1".
  void add_service(std::string id, const void* table);
  // For the functions of such a table to find their way home.
  void set_user(void* user) { user_ = user; }
  void* user() const { return user_; }

  const mortise_host* get() const { return &host_; }
  static const HostObject& of(const mortise_host* host) {
    return *static_cast<const HostObject*>(host->impl);
  }
  const HostOptions& options() const { return options_; }

 private:
  HostOptions options_;
  std::map<std::string, const void*, std::less<>> services_;
  void* user_ = nullptr;
  mortise_host host_{};
};

// Copies a status into the caller's mortise_error, which may be null; returns its code in the ABI's
// terms.
mortise_status to_abi(const Status& status, mortise_error* error);

}  // namespace mortise::loader
