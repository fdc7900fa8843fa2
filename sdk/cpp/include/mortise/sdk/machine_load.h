// Whether the machine has processor time to spare.
//
// Where it has, work is best begun at once. Where it has not, everybody waits for a processor
// anyway, and work that gathers for a moment and is done together takes less of it: fewer syncs,
// system calls and switches for as many requests. So who can gather asks here first, and gathers
// for a bounded time.
//
// What counts is the whole machine, as the system's /proc/stat has it. A container with less than
// the machine sees the machine's.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace mortise::sdk {

// Of all processors together since the machine was started, in the system's ticks.
struct ProcessorTime {
  uint64_t idle = 0;  // Waiting for a disk is idle, too.
  uint64_t all = 0;

  // From the text of /proc/stat; nothing if it is something else.
  static std::optional<ProcessorTime> parse(std::string_view stat) {
    constexpr std::string_view kName = "cpu ";
    constexpr int kFields = 8;  // user nice system idle iowait irq softirq steal
    if (!stat.starts_with(kName)) return std::nullopt;
    const char* at = stat.data() + kName.size();
    const char* const end = stat.data() + stat.size();
    ProcessorTime time;
    for (int field = 0; field < kFields; ++field) {
      while (at != end && *at == ' ') ++at;
      uint64_t ticks = 0;
      const auto read = std::from_chars(at, end, ticks);
      if (read.ec != std::errc()) return std::nullopt;
      at = read.ptr;
      time.all += ticks;
      if (field == 3 || field == 4) time.idle += ticks;
    }
    return time;
  }
};

// One thread's view of it.
class MachineLoad {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kLookInterval{500};
  static constexpr unsigned kBusyPercent = 90;

  MachineLoad() : fd_(::open("/proc/stat", O_RDONLY | O_CLOEXEC)) {}
  ~MachineLoad() {
    if (fd_ >= 0) ::close(fd_);
  }
  MachineLoad(const MachineLoad&) = delete;
  MachineLoad& operator=(const MachineLoad&) = delete;

  // True if kBusyPercent of the processors' time or more were used between the last two looks.
  // Cheap: looks when the last look is kLookInterval old. False as long as it does not know.
  bool busy(Clock::time_point now) {
    if (fd_ >= 0 && now - looked_ >= kLookInterval) {
      looked_ = now;
      char text[256];
      const ssize_t size = ::pread(fd_, text, sizeof(text), 0);
      look(ProcessorTime::parse({text, size < 0 ? 0 : static_cast<size_t>(size)}));
    }
    return busy_;
  }

  // What busy() does with what it has read.
  bool look(const std::optional<ProcessorTime>& time) {
    busy_ = false;
    if (time && last_ && time->all > last_->all) {
      const uint64_t all = time->all - last_->all;
      const uint64_t idle = time->idle > last_->idle ? time->idle - last_->idle : 0;
      busy_ = idle * 100 <= all * (100 - kBusyPercent);
    }
    last_ = time;
    return busy_;
  }

 private:
  const int fd_;
  Clock::time_point looked_{};
  std::optional<ProcessorTime> last_;
  bool busy_ = false;
};

}  // namespace mortise::sdk
