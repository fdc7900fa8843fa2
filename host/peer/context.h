// What all parts of the transport share: options, hooks, the loop, what is counted. Private to this
// folder.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "host/config/url.h"
#include "host/peer/connection.h"
#include "host/peer/transport.h"

namespace mortise::peer {

using std::chrono::milliseconds;

// Stream writers say that they are there as often, for readers that wait no longer than the least
// read limit there is, 5 s.
inline constexpr milliseconds kLinkHeartbeatInterval{5000 / 3};

template <size_t kBounds>
void observe(double seconds, double first_bound, Histogram<kBounds>* histogram) {
  size_t i = 0;
  for (double bound = first_bound; i < kBounds && seconds > bound; bound *= 2) ++i;
  ++histogram->buckets[i];
  ++histogram->count;
  histogram->sum += seconds;
}

// Counters of all members. Any thread.
class CounterTable {
 public:
  struct Row {
    PeerCounters counters;
    std::optional<Clock::time_point> active_since;
  };
  void add(NodeId id, bool is_peer);
  void retire(NodeId id);
  // Nothing happens if there is no row.
  template <typename Change>
  void change(NodeId id, Change&& apply) {
    std::lock_guard lock(mutex_);
    if (auto it = rows_.find(id); it != rows_.end()) apply(it->second);
  }
  std::optional<Clock::time_point> active_since(NodeId id) const;
  std::vector<PeerCounters> all() const;

 private:
  mutable std::mutex mutex_;
  std::map<NodeId, Row> rows_;  // Guarded by mutex_.
};

// Everything but `loop` and `counters` is fixed before the start.
struct Context {
  Context(Options o, Hooks h);

  const Options options;
  const Hooks hooks;
  const std::string local_text;
  const std::string cluster_text;
  IoLoop loop{"mortise-peer", options.dialer};
  CounterTable counters;
  std::atomic<bool> stopping{false};

  void log(LogLevel level, std::string_view message, LogFields fields,
           std::source_location where = std::source_location::current()) const;
  // What every request to another member says.
  HttpHeaders request_headers() const;
  void report_unreachable(NodeId id) const;
  void report_removed();
  // To raft, after what concerns the member's identity; never kSnap.
  Status deliver(raft::Message message) const;
  Status check_addresses(const raft::Message& message) const;

 private:
  std::atomic<bool> removed_{false};
};
using ContextRef = std::shared_ptr<Context>;

// Do messages get through to a member? Any thread.
class PeerStatus {
 public:
  PeerStatus(ContextRef context, NodeId id) : context_(std::move(context)), id_(id) {}
  void activate();
  // "failed to <action> <id> on <source> (<reason>)"
  void deactivate(std::string_view action, std::string_view source, std::string_view reason);
  bool is_active() const { return context_->counters.active_since(id_).has_value(); }

 private:
  const ContextRef context_;
  const NodeId id_;
};
using PeerStatusRef = std::shared_ptr<PeerStatus>;

// The URLs of a member, of which one is in use until it fails. Any thread.
class UrlPicker {
 public:
  explicit UrlPicker(std::vector<config::Url> urls) : urls_(std::move(urls)) {}
  void update(std::vector<config::Url> urls);
  std::vector<config::Url> urls() const;
  config::Url pick() const;
  void unreachable(const config::Url& url);

 private:
  mutable std::mutex mutex_;
  std::vector<config::Url> urls_;  // Guarded by mutex_, never empty.
  size_t picked_ = 0;
};
using UrlPickerRef = std::shared_ptr<UrlPicker>;

}  // namespace mortise::peer
