// The registry of the process's metrics, and its text form as Prometheus reads it. The server keeps
// its own series here, and plugins get theirs through "mortise.host.metrics/1".
//
// Threads: any, all functions. Ownership: a Metric lives as long as its registry. Errors: a series
// that does not fit a series of the same name is kInvalid.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/base/metrics.h"
#include "host/base/status.h"
#include "mortise/abi/host.h"

namespace mortise::loader {

using Labels = std::vector<std::pair<std::string, std::string>>;

// One series: a counter, a gauge or a histogram. A call that does not fit its kind does nothing.
class Metric {
 public:
  Metric(mortise_metric_kind kind, std::vector<double> bounds);
  void add(double by);
  void set(double value);
  void observe(double value);
  double value() const { return value_.load(std::memory_order_relaxed); }
  mortise_metric_kind kind() const { return kind_; }

 private:
  friend class MetricsRegistry;
  HistogramFigures figures() const;
  const mortise_metric_kind kind_;
  const std::vector<double> bounds_;
  std::atomic<double> value_{0};  // HISTOGRAM: the sum.
  // HISTOGRAM: observations of each bound, and of those above the last; not cumulative.
  std::unique_ptr<std::atomic<uint64_t>[]> buckets_;
};

// The text of one scrape while it is gathered. Not thread-safe.
class Exposition {
 public:
  void counter(std::string_view name, std::string_view help, double value,
               const Labels& labels = {});
  void gauge(std::string_view name, std::string_view help, double value, const Labels& labels = {});
  void histogram(std::string_view name, std::string_view help, const HistogramFigures& figures,
                 const Labels& labels = {});
  // Appends every series in the Prometheus text format 0.0.4, by name.
  void write(std::string& out) const;

 private:
  struct Family {
    mortise_metric_kind kind;
    std::string help;
    std::map<std::string, std::string> samples;  // By the text of the labels.
  };
  // Null for a series whose name is that of another kind, which is then left out.
  std::string* sample(mortise_metric_kind kind, std::string_view name, std::string_view help,
                      const std::string& labels);
  std::map<std::string, Family, std::less<>> families_;
};

class MetricsRegistry {
 public:
  // Finds or makes a series. `bounds` are a histogram's upper bounds, ascending, without +Inf.
  Result<Metric*> series(mortise_metric_kind kind, std::string_view name, std::string_view help,
                         const Labels& labels, const std::vector<double>& bounds);
  // For names that are written in the code: a series that does not fit is a bug.
  Metric& counter(std::string_view name, std::string_view help, const Labels& labels = {});
  Metric& gauge(std::string_view name, std::string_view help, const Labels& labels = {});
  Metric& histogram(std::string_view name, std::string_view help, const std::vector<double>& bounds,
                    const Labels& labels = {});
  // Adds what is counted elsewhere to each scrape. Must not call write().
  void add_source(std::function<void(Exposition&)> source);
  // Appends every series in the Prometheus text format 0.0.4, by name.
  void write(std::string& out) const;

 private:
  struct Series {
    Labels labels;
    std::unique_ptr<Metric> metric;
  };
  struct Family {
    mortise_metric_kind kind;
    std::string help;
    std::vector<std::string> label_names;
    std::vector<double> bounds;
    std::map<std::string, Series> series;  // By the text of the labels.
  };
  mutable std::mutex mutex_;
  std::map<std::string, Family, std::less<>> families_;
  mutable std::mutex sources_mutex_;  // Held while they run: what they speak of may go then.
  std::vector<std::function<void(Exposition&)>> sources_;
};

}  // namespace mortise::loader
