#include "tests/sim/machine.h"

#include "host/wal/segment_reader.h"
#include "tests/sim/process.h"

namespace mortise::sim {

Machine::Machine(Site* site, raft::NodeId id, bool founder)
    : site_(site),
      id_(id),
      founder_(founder),
      random_(site->env->fork()),
      disk_(random_.next()),
      stores_(Random(random_.next())) {
  stores_.lose_applied_index(site->options.bug == Bug::kLoseAppliedIndex);
}

Machine::~Machine() = default;

lease::Clock::time_point Machine::local_now() const {
  const auto passed = static_cast<int64_t>(site_->env->now() - drift_since_);
  const int64_t local =
      static_cast<int64_t>(drift_local_) + passed + passed * drift_permille_ / 1000;
  return lease::Clock::time_point(std::chrono::microseconds(local));
}

Micros Machine::real(Micros micros) const {
  return micros * 1000 / static_cast<uint64_t>(1000 + drift_permille_);
}

void Machine::set_drift(int64_t permille) {
  drift_local_ = static_cast<Micros>(
      std::chrono::duration_cast<std::chrono::microseconds>(local_now().time_since_epoch())
          .count());
  drift_since_ = site_->env->now();
  drift_permille_ = permille;
}

void Machine::start() {
  MORTISE_CHECK(health_ == Health::kDown, "a start of a member that is not down");
  ended_.clear();
  ++life_;
  site_->env->trace("start " + std::to_string(id_));
  auto process = Process::start(this);
  if (process.ok()) {
    if (damaged_) site_->env->fail("member " + std::to_string(id_) + " starts with a damaged log");
    process_ = std::move(process).value();
    health_ = Health::kUp;
    return;
  }
  site_->env->trace("refused " + std::to_string(id_) + ": " + process.status().message());
  const bool expected = damaged_ && process.status().code() == StatusCode::kCorruption;
  if (expected) {
    health_ = Health::kRefused;
    ++site_->refused;
  } else if (disk_.powered() && process.status().code() != StatusCode::kNoSpace) {
    site_->env->fail("member " + std::to_string(id_) +
                     " does not start: " + process.status().message());
  }
}

void Machine::crash(bool power_loss) {
  if (!up()) return;
  site_->env->trace((power_loss ? "power loss " : "kill ") + std::to_string(id_));
  end_before_ = durable_end();
  process_->crash(power_loss);
  // The process may be at work further up in the stack.
  ended_.push_back(std::move(process_));
  health_ = Health::kDown;
  paused_ = false;
  deferred_.clear();
  ++life_;
  site_->env->after(0, [this] {
    ended_.clear();
    stores_.crash();
  });
}

Machine::LogEnd Machine::durable_end() const {
  if (!process_) return end_before_;
  return {process_->durable_index(), process_->durable_term()};
}

void Machine::remove() {
  crash(false);
  health_ = Health::kRemoved;
}

void Machine::resume() {
  if (!paused_) return;
  paused_ = false;
  // One after the other, as the process gets to them; it may be paused or end in between.
  std::vector<std::function<void()>> deferred;
  deferred.swap(deferred_);
  const uint64_t life = life_;
  for (auto& action : deferred) run(life, std::move(action));
}

void Machine::run(uint64_t life, std::function<void()> action) {
  if (life != life_ || !up()) return;
  if (paused_) {
    deferred_.push_back(std::move(action));
    return;
  }
  action();
}

bool Machine::flip_bit() {
  // Damage of the newest batch can look like a write that a crash cut short; any other must be
  // noticed.
  struct Batch {
    std::string path;
    uint64_t begin;
    uint64_t end;
  };
  std::vector<Batch> batches;
  std::vector<std::string> paths = disk_.paths();
  for (const std::string& path : paths) {
    if (path.ends_with(".tmp")) continue;
    auto file = disk_.open_file(path, wal::OpenMode::kRead);
    if (!file.ok()) return false;
    wal::SegmentReader reader(**file, path);
    if (!reader.read_header().ok()) return false;
    for (;;) {
      auto step = reader.next();
      if (!step.ok() || *step != wal::SegmentReader::Step::kBatch) break;
      batches.push_back({path, reader.batch().offset, reader.offset()});
    }
  }
  if (batches.size() < 2) return false;
  const Batch& batch = batches[random_.below(batches.size() - 1)];
  const uint64_t at = random_.between(batch.begin, batch.end - 1);
  const auto bit = static_cast<char>(1 << random_.below(8));
  std::string& contents = disk_.contents(batch.path);
  contents[at] = static_cast<char>(contents[at] ^ bit);
  disk_.settle();
  damaged_ = true;
  site_->env->trace("flipped a bit of " + batch.path + " at " + std::to_string(at) + " of member " +
                    std::to_string(id_));
  return true;
}

}  // namespace mortise::sim
