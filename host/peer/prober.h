// Asks a member every few seconds for its clock: round-trip times for the metrics, and a warning if
// the clocks differ. On the loop's thread; owned by Peer. Private to this folder.
#pragma once

#include <memory>
#include <optional>

#include "host/peer/context.h"
#include "host/peer/http_caller.h"

namespace mortise::peer {

inline constexpr milliseconds kProbeInterval{4000};
inline constexpr milliseconds kClockDriftMax{1000};

class Prober : public std::enable_shared_from_this<Prober> {
 public:
  Prober(ContextRef context, NodeId peer, UrlPickerRef picker);
  void start();
  void stop();

 private:
  void wait();
  void probe();
  void on_answer(Clock::time_point asked, const Result<HttpResponse>& result);
  void warn(const char* message, LogFields fields);

  const ContextRef context_;
  const NodeId peer_;
  const UrlPickerRef picker_;
  asio::steady_timer timer_;
  std::shared_ptr<HttpCaller> caller_;
  std::chrono::nanoseconds round_trip_{0};  // Smoothed.
  Clock::time_point drift_warned_;
  bool stopped_ = false;
};

using SystemTime = std::chrono::system_clock::time_point;
// The answer of /raft/probing, and its time.
std::string probe_answer(SystemTime now);
std::optional<SystemTime> parse_probe_answer(std::string_view json);

}  // namespace mortise::peer
