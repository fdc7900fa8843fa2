#include "host/peer/context.h"

namespace mortise::peer {

void CounterTable::add(NodeId id, bool is_peer) {
  std::lock_guard lock(mutex_);
  Row& row = rows_[id];
  row.counters.id = id;
  row.counters.is_peer |= is_peer;
}

void CounterTable::retire(NodeId id) {
  change(id, [](Row& row) {
    row.counters.is_peer = false;
    row.counters.active = false;
    row.active_since.reset();
  });
}

std::optional<Clock::time_point> CounterTable::active_since(NodeId id) const {
  std::lock_guard lock(mutex_);
  auto it = rows_.find(id);
  return it == rows_.end() ? std::nullopt : it->second.active_since;
}

std::vector<PeerCounters> CounterTable::all() const {
  std::lock_guard lock(mutex_);
  std::vector<PeerCounters> out;
  out.reserve(rows_.size());
  for (const auto& [id, row] : rows_) out.push_back(row.counters);
  return out;
}

Context::Context(Options o, Hooks h)
    : options(std::move(o)),
      hooks(std::move(h)),
      local_text(hex_text(options.local_id)),
      cluster_text(hex_text(options.cluster_id)) {}

void Context::log(LogLevel level, std::string_view message, LogFields fields,
                  std::source_location where) const {
  if (hooks.log) hooks.log(level, message, fields, where);
}

HttpHeaders Context::request_headers() const {
  std::string urls;
  for (const auto& url : options.peer_urls) urls += (urls.empty() ? "" : ",") + url;
  return {{"X-Server-From", local_text},
          {"X-Server-Version", options.server_version},
          {"X-Min-Cluster-Version", options.min_cluster_version},
          {"X-Etcd-Cluster-ID", cluster_text},
          {"X-PeerURLs", urls}};
}

void Context::report_unreachable(NodeId id) const {
  if (hooks.unreachable) hooks.unreachable(id);
}

void Context::report_removed() {
  if (removed_.exchange(true)) return;
  log(LogLevel::kError, "the member has been permanently removed from the cluster",
      {{"local-member-id", local_text}});
  if (hooks.removed) hooks.removed();
}

Status Context::check_addresses(const raft::Message& message) const {
  if (hooks.is_removed && hooks.is_removed(message.from)) {
    return not_found("cannot process message from removed member");
  }
  if (message.to != options.local_id) return invalid("cannot process message to mismatch member");
  return {};
}

Status Context::deliver(raft::Message message) const {
  if (message.type == raft::MessageType::kSnap) return invalid("a snapshot needs its file");
  MORTISE_RETURN_IF_ERROR(check_addresses(message));
  return hooks.receive ? hooks.receive(std::move(message)) : Status();
}

void PeerStatus::activate() {
  bool changed = false;
  context_->counters.change(id_, [&](CounterTable::Row& row) {
    changed = !row.active_since;
    row.counters.active = true;
    if (changed) row.active_since = Clock::now();
  });
  if (changed) context_->log(LogLevel::kInfo, "peer became active", {{"peer-id", hex_text(id_)}});
}

void PeerStatus::deactivate(std::string_view action, std::string_view source,
                            std::string_view reason) {
  bool changed = false;
  context_->counters.change(id_, [&](CounterTable::Row& row) {
    changed = row.active_since.has_value();
    row.counters.active = false;
    row.active_since.reset();
    if (changed) ++row.counters.disconnects;
  });
  std::string error = "failed to ";
  error.append(action).append(" ").append(hex_text(id_)).append(" on ").append(source);
  error.append(" (").append(reason).append(")");
  LogFields fields = {{"peer-id", hex_text(id_)}, {"error", std::move(error)}};
  if (changed) {
    context_->log(LogLevel::kWarn, "peer became inactive (message send to peer failed)",
                  std::move(fields));
  } else {
    context_->log(LogLevel::kDebug, "peer deactivated again", std::move(fields));
  }
}

void UrlPicker::update(std::vector<config::Url> urls) {
  std::lock_guard lock(mutex_);
  urls_ = std::move(urls);
  picked_ = 0;
}

std::vector<config::Url> UrlPicker::urls() const {
  std::lock_guard lock(mutex_);
  return urls_;
}

config::Url UrlPicker::pick() const {
  std::lock_guard lock(mutex_);
  return urls_[picked_];
}

void UrlPicker::unreachable(const config::Url& url) {
  std::lock_guard lock(mutex_);
  if (urls_[picked_] == url) picked_ = (picked_ + 1) % urls_.size();
}

}  // namespace mortise::peer
