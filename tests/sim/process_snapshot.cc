// Snapshots: taking one, receiving one, putting it in the store's place; and the watchers, which
// must not notice.
//
// A snapshot here is a copy of the store's rows; the files that servers send each other have tests
// of their own (host/snapshot). All else is as in a server: the metadata is that of the view; the
// new store is whole and synced before raft sees the message; the log's mark decides which of the
// two stores a start takes.
#include "host/watch/history.h"
#include "tests/sim/process.h"
#include "tests/sim/watcher.h"

namespace mortise::sim {
namespace {

std::string prepared_name(uint64_t index) { return "store-" + std::to_string(index); }

void append_sized(std::string* out, std::string_view bytes) {
  const auto size = static_cast<uint32_t>(bytes.size());
  out->append(reinterpret_cast<const char*>(&size), sizeof size);
  out->append(bytes);
}

std::string_view take_sized(std::string_view* from) {
  uint32_t size;
  __builtin_memcpy(&size, from->data(), sizeof size);
  const std::string_view out = from->substr(sizeof size, size);
  from->remove_prefix(sizeof size + size);
  return out;
}

std::string rows_of(const store::Reader& reader) {
  std::string out;
  for (uint32_t keyspace = 0; keyspace < MORTISE_KEYSPACE_COUNT_MAX; ++keyspace) {
    auto cursor = reader.cursor(static_cast<store::Keyspace>(keyspace));
    MORTISE_CHECK(cursor.ok() && cursor->seek({}, {}).ok(), "no cursor");
    std::string_view key, value;
    while (cursor->next(&key, &value)) {
      out.push_back(static_cast<char>(keyspace));
      append_sized(&out, key);
      append_sized(&out, value);
    }
  }
  return out;
}

}  // namespace

raft::SnapshotRef Process::take_snapshot() const {
  auto reader = state_->store->reader();
  auto snapshot = std::make_shared<raft::Snapshot>();
  const Status status = state_->store->applied(&snapshot->index, &snapshot->term);
  MORTISE_CHECK(status.ok(), status.message());
  snapshot->conf_state = apply::read_conf_state(*reader).value();
  snapshot->data = rows_of(*reader);
  return snapshot;
}

// Writes the new store, which takes time; raft sees the message afterwards.
void Process::receive_snapshot(raft::Message message) {
  const raft::Snapshot& snapshot = *message.snapshot;
  const std::string name = prepared_name(snapshot.index);
  Network* network = machine_->site().network;
  if (machine_->stores().exists(name)) {  // On its way, or here.
    network->answer_snapshot(message.from, machine_->id(), false);
    return;
  }
  {
    auto store = machine_->stores().open(name);
    std::string_view rows = snapshot.data;
    store::WriteBatch batch;
    while (!rows.empty()) {
      const auto keyspace = static_cast<store::Keyspace>(rows.front());
      rows.remove_prefix(1);
      const std::string_view key = take_sized(&rows);
      batch.put(keyspace, key, take_sized(&rows));
    }
    const Status status = store->commit(batch, snapshot.index, snapshot.term, /*sync=*/true);
    MORTISE_CHECK(status.ok(), status.message());
  }
  const auto take = [this, machine = machine_, life = life_, network, message] {
    if (machine->life() != life) {
      network->answer_snapshot(message.from, machine->id(), false);
    } else {
      machine->run(life, [this, message] { take_received(message); });
    }
  };
  env_->after(random_.between(1, 100) * kMillisecond, take);
}

void Process::take_received(raft::Message message) {
  auto metadata = std::make_shared<raft::Snapshot>(*message.snapshot);
  metadata->data.clear();
  const uint64_t index = metadata->index;
  machine_->site().network->answer_snapshot(message.from, machine_->id(), true);
  message.snapshot = std::move(metadata);
  const Status status = replica_->step(std::move(message));
  if (!status.ok()) env_->fail("a snapshot is refused: " + status.message());
  work();
  if (snapshot_submitted_ != index) machine_->stores().remove(prepared_name(index));
}

// One short step: the store that was prepared takes the place of the present one.
Status Process::switch_store(const raft::SnapshotRef& snapshot) {
  const std::string name = prepared_name(snapshot->index);
  if (!machine_->stores().exists(name)) {
    return corruption("the log begins after index " + std::to_string(snapshot->index) +
                      ", the store ends at " + std::to_string(applied()));
  }
  env_->trace("member " + std::to_string(machine_->id()) + " switches to " + name);
  ++machine_->site().snapshots;
  const std::string old = machine_->store_name();
  state_.reset();
  machine_->store_name() = name;
  machine_->stores().remove(old);
  MORTISE_RETURN_IF_ERROR(open_state());
  compactions_.clear();
  removals_.clear();
  auto view = mvcc::View::open(*state_->store);
  MORTISE_ASSIGN_OR_RETURN(compaction_finished_, mvcc::finished_compaction(view->reader()));
  if (view->state().compacted > compaction_finished_) {
    start_compaction(view->state().compacted, true);
  }
  catch_up_watchers();
  return Status();
}

// Watchers.

void Process::attach(std::shared_ptr<Watcher> watcher) {
  watchers_.push_back(std::move(watcher));
  catch_up_watchers();
}

void Process::detach(const Watcher* watcher) {
  std::erase_if(watchers_, [&](const auto& held) { return held.get() == watcher; });
}

// From the store, up to what is visible; what comes later comes with feed().
void Process::catch_up_watchers() {
  auto view = mvcc::View::open(*state_->store);
  for (const auto& watcher : watchers_) {
    if (watcher->next_revision() < view->state().compacted) {
      watcher->compacted(view->state().compacted);
    }
    while (watcher->next_revision() <= view->state().revision) {
      watch::HistoryLimits limits;
      limits.revisions_max = 50;
      limits.last_revision = view->state().revision;
      auto chunk = watch::read_chunk(*view, watcher->next_revision(), limits);
      MORTISE_CHECK(chunk.ok(), chunk.status().message());
      watcher->take(chunk->events, chunk->last_revision);
    }
  }
}

void Process::feed(const mvcc::EventBatch& batch) {
  for (const auto& watcher : watchers_) {
    if (watcher->next_revision() > batch.last_revision) continue;
    if (watcher->next_revision() < batch.first_revision) {
      env_->fail("a watcher of member " + std::to_string(machine_->id()) + " misses events from " +
                 std::to_string(watcher->next_revision()));
      return;
    }
    watcher->take(batch.events, batch.last_revision);
  }
}

}  // namespace mortise::sim
