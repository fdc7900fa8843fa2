#include "host/server/snapshot_sender.h"

#include <algorithm>
#include <cstring>

#include "host/membership/member.h"

namespace mortise::server {
namespace {

constexpr size_t kStepBytes = 1 << 20;  // Then another snapshot has its turn.

class FileSource : public peer::SnapshotSource {
 public:
  explicit FileSource(std::unique_ptr<snapshot::Snapshot> snapshot, std::shared_ptr<void> counted)
      : counted_(std::move(counted)), snapshot_(std::move(snapshot)) {}
  uint64_t size() const override { return snapshot_->size(); }
  Result<size_t> read(std::span<char> out) override {
    size_t bytes = std::min<uint64_t>({out.size(), snapshot_->bytes_left(), kStepBytes});
    if (bytes == 0) return size_t{0};
    ByteBuffer piece(bytes);
    MORTISE_RETURN_IF_ERROR(snapshot_->read(bytes, &piece));
    std::memcpy(out.data(), piece.view().data(), bytes);
    return bytes;
  }

 private:
  const std::shared_ptr<void> counted_;  // Goes after the snapshot.
  std::unique_ptr<snapshot::Snapshot> snapshot_;
};

}  // namespace

// One snapshot until the transport has it.
class SnapshotSender::Job : public std::enable_shared_from_this<Job> {
 public:
  Job(std::shared_ptr<const SnapshotSenderOptions> options, std::shared_ptr<Counts> counts,
      raft::Message message)
      : options_(std::move(options)), counts_(std::move(counts)), message_(std::move(message)) {
    counted_ = std::shared_ptr<void>(counts_.get(),
                                     [counts = counts_](void*) { counts->open.fetch_sub(1); });
  }

  void start() {
    auto open = [self = shared_from_this()] { self->open(); };
    if (!options_->between_commits(std::move(open))) give_up("the server stops");
  }

 private:
  void open() {
    auto snapshot = snapshot::Snapshot::open(options_->store, options_->storage_version);
    if (!snapshot.ok()) return give_up(snapshot.status().message());
    snapshot_ = std::move(snapshot).value();
    auto merged = std::make_shared<raft::Snapshot>();
    merged->index = snapshot_->position().index;
    merged->term = snapshot_->position().term;
    merged->conf_state = snapshot_->conf_state();
    auto members = snapshot_->v2_membership();
    if (!members.ok()) return give_up(members.status().message());
    merged->data = std::move(members).value();
    message_.snapshot = std::move(merged);
    next_step();
  }
  void next_step() {
    auto step = [self = shared_from_this()] { self->step(); };
    if (!options_->run_step(std::move(step))) give_up("the server stops");
  }
  void step() {
    if (counts_->stopped.load()) return give_up("the server stops");
    if (!options_->is_member(message_.to)) return give_up("the member was removed");
    bool done = false;
    Status status = snapshot_->lay_out(kStepBytes, &done);
    if (!status.ok()) return give_up(status.message());
    if (!done) return next_step();
    options_->log->info("sending merged snapshot", {{"to", membership::hex_id(message_.to)},
                                                    {"snapshot-index", message_.snapshot->index},
                                                    {"bytes", snapshot_->size()},
                                                    {"size", bytes_text(snapshot_->size())}});
    options_->send(std::move(message_),
                   std::make_unique<FileSource>(std::move(snapshot_), std::move(counted_)));
  }
  void give_up(const std::string& reason) {
    snapshot_.reset();
    counted_.reset();
    options_->log->warn("cannot send a snapshot",
                        {{"to", membership::hex_id(message_.to)}, {"error", reason}});
    report_failure(options_, message_.to);
  }

  const std::shared_ptr<const SnapshotSenderOptions> options_;
  const std::shared_ptr<Counts> counts_;
  std::shared_ptr<void> counted_;
  raft::Message message_;
  std::unique_ptr<snapshot::Snapshot> snapshot_;
};

SnapshotSender::SnapshotSender(SnapshotSenderOptions options)
    : options_(std::make_shared<const SnapshotSenderOptions>(std::move(options))),
      counts_(std::make_shared<Counts>()) {}

SnapshotSender::~SnapshotSender() { stop(); }

// Raft is not told from within its own call.
void SnapshotSender::report_failure(const std::shared_ptr<const SnapshotSenderOptions>& options,
                                    raft::NodeId to) {
  // At a stop nobody needs to know.
  (void)options->run_step([options, to] { options->failed(to); });
}

void SnapshotSender::send(raft::Message message) {
  if (counts_->stopped.load()) return;
  if (counts_->open.fetch_add(1) >= kSnapshotsSentMax) {
    counts_->open.fetch_sub(1);
    return report_failure(options_, message.to);
  }
  std::make_shared<Job>(options_, counts_, std::move(message))->start();
}

void SnapshotSender::stop() { counts_->stopped.store(true); }

}  // namespace mortise::server
