// Messages between members, in etcd's peer protocol: long-lived streams that the receiver dials,
// POSTs where no stream is up, snapshots as POSTs of their own, probes; and the HTTP server of the
// peer port. See docs/ARCHITECTURE.md, "Peers".
//
// host/server makes one, gives it connections of the peer listeners and tells it who the members
// are. Calls come from any thread and never block; hooks are called on the transport's thread
// unless they say otherwise, and must not block there or call stop().
//
// Nothing is promised about delivery: what cannot be sent is dropped and reported, as Raft expects.
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/base/status.h"
#include "host/peer/http.h"
#include "host/peer/log.h"
#include "host/raft/types.h"
#include "host/tls/relay.h"

namespace mortise::peer {

using raft::NodeId;

// Where the file of a snapshot that comes goes. One thread uses it, where it may block; destroyed
// without finish(), the snapshot is given up.
class SnapshotSink {
 public:
  virtual ~SnapshotSink() = default;
  virtual Status write(std::string_view bytes) = 0;
  // All bytes have come. Returns when raft has taken the message, or with why it was refused.
  virtual Status finish() = 0;
};

// The file of a snapshot to send, read once on a thread of its own, where it may block.
class SnapshotSource {
 public:
  virtual ~SnapshotSource() = default;
  virtual uint64_t size() const = 0;
  // Fills at most `out`; 0 is the end, which must come after exactly size() bytes.
  virtual Result<size_t> read(std::span<char> out) = 0;
};

struct Options {
  NodeId local_id = raft::kNoNode;
  uint64_t cluster_id = 0;
  std::vector<std::string> peer_urls;  // This member's, as others reach it.
  std::string server_version = "3.7.1";
  std::string min_cluster_version = "3.0.0";
  // For name, connection and the first answer; etcd's is one second and the election timeout.
  std::chrono::milliseconds dial_limit{2000};
  // A connection on which nothing comes, or nothing is taken, for so long is given up.
  std::chrono::milliseconds read_limit{5000};
  std::chrono::milliseconds write_limit{5000};
  tls::Dialer dialer;  // For members at https and unixs.
};

struct Hooks {
  // A message has come, never kSnap. An error is logged and, for a POST, answered with 500.
  std::function<Status(raft::Message)> receive;
  // Something to this member was dropped. Any thread that calls send(), or the transport's.
  std::function<void(NodeId)> unreachable;
  // The snapshot given to send_snapshot() has been taken by the other side, or was lost. On the
  // thread that sent it, or the one that called send_snapshot().
  std::function<void(NodeId, bool ok)> snapshot_sent;
  // A member answered that this one was removed from the cluster. At most once.
  std::function<void()> removed;
  std::function<bool(NodeId)> is_removed;
  // A snapshot comes; `bytes` is the size of its file or 0 if unknown. Called, and the sink used,
  // on a thread that may block.
  std::function<Result<std::unique_ptr<SnapshotSink>>(raft::Message, uint64_t bytes)>
      receive_snapshot;
  // Every path of the peer port that is not below /raft. `respond` may be called once, on any
  // thread, also later; dropped without a call it closes the connection.
  using Respond = std::function<void(HttpResponse)>;
  std::function<void(HttpRequest, Respond)> handle;
  LogHook log;
};

// Counts by upper bound, as Prometheus has them; the last bucket is "more".
template <size_t kBounds>
struct Histogram {
  std::array<uint64_t, kBounds + 1> buckets{};
  double sum = 0;
  uint64_t count = 0;
};
// Upper bounds: first * 2^i seconds.
inline constexpr double kRoundTripFirstBound = 0.0001;
inline constexpr double kSnapshotFirstBound = 0.1;

// What happened with one member since the start; with the names of etcd's metrics.
struct PeerCounters {
  NodeId id = raft::kNoNode;
  bool is_peer = false;                    // false: no member (yet): known by its requests.
  bool active = false;                     // etcd_network_active_peers
  uint64_t disconnects = 0;                // etcd_network_disconnected_peers_total
  uint64_t sent_bytes = 0;                 // etcd_network_peer_sent_bytes_total
  uint64_t sent_failures = 0;              // etcd_network_peer_sent_failures_total
  uint64_t received_bytes = 0;             // etcd_network_peer_received_bytes_total
  uint64_t received_failures = 0;          // etcd_network_peer_received_failures_total
  Histogram<16> round_trip_seconds;        // etcd_network_peer_round_trip_time_seconds
  uint64_t snapshots_sending = 0;          // etcd_network_snapshot_send_inflights_total
  uint64_t snapshots_sent = 0;             // etcd_network_snapshot_send_success
  uint64_t snapshot_send_failures = 0;     // etcd_network_snapshot_send_failures
  Histogram<10> snapshot_send_seconds;     // etcd_network_snapshot_send_total_duration_seconds
  uint64_t snapshots_receiving = 0;        // etcd_network_snapshot_receive_inflights_total
  uint64_t snapshots_received = 0;         // etcd_network_snapshot_receive_success
  uint64_t snapshot_receive_failures = 0;  // etcd_network_snapshot_receive_failures
  Histogram<10> snapshot_receive_seconds;  // etcd_network_snapshot_receive_total_duration_seconds
};

class Transport {
 public:
  using Clock = std::chrono::steady_clock;

  Transport(Options options, Hooks hooks);
  ~Transport();  // stop()

  void start();
  // Closes all connections and waits for hooks and threads; no hook is called afterwards.
  void stop();

  // Messages to members that are not known are ignored. Full queues drop and report.
  void send(std::vector<raft::Message> messages);
  void send_snapshot(raft::Message message, std::unique_ptr<SnapshotSource> source);

  // Members to keep streams with. kInvalid if a URL is malformed. An id that is there already has
  // these URLs from then on; update_peer() of one that is not there does nothing.
  Status add_peer(NodeId id, const std::vector<std::string>& urls);
  Status update_peer(NodeId id, const std::vector<std::string>& urls);
  void remove_peer(NodeId id);

  // Since when messages get through; nothing while they do not.
  std::optional<Clock::time_point> active_since(NodeId id) const;
  std::vector<PeerCounters> counters() const;

  // Serves a connection of a peer listener of which nothing has been read; owns `fd` from here on.
  void adopt(int fd, std::string remote);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mortise::peer
