// The host's services as a plugin uses them. A Host is a small value, made from the mortise_host*
// that creation passes; it is valid as long as the plugin's instance. Every service may be absent:
// log lines and metrics then go nowhere, tasks answer MORTISE_E_UNSUPPORTED, and rpc(), json() and
// tls() are null.
//
// All functions may be called from any thread.
#pragma once

#include <charconv>
#include <chrono>
#include <concepts>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mortise/abi/host.h"
#include "mortise/abi/rpc.h"
#include "mortise/abi/transport.h"
#include "mortise/sdk/bytes.h"
#include "mortise/sdk/status.h"

namespace mortise::sdk {

// One field of a log line: Field("took", text), Field("bytes", 12).
struct Field {
  Field(std::string_view k, std::string_view v) : key(k), value(v) {}
  Field(std::string_view k, const char* v) : key(k), value(v) {}
  Field(std::string_view k, const std::string& v) : key(k), value(v) {}
  Field(std::string_view k, bool v) : key(k), value(v ? "true" : "false") {}
  template <class Number>
  requires(std::integral<Number> || std::floating_point<Number>) Field(std::string_view k, Number v)
      : key(k), is_number(true) {
    char text[64];
    value.assign(text, std::to_chars(text, text + sizeof(text), v).ptr);
  }

  std::string_view key;
  std::string value;
  bool is_number = false;
};

// One series of the host's metrics. A default one counts nowhere.
class Metric {
 public:
  Metric() noexcept = default;
  Metric(const mortise_host_metrics_v1* table, mortise_metric* metric) noexcept
      : table_(table), metric_(metric) {}
  void add(double by = 1) const noexcept {
    if (metric_ != nullptr) table_->add(metric_, by);
  }
  void set(double value) const noexcept {
    if (metric_ != nullptr) table_->set(metric_, value);
  }
  void observe(double value) const noexcept {
    if (metric_ != nullptr) table_->observe(metric_, value);
  }

 private:
  const mortise_host_metrics_v1* table_ = nullptr;
  mortise_metric* metric_ = nullptr;
};

using Labels = std::vector<std::pair<std::string, std::string>>;

// A started timer. Destroying it cancels; it does not wait for a task that runs already.
class Timer {
 public:
  Timer() noexcept = default;
  Timer(Timer&& other) noexcept { swap(other); }
  Timer& operator=(Timer&& other) noexcept {
    Timer taken(std::move(other));
    swap(taken);
    return *this;
  }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() { cancel(); }

  // True if the task will not run.
  bool cancel() noexcept {
    if (task_ == nullptr) return false;
    auto* task = std::exchange(task_, nullptr);
    if (table_->timer_cancel(host_, id_) != MORTISE_OK) return false;
    delete task;
    return true;
  }

 private:
  friend class Host;
  void swap(Timer& other) noexcept {
    std::swap(table_, other.table_);
    std::swap(host_, other.host_);
    std::swap(task_, other.task_);
    std::swap(id_, other.id_);
  }

  const mortise_host_executor_v1* table_ = nullptr;
  const mortise_host* host_ = nullptr;
  std::function<void()>* task_ = nullptr;  // The executor's, until a cancel succeeds.
  uint64_t id_ = 0;
};

class Host {
 public:
  Host() noexcept = default;
  explicit Host(const mortise_host* host) noexcept : host_(host) {
    log_ = service<mortise_host_log_v1>(MORTISE_HOST_LOG_ID);
    metrics_ = service<mortise_host_metrics_v1>(MORTISE_HOST_METRICS_ID);
    executor_ = service<mortise_host_executor_v1>(MORTISE_HOST_EXECUTOR_ID);
  }

  const mortise_host* raw() const noexcept { return host_; }
  std::string_view name() const noexcept { return host_ != nullptr ? host_->name : ""; }
  std::string_view version() const noexcept { return host_ != nullptr ? host_->version : ""; }

  // The table of a service, or null.
  template <class Table>
  const Table* service(const char* id) const noexcept {
    return host_ != nullptr ? static_cast<const Table*>(host_->get(host_, id)) : nullptr;
  }
  const mortise_host_rpc_v1* rpc() const noexcept {
    return service<mortise_host_rpc_v1>(MORTISE_HOST_RPC_ID);
  }
  const mortise_host_json_v1* json() const noexcept {
    return service<mortise_host_json_v1>(MORTISE_HOST_JSON_ID);
  }
  const mortise_host_pages_v1* pages() const noexcept {
    return service<mortise_host_pages_v1>(MORTISE_HOST_PAGES_ID);
  }

  bool log_enabled(mortise_log_level level) const noexcept {
    return log_ != nullptr && log_->enabled(host_, level) != 0;
  }
  // Never fails: a line that there is no memory for is not written.
  void log(mortise_log_level level, std::string_view message,
           std::initializer_list<Field> fields = {}) const noexcept {
    if (!log_enabled(level)) return;
    try {
      std::vector<mortise_log_field> list;
      list.reserve(fields.size());
      for (const Field& f : fields) {
        list.push_back({bytes(f.key), bytes(f.value), f.is_number ? 1u : 0u, 0u});
      }
      log_->write(host_, level, bytes(message), list.data(), list.size());
    } catch (...) {
    }
  }

  Metric counter(std::string_view name, std::string_view help, const Labels& labels = {}) const {
    return series(MORTISE_METRIC_COUNTER, name, help, labels, {});
  }
  Metric gauge(std::string_view name, std::string_view help, const Labels& labels = {}) const {
    return series(MORTISE_METRIC_GAUGE, name, help, labels, {});
  }
  Metric histogram(std::string_view name, std::string_view help, const std::vector<double>& bounds,
                   const Labels& labels = {}) const {
    return series(MORTISE_METRIC_HISTOGRAM, name, help, labels, bounds);
  }

  // Runs the task soon on the host's executor. It must not throw and not block for long.
  Status post(std::function<void()> task) const {
    if (executor_ == nullptr) return unsupported("the host offers no executor");
    auto owned = std::make_unique<std::function<void()>>(std::move(task));
    const mortise_status status = executor_->post(host_, &run_task, owned.get());
    if (status == MORTISE_OK) owned.release();
    return status == MORTISE_OK ? Status() : Status(status, "the executor takes no task");
  }
  // Runs the task once after `delay`, unless `out` is cancelled or destroyed before.
  Status start_timer(std::chrono::nanoseconds delay, std::function<void()> task, Timer& out) const {
    if (executor_ == nullptr) return unsupported("the host offers no executor");
    auto owned = std::make_unique<std::function<void()>>(std::move(task));
    Timer timer;
    timer.table_ = executor_;
    timer.host_ = host_;
    const uint64_t delay_ns = delay.count() > 0 ? static_cast<uint64_t>(delay.count()) : 0;
    const mortise_status status =
        executor_->timer_start(host_, delay_ns, &run_task, owned.get(), &timer.id_);
    if (status != MORTISE_OK) return Status(status, "the executor takes no timer");
    timer.task_ = owned.release();
    out = std::move(timer);
    return Status();
  }

 private:
  static void run_task(void* context) noexcept {
    const std::unique_ptr<std::function<void()>> task(static_cast<std::function<void()>*>(context));
    (*task)();
  }

  Metric series(mortise_metric_kind kind, std::string_view name, std::string_view help,
                const Labels& labels, const std::vector<double>& bounds) const {
    if (metrics_ == nullptr) return Metric();
    std::vector<mortise_bytes> flat;
    for (const auto& [key, value] : labels) {
      flat.push_back(bytes(key));
      flat.push_back(bytes(value));
    }
    mortise_metric_spec spec{};
    spec.struct_size = sizeof(spec);
    spec.kind = kind;
    spec.name = bytes(name);
    spec.help = bytes(help);
    spec.labels = flat.data();
    spec.label_count = labels.size();
    spec.bounds = bounds.data();
    spec.bound_count = bounds.size();
    mortise_metric* metric = nullptr;
    mortise_error error{};
    error.struct_size = sizeof(error);
    if (metrics_->series(host_, &spec, &metric, &error) != MORTISE_OK) {
      log(MORTISE_LOG_WARN, "a metric was refused", {{"metric", name}, {"error", error.message}});
      return Metric();
    }
    return Metric(metrics_, metric);
  }

  const mortise_host* host_ = nullptr;
  const mortise_host_log_v1* log_ = nullptr;
  const mortise_host_metrics_v1* metrics_ = nullptr;
  const mortise_host_executor_v1* executor_ = nullptr;
};

}  // namespace mortise::sdk
