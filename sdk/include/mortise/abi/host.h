/* What the host gives to plugins: log, metrics, executor. RPC and JSON mapping are in rpc.h.
 *
 * A plugin gets a `const mortise_host*` when an instance is created; it stays valid until that
 * instance has been destroyed. Each plugin instance has a host object of its own, so that log
 * lines and metrics carry the plugin's name. get() finds a service by id. */
#ifndef MORTISE_ABI_HOST_H_
#define MORTISE_ABI_HOST_H_

#include "mortise/abi/base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mortise_host mortise_host;

struct mortise_host {
  uint32_t struct_size;
  uint32_t reserved;
  const char* name;    /* "mortised", "mortise-plugin-check", ... */
  const char* version; /* The host's version. */
  void* impl;          /* The host's own. */
  /* The table of service `id`, or NULL if this host does not offer it. Same answer every time.
   * [any] */
  const void*(MORTISE_ABI* get)(const mortise_host* host, const char* id);
};

/* ---- "mortise.host.log/1" ---- */
#define MORTISE_HOST_LOG_ID "mortise.host.log/1"

/* Plugin to host. An unknown level is treated as MORTISE_LOG_INFO. */
typedef int32_t mortise_log_level;
enum { MORTISE_LOG_DEBUG = 0, MORTISE_LOG_INFO = 1, MORTISE_LOG_WARN = 2, MORTISE_LOG_ERROR = 3 };

/* A field of a log line. Frozen. */
typedef struct mortise_log_field {
  mortise_bytes key;   /* Lower-case words joined by '-': "took", "db-size". */
  mortise_bytes value; /* UTF-8 text; written as a JSON number if is_number, else as a string. */
  uint32_t is_number;
  uint32_t reserved;
} mortise_log_field;

typedef struct mortise_host_log_v1 {
  uint32_t struct_size;
  uint32_t reserved;
  /* Is a line of this level written at all? Cheap. [any] */
  uint32_t(MORTISE_ABI* enabled)(const mortise_host* host, mortise_log_level level);
  /* Writes one line. Never blocks on the disk for long, never fails. [any] */
  void(MORTISE_ABI* write)(const mortise_host* host, mortise_log_level level, mortise_bytes message,
                           const mortise_log_field* fields, size_t field_count);
} mortise_host_log_v1;

/* ---- "mortise.host.metrics/1" ---- */
#define MORTISE_HOST_METRICS_ID "mortise.host.metrics/1"

typedef struct mortise_metric mortise_metric; /* host-owned; lives as long as the host object */

/* Plugin to host. */
typedef int32_t mortise_metric_kind;
enum { MORTISE_METRIC_COUNTER = 1, MORTISE_METRIC_GAUGE = 2, MORTISE_METRIC_HISTOGRAM = 3 };

typedef struct mortise_metric_spec {
  uint32_t struct_size;
  mortise_metric_kind kind;
  mortise_bytes name;          /* Prometheus rules; ours begin with "mortise_". */
  mortise_bytes help;          /* One line. */
  const mortise_bytes* labels; /* name, value, name, value, ...: label_count pairs. */
  size_t label_count;
  const double* bounds; /* HISTOGRAM: upper bounds, ascending, without +Inf. */
  size_t bound_count;
} mortise_metric_spec;

typedef struct mortise_host_metrics_v1 {
  uint32_t struct_size;
  uint32_t reserved;
  /* Finds or makes the series. Same name with another kind or other label names: E_INVALID.
   * [any] */
  mortise_status(MORTISE_ABI* series)(const mortise_host* host, const mortise_metric_spec* spec,
                                      mortise_metric** out, mortise_error* error);
  /* COUNTER: by >= 0. GAUGE: any. [any] */
  void(MORTISE_ABI* add)(mortise_metric* metric, double by);
  void(MORTISE_ABI* set)(mortise_metric* metric, double value);     /* GAUGE. [any] */
  void(MORTISE_ABI* observe)(mortise_metric* metric, double value); /* HISTOGRAM. [any] */
} mortise_host_metrics_v1;

/* ---- "mortise.host.executor/1" ---- */
#define MORTISE_HOST_EXECUTOR_ID "mortise.host.executor/1"

/* Runs on a thread of the executor. Must not block for longer than MORTISE_TASK_MS_MAX. */
typedef void(MORTISE_ABI* mortise_task_fn)(void* context);
#define MORTISE_TASK_MS_MAX 100

typedef struct mortise_host_executor_v1 {
  uint32_t struct_size;
  uint32_t reserved;
  /* Runs fn(context) once, soon. E_STOPPED: never runs. [any] */
  mortise_status(MORTISE_ABI* post)(const mortise_host* host, mortise_task_fn fn, void* context);
  /* Runs fn(context) once, not before delay_ns from now by the monotonic clock. *timer names it
   * and is never 0. [any] */
  mortise_status(MORTISE_ABI* timer_start)(const mortise_host* host, uint64_t delay_ns,
                                           mortise_task_fn fn, void* context, uint64_t* timer);
  /* MORTISE_OK: fn will not run. E_NOT_FOUND: it has run, runs now, or never was. [any] */
  mortise_status(MORTISE_ABI* timer_cancel)(const mortise_host* host, uint64_t timer);
} mortise_host_executor_v1;

#ifdef __cplusplus
}
#endif

#endif /* MORTISE_ABI_HOST_H_ */
