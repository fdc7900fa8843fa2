// Metrics of calls and of the other members.
#include "host/api/methods.h"
#include "host/membership/member.h"
#include "host/server/metrics.h"

namespace mortise::server {
namespace {

using loader::Exposition;
using loader::Labels;

constexpr const char* kCodes[api::kRpcCodes] = {
    "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated"};

const char* type_of(mortise_method_kind kind) {
  switch (kind) {
    case MORTISE_UNARY: return "unary";
    case MORTISE_SERVER_STREAM: return "server_stream";
    default: return "bidi_stream";
  }
}

// Of "/etcdserverpb.KV/Put".
Labels labels_of(const api::MethodEntry& method) {
  const std::string path = method.grpc_path;
  const size_t slash = path.rfind('/');
  return {{"grpc_method", path.substr(slash + 1)},
          {"grpc_service", path.substr(1, slash - 1)},
          {"grpc_type", type_of(method.kind)}};
}

void show_method(Exposition& out, const api::MethodEntry& entry,
                 const api::MethodCounters& counters) {
  Labels labels = labels_of(entry);
  const bool is_unary = entry.kind == MORTISE_UNARY;
  const auto ok = figure(counters.handled[0]);
  out.counter("grpc_server_started_total", "Total number of RPCs started on the server.",
              figure(counters.started), labels);
  out.counter("grpc_server_msg_received_total",
              "Total number of RPC stream messages received on the server.",
              figure(is_unary ? counters.started : counters.received), labels);
  out.counter("grpc_server_msg_sent_total",
              "Total number of gRPC stream messages sent by the server.",
              is_unary ? ok : figure(counters.sent), labels);
  if (counters.handling != nullptr) {
    out.histogram("grpc_server_handling_seconds",
                  "Histogram of response latency (seconds) of gRPC that had been "
                  "application-level handled by the server.",
                  counters.handling->figures(), labels);
  }
  labels.emplace_back("grpc_code", "");
  for (size_t code = 0; code < api::kRpcCodes; ++code) {
    labels.back().second = kCodes[code];
    out.counter("grpc_server_handled_total",
                "Total number of RPCs completed on the server, regardless of success or failure.",
                figure(counters.handled[code]), labels);
  }
}

HistogramFigures figures(const auto& times, double first) {
  HistogramFigures out;
  for (size_t i = 0; i + 1 < times.buckets.size(); ++i, first *= 2) out.bounds.push_back(first);
  out.counts.assign(times.buckets.begin(), times.buckets.end());
  out.sum = times.sum;
  return out;
}

// Of one direction: `verb` is "send" or "receive".
struct Snapshots {
  const char* verb;
  uint64_t under_way;
  uint64_t done;
  uint64_t failed;
  const peer::Histogram<10>& times;
};

void show_snapshots(Exposition& out, const Snapshots& snapshots, const Labels& labels) {
  if (snapshots.under_way + snapshots.done + snapshots.failed == 0) return;
  auto value = [](uint64_t n) { return static_cast<double>(n); };
  const std::string verb = snapshots.verb;
  const std::string name = "etcd_network_snapshot_" + verb + "_";
  const std::string what = " snapshot " + verb;
  out.gauge(name + "inflights_total", "Total number of inflight" + what + "s",
            value(snapshots.under_way), labels);
  out.counter(name + "success", "Total number of successful" + what + "s", value(snapshots.done),
              labels);
  out.counter(name + "failures", "Total number of" + what + " failures", value(snapshots.failed),
              labels);
  out.histogram(name + "total_duration_seconds", "Total latency distributions of v3" + what + "s",
                figures(snapshots.times, peer::kSnapshotFirstBound), labels);
}

void show_peer(Exposition& out, const std::string& local, const peer::PeerCounters& peer) {
  const std::string id = membership::hex_id(peer.id);
  const Labels to{{"To", id}}, from{{"From", id}}, both{{"Local", local}, {"Remote", id}};
  auto value = [](uint64_t n) { return static_cast<double>(n); };
  if (peer.is_peer) {
    out.gauge("etcd_network_active_peers", "The current number of active peer connections.",
              peer.active, both);
  }
  out.counter("etcd_network_disconnected_peers_total", "The total number of disconnected peers.",
              value(peer.disconnects), both);
  out.counter("etcd_network_peer_sent_bytes_total", "The total number of bytes sent to peers.",
              value(peer.sent_bytes), to);
  out.counter("etcd_network_peer_sent_failures_total",
              "The total number of send failures from peers.", value(peer.sent_failures), to);
  out.counter("etcd_network_peer_received_bytes_total",
              "The total number of bytes received from peers.", value(peer.received_bytes), from);
  out.counter("etcd_network_peer_received_failures_total",
              "The total number of receive failures from peers.", value(peer.received_failures),
              from);
  out.histogram("etcd_network_peer_round_trip_time_seconds",
                "Round-Trip-Time histogram between peers",
                figures(peer.round_trip_seconds, peer::kRoundTripFirstBound), to);
  show_snapshots(out,
                 {"send", peer.snapshots_sending, peer.snapshots_sent, peer.snapshot_send_failures,
                  peer.snapshot_send_seconds},
                 to);
  show_snapshots(out,
                 {"receive", peer.snapshots_receiving, peer.snapshots_received,
                  peer.snapshot_receive_failures, peer.snapshot_receive_seconds},
                 from);
}

}  // namespace

HistogramFigures figures(const wal::LatencyCounter& times) {
  HistogramFigures out;
  for (size_t i = 0; i < wal::LatencyCounter::kBuckets; ++i) {
    if (i + 1 < wal::LatencyCounter::kBuckets) {
      out.bounds.push_back(static_cast<double>(uint64_t{1} << i) / 1000);
    }
    out.counts.push_back(times.buckets[i].load(std::memory_order_relaxed));
  }
  out.sum =
      static_cast<double>(times.total_ns.load(std::memory_order_relaxed)) / kNanosecondsPerSecond;
  return out;
}

HistogramFigures sum(HistogramFigures a, const HistogramFigures& b) {
  for (size_t i = 0; i < a.counts.size(); ++i) a.counts[i] += b.counts[i];
  a.sum += b.sum;
  return a;
}

void show_calls(Exposition& out, const api::CallMetrics& calls) {
  double received = 0, sent = 0;
  for (size_t i = 0; i < calls.size(); ++i) {
    show_method(out, api::methods()[i], calls.method(i));
    received += figure(calls.method(i).received_bytes);
    sent += figure(calls.method(i).sent_bytes);
  }
  out.counter("etcd_network_client_grpc_received_bytes_total",
              "The total number of bytes received from grpc clients.", received);
  out.counter("etcd_network_client_grpc_sent_bytes_total",
              "The total number of bytes sent to grpc clients.", sent);
  auto clients = [&](const char* type, const std::string& version, const Counter& count) {
    if (count.value() == 0) return;
    out.counter("etcd_server_client_requests_total",
                "The total number of client requests per client version.", figure(count),
                {{"client_api_version", version}, {"type", type}});
  };
  for (const api::CallMetrics::Clients* client : calls.clients()) {
    clients("unary", client->version, client->unary);
    clients("stream", client->version, client->streams);
  }
}

void show_peers(Exposition& out, const std::string& local,
                const std::vector<peer::PeerCounters>& peers) {
  for (const peer::PeerCounters& peer : peers) show_peer(out, local, peer);
}

}  // namespace mortise::server
