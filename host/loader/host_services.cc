#include "host/loader/host_services.h"

#include <cstring>
#include <vector>

namespace mortise::loader {
namespace {

std::string_view view(mortise_bytes b) { return {reinterpret_cast<const char*>(b.data), b.size}; }

mortise_log_level known_level(mortise_log_level level) {
  return level < MORTISE_LOG_DEBUG || level > MORTISE_LOG_ERROR
             ? mortise_log_level{MORTISE_LOG_INFO}
             : level;
}

uint32_t log_enabled(const mortise_host* host, mortise_log_level level) {
  const HostOptions& options = HostObject::of(host).options();
  if (!options.log) return 0;
  return !options.log_enabled || options.log_enabled(known_level(level)) ? 1 : 0;
}

void log_write(const mortise_host* host, mortise_log_level level, mortise_bytes message,
               const mortise_log_field* fields, size_t field_count) {
  if (log_enabled(host, level) == 0) return;
  const HostOptions& options = HostObject::of(host).options();
  std::vector<LogField> list;
  list.reserve(field_count + 1);
  if (!options.plugin_name.empty()) list.push_back({"plugin", options.plugin_name, false});
  for (size_t i = 0; i < field_count; ++i) {
    list.push_back({view(fields[i].key), view(fields[i].value), fields[i].is_number != 0});
  }
  options.log(known_level(level), view(message), list);
}

mortise_status metrics_series(const mortise_host* host, const mortise_metric_spec* spec,
                              mortise_metric** out, mortise_error* error) {
  const HostOptions& options = HostObject::of(host).options();
  *out = nullptr;
  Labels labels;
  // etcd's names keep etcd's labels; the project's own say which plugin they are of.
  const bool ours = view(spec->name).starts_with("mortise_");
  if (ours && !options.plugin_name.empty()) labels.emplace_back("plugin", options.plugin_name);
  for (size_t i = 0; i < spec->label_count; ++i) {
    labels.emplace_back(view(spec->labels[2 * i]), view(spec->labels[2 * i + 1]));
  }
  std::vector<double> bounds;
  if (spec->bound_count != 0) bounds.assign(spec->bounds, spec->bounds + spec->bound_count);
  auto made =
      options.metrics->series(spec->kind, view(spec->name), view(spec->help), labels, bounds);
  if (!made.ok()) return to_abi(made.status(), error);
  *out = reinterpret_cast<mortise_metric*>(made.value());
  return MORTISE_OK;
}

Metric& metric_of(mortise_metric* metric) { return *reinterpret_cast<Metric*>(metric); }
void metric_add(mortise_metric* metric, double by) { metric_of(metric).add(by); }
void metric_set(mortise_metric* metric, double value) { metric_of(metric).set(value); }
void metric_observe(mortise_metric* metric, double value) { metric_of(metric).observe(value); }

mortise_status executor_post(const mortise_host* host, mortise_task_fn fn, void* context) {
  const bool taken = HostObject::of(host).options().executor->post(fn, context);
  return taken ? MORTISE_OK : MORTISE_E_STOPPED;
}

mortise_status executor_timer_start(const mortise_host* host, uint64_t delay_ns, mortise_task_fn fn,
                                    void* context, uint64_t* timer) {
  *timer = HostObject::of(host).options().executor->start_timer(delay_ns, fn, context);
  return *timer != 0 ? MORTISE_OK : MORTISE_E_STOPPED;
}

mortise_status executor_timer_cancel(const mortise_host* host, uint64_t timer) {
  const bool cancelled = HostObject::of(host).options().executor->cancel_timer(timer);
  return cancelled ? MORTISE_OK : MORTISE_E_NOT_FOUND;
}

constexpr mortise_host_log_v1 kLog = {sizeof(mortise_host_log_v1), 0, &log_enabled, &log_write};
constexpr mortise_host_metrics_v1 kMetrics = {
    sizeof(mortise_host_metrics_v1), 0, &metrics_series, &metric_add, &metric_set, &metric_observe};
constexpr mortise_host_executor_v1 kExecutor = {sizeof(mortise_host_executor_v1), 0, &executor_post,
                                                &executor_timer_start, &executor_timer_cancel};

}  // namespace

HostObject::HostObject(HostOptions options) : options_(std::move(options)) {
  host_.struct_size = sizeof(host_);
  host_.name = options_.host_name.c_str();
  host_.version = options_.host_version.c_str();
  host_.impl = this;
  host_.get = [](const mortise_host* host, const char* id) -> const void* {
    const auto& services = HostObject::of(host).services_;
    const auto it = services.find(std::string_view(id));
    return it == services.end() ? nullptr : it->second;
  };
  add_service(MORTISE_HOST_LOG_ID, &kLog);
  if (options_.metrics != nullptr) add_service(MORTISE_HOST_METRICS_ID, &kMetrics);
  if (options_.executor != nullptr) add_service(MORTISE_HOST_EXECUTOR_ID, &kExecutor);
}

void HostObject::add_service(std::string id, const void* table) {
  services_[std::move(id)] = table;
}

mortise_status to_abi(const Status& status, mortise_error* error) {
  if (status.ok()) return MORTISE_OK;
  if (status.code() == StatusCode::kNotFound) return MORTISE_E_NOT_FOUND;
  if (error != nullptr && error->struct_size >= sizeof(*error)) {
    const size_t size = std::min<size_t>(status.message().size(), MORTISE_ERROR_MESSAGE_MAX - 1);
    std::memcpy(error->message, status.message().data(), size);
    error->message[size] = '\0';
  }
  switch (status.code()) {
    case StatusCode::kInvalid: return MORTISE_E_INVALID;
    case StatusCode::kIo: return MORTISE_E_IO;
    case StatusCode::kNoSpace: return MORTISE_E_NO_SPACE;
    case StatusCode::kCorruption: return MORTISE_E_CORRUPTION;
    case StatusCode::kInUse: return MORTISE_E_IN_USE;
    case StatusCode::kStopped: return MORTISE_E_STOPPED;
    default: return MORTISE_E_INTERNAL;
  }
}

}  // namespace mortise::loader
