#include "host/loader/metrics.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

namespace mortise::loader {
namespace {

bool is_name(std::string_view name, bool colons) {
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) return false;
  return std::all_of(name.begin(), name.end(), [colons](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (colons && c == ':');
  });
}

void append_escaped(std::string_view text, bool quotes, std::string& out) {
  for (const char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && quotes) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
}

// As Go writes floating point numbers by %g: the shortest text that reads back as the same value.
void append_number(double value, std::string& out) {
  if (std::isnan(value)) {
    out += "NaN";
  } else if (std::isinf(value)) {
    out += value > 0 ? "+Inf" : "-Inf";
  } else {
    char text[64];
    char* end = std::to_chars(text, text + sizeof text, value, std::chars_format::scientific).ptr;
    const int power = std::atoi(std::find(text, end, 'e') + 1);
    if (power >= -4 && power < 6)
      end = std::to_chars(text, text + sizeof text, value, std::chars_format::fixed).ptr;
    out.append(text, end);
  }
}

// name="value",name="value": what stands between the braces, by name.
std::string labels_text(Labels labels) {
  std::sort(labels.begin(), labels.end());
  std::string text;
  for (const auto& [name, value] : labels) {
    if (!text.empty()) text += ',';
    text += name + "=\"";
    append_escaped(value, true, text);
    text += '"';
  }
  return text;
}

Status check_series(mortise_metric_kind kind, std::string_view name, const Labels& labels,
                    const std::vector<double>& bounds) {
  const std::string metric(name);
  if (kind < MORTISE_METRIC_COUNTER || kind > MORTISE_METRIC_HISTOGRAM) {
    return invalid("metric " + metric + ": unknown kind " + std::to_string(kind));
  }
  if (!is_name(name, true)) return invalid("metric \"" + metric + "\": not a valid name");
  for (const auto& [label, value] : labels) {
    if (!is_name(label, false) || (kind == MORTISE_METRIC_HISTOGRAM && label == "le")) {
      return invalid("metric " + metric + ": \"" + label + "\" is not a valid label name");
    }
  }
  for (size_t i = 0; i < bounds.size(); ++i) {
    if (!std::isfinite(bounds[i]) || (i > 0 && !(bounds[i - 1] < bounds[i]))) {
      return invalid("metric " + metric + ": the bounds do not ascend");
    }
  }
  return Status();
}

const char* kind_name(mortise_metric_kind kind) {
  switch (kind) {
    case MORTISE_METRIC_COUNTER: return "counter";
    case MORTISE_METRIC_GAUGE: return "gauge";
    default: return "histogram";
  }
}

void append_sample(std::string_view name, std::string_view labels, double value, std::string& out) {
  out += name;
  if (!labels.empty()) out.append("{").append(labels).append("}");
  out += ' ';
  append_number(value, out);
  out += '\n';
}

}  // namespace

Metric::Metric(mortise_metric_kind kind, std::vector<double> bounds)
    : kind_(kind), bounds_(std::move(bounds)) {
  if (kind_ == MORTISE_METRIC_HISTOGRAM) {
    buckets_ = std::make_unique<std::atomic<uint64_t>[]>(bounds_.size() + 1);
  }
}

void Metric::add(double by) {
  if (kind_ == MORTISE_METRIC_HISTOGRAM) return;
  if (kind_ == MORTISE_METRIC_COUNTER && !(by >= 0)) return;
  value_.fetch_add(by, std::memory_order_relaxed);
}

void Metric::set(double value) {
  if (kind_ == MORTISE_METRIC_GAUGE) value_.store(value, std::memory_order_relaxed);
}

void Metric::observe(double value) {
  if (kind_ != MORTISE_METRIC_HISTOGRAM || std::isnan(value)) return;
  const auto at = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  buckets_[static_cast<size_t>(at)].fetch_add(1, std::memory_order_relaxed);
  value_.fetch_add(value, std::memory_order_relaxed);
}

Result<Metric*> MetricsRegistry::series(mortise_metric_kind kind, std::string_view name,
                                        std::string_view help, const Labels& labels,
                                        const std::vector<double>& bounds) {
  MORTISE_RETURN_IF_ERROR(check_series(kind, name, labels, bounds));
  std::vector<std::string> label_names;
  for (const auto& [label, value] : labels) label_names.push_back(label);
  const std::lock_guard lock(mutex_);
  auto it = families_.find(name);
  if (it == families_.end()) {
    Family family{kind, std::string(help), label_names, bounds, {}};
    it = families_.emplace(std::string(name), std::move(family)).first;
  }
  Family& family = it->second;
  const std::string metric(name);
  if (family.kind != kind) {
    return invalid("metric " + metric + ": it is a " + kind_name(family.kind) + ", not a " +
                   kind_name(kind));
  }
  if (family.label_names != label_names) return invalid("metric " + metric + ": other label names");
  if (family.bounds != bounds) return invalid("metric " + metric + ": other bounds");
  Series& made = family.series[labels_text(labels)];
  if (made.metric == nullptr) made = {labels, std::make_unique<Metric>(kind, bounds)};
  return made.metric.get();
}

Metric& MetricsRegistry::counter(std::string_view name, std::string_view help,
                                 const Labels& labels) {
  return *series(MORTISE_METRIC_COUNTER, name, help, labels, {}).value();
}

Metric& MetricsRegistry::gauge(std::string_view name, std::string_view help, const Labels& labels) {
  return *series(MORTISE_METRIC_GAUGE, name, help, labels, {}).value();
}

Metric& MetricsRegistry::histogram(std::string_view name, std::string_view help,
                                   const std::vector<double>& bounds, const Labels& labels) {
  return *series(MORTISE_METRIC_HISTOGRAM, name, help, labels, bounds).value();
}

void MetricsRegistry::add_source(std::function<void(Exposition&)> source) {
  const std::lock_guard lock(sources_mutex_);
  sources_.push_back(std::move(source));
}

HistogramFigures Metric::figures() const {
  HistogramFigures out{bounds_, {}, value()};
  for (size_t i = 0; i <= bounds_.size(); ++i) {
    out.counts.push_back(buckets_[i].load(std::memory_order_relaxed));
  }
  return out;
}

void MetricsRegistry::write(std::string& out) const {
  Exposition exposition;
  {
    const std::lock_guard lock(sources_mutex_);
    for (const auto& source : sources_) source(exposition);
  }
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, family] : families_) {
      for (const auto& [text, series] : family.series) {
        const Metric& metric = *series.metric;
        switch (family.kind) {
          case MORTISE_METRIC_COUNTER:
            exposition.counter(name, family.help, metric.value(), series.labels);
            break;
          case MORTISE_METRIC_GAUGE:
            exposition.gauge(name, family.help, metric.value(), series.labels);
            break;
          default: exposition.histogram(name, family.help, metric.figures(), series.labels);
        }
      }
    }
  }
  exposition.write(out);
}

std::string* Exposition::sample(mortise_metric_kind kind, std::string_view name,
                                std::string_view help, const std::string& labels) {
  auto it = families_.find(name);
  if (it == families_.end()) {
    it = families_.emplace(std::string(name), Family{kind, std::string(help), {}}).first;
  }
  return it->second.kind == kind ? &it->second.samples[labels] : nullptr;
}

void Exposition::counter(std::string_view name, std::string_view help, double value,
                         const Labels& labels) {
  const std::string text = labels_text(labels);
  std::string* out = sample(MORTISE_METRIC_COUNTER, name, help, text);
  if (out != nullptr) append_sample(name, text, value, *out);
}

void Exposition::gauge(std::string_view name, std::string_view help, double value,
                       const Labels& labels) {
  const std::string text = labels_text(labels);
  std::string* out = sample(MORTISE_METRIC_GAUGE, name, help, text);
  if (out != nullptr) append_sample(name, text, value, *out);
}

void Exposition::histogram(std::string_view name, std::string_view help,
                           const HistogramFigures& figures, const Labels& labels) {
  const std::string text = labels_text(labels);
  std::string* out = sample(MORTISE_METRIC_HISTOGRAM, name, help, text);
  if (out == nullptr) return;
  const std::string prefix = text.empty() ? "" : text + ",";
  const std::string metric(name);
  uint64_t count = 0;
  for (size_t i = 0; i <= figures.bounds.size(); ++i) {
    count += figures.counts[i];
    std::string bound = prefix + "le=\"";
    append_number(i < figures.bounds.size() ? figures.bounds[i] : INFINITY, bound);
    append_sample(metric + "_bucket", bound + "\"", static_cast<double>(count), *out);
  }
  append_sample(metric + "_sum", text, figures.sum, *out);
  append_sample(metric + "_count", text, static_cast<double>(count), *out);
}

void Exposition::write(std::string& out) const {
  for (const auto& [name, family] : families_) {
    out += "# HELP " + name + " ";
    append_escaped(family.help, false, out);
    out += "\n# TYPE " + name + " " + kind_name(family.kind) + "\n";
    for (const auto& [labels, text] : family.samples) out += text;
  }
}

}  // namespace mortise::loader
