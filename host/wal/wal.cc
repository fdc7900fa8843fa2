#include "host/wal/wal.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <utility>

#include "host/wal/recovery.h"

namespace mortise::wal {
namespace {

constexpr char kNextName[] = "next.tmp";

uint64_t now_ns() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                   std::chrono::steady_clock::now().time_since_epoch())
                                   .count());
}

// The counters have one writer, so a load and a store do.
void bump(std::atomic<uint64_t>& counter, uint64_t by = 1) {
  counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}

void set(std::atomic<uint64_t>& gauge, uint64_t value) {
  gauge.store(value, std::memory_order_relaxed);
}

FileSystem& or_posix(FileSystem* file_system) {
  return file_system != nullptr ? *file_system : posix_file_system();
}

}  // namespace

void LatencyCounter::add(uint64_t ns) {
  bump(count);
  bump(total_ns, ns);
  // The first i with ns <= 2^i ms.
  const uint64_t whole_ms = ns == 0 ? 0 : (ns - 1) / 1'000'000;
  bump(buckets[std::min<size_t>(std::bit_width(whole_ms), kBuckets - 1)]);
}

Wal::Wal(const Options& options, FileSystem& file_system)
    : options_(options), file_system_(file_system) {}

Wal::~Wal() = default;

std::string Wal::path(const std::string& name) const { return options_.dir + "/" + name; }

namespace {

struct NoSink final : RecoverySink {
  void drop_from(uint64_t) override {}
  Status append(const EntryRecord&) override { return Status(); }
};

}  // namespace

Result<Identity> Wal::inspect(const std::string& dir, FileSystem* file_system) {
  NoSink sink;
  Options options;
  options.dir = dir;
  Recovery recovery(or_posix(file_system), options, sink);
  MORTISE_RETURN_IF_ERROR(recovery.list());
  return recovery.identity();
}

Result<std::optional<SnapshotMark>> Wal::last_mark(const std::string& dir,
                                                   FileSystem* file_system) {
  NoSink sink;
  MORTISE_ASSIGN_OR_RETURN(Identity identity, inspect(dir, file_system));
  Options options;
  options.dir = dir;
  options.cluster_id = identity.cluster_id;
  options.member_id = identity.member_id;
  Recovery recovery(or_posix(file_system), options, sink);
  MORTISE_RETURN_IF_ERROR(recovery.list());
  MORTISE_RETURN_IF_ERROR(recovery.read());
  return recovery.recovered().snapshot;
}

Result<std::unique_ptr<Wal>> Wal::open(const Options& options, RecoverySink& sink) {
  if (options.segment_bytes < kSegmentBytesMin) {
    return invalid("wal: segment_bytes " + std::to_string(options.segment_bytes) +
                   " is below the minimum of " + std::to_string(kSegmentBytesMin));
  }
  FileSystem& file_system = or_posix(options.file_system);
  Recovery recovery(file_system, options, sink);
  Status listed = recovery.list();
  if (listed.code() == StatusCode::kNotFound && options.create_if_missing) {
    MORTISE_RETURN_IF_ERROR(file_system.create_dir(options.dir));
    listed = recovery.list();
  }
  MORTISE_RETURN_IF_ERROR(listed);
  if (recovery.segment_count() == 0 && !options.create_if_missing) {
    return not_found("wal: no segment in " + options.dir);
  }
  if (recovery.segment_count() != 0) MORTISE_RETURN_IF_ERROR(recovery.read());
  std::unique_ptr<Wal> wal(new Wal(options, file_system));
  MORTISE_RETURN_IF_ERROR(wal->start(recovery));
  return wal;
}

Status Wal::start(Recovery& recovery) {
  for (const std::string& name : recovery.leftovers()) {
    MORTISE_RETURN_IF_ERROR(file_system_.remove(path(name)));
  }
  if (recovery.segment_count() == 0) {
    BatchBuffer nothing;
    recovered_.created = true;
    return cut(nothing);
  }
  recovered_ = recovery.recovered();
  hard_state_ = recovered_.hard_state;
  mark_ = recovered_.snapshot;
  last_index_ = recovery.log_started() ? recovered_.last_index : 0;
  segments_ = recovery.take_segments();
  set(counters_.segments, segments_.size());
  set(counters_.last_index, last_index_);
  return repair(recovery);
}

// Brings the newest segment into the state that writing needs: clean behind its last batch, whole
// in size, and durable.
Status Wal::repair(Recovery& recovery) {
  const Recovery::Tail& tail = recovery.tail();
  MORTISE_ASSIGN_OR_RETURN(
      file_, file_system_.open_file(path(segments_.back().name), OpenMode::kReadWrite));
  if (tail.torn) MORTISE_RETURN_IF_ERROR(file_->truncate(tail.offset));
  MORTISE_RETURN_IF_ERROR(file_->allocate(options_.segment_bytes));
  MORTISE_ASSIGN_OR_RETURN(capacity_, file_->size());
  // The last batch may have been written without a sync that succeeded: the process was killed
  // between the two, or the sync failed and the system now takes the pages for clean. It counts as
  // persisted from now on, so it is written again, the same bytes, and synced.
  std::string batch(tail.offset - tail.last_batch_offset, '\0');
  MORTISE_ASSIGN_OR_RETURN(const size_t got,
                           file_->read_at(tail.last_batch_offset, batch.data(), batch.size()));
  if (got != batch.size()) {
    return Status(StatusCode::kIo, "wal: " + path(segments_.back().name) + " changed under us");
  }
  MORTISE_RETURN_IF_ERROR(file_->write_at(tail.last_batch_offset, batch));
  MORTISE_RETURN_IF_ERROR(sync(*file_));
  MORTISE_RETURN_IF_ERROR(sync_dir());
  sequence_ = tail.sequence;
  offset_ = tail.offset;
  segment_crc_ = tail.segment_crc;
  chain_ = tail.chain;
  next_batch_ = tail.next_batch;
  return Status();
}

Status Wal::append(BatchBuffer& batch) {
  if (!failed_.ok()) return failed_;
  if (batch.empty()) return Status();
  MORTISE_CHECK(last_index_ == 0 || batch.joins_at() <= last_index_ + 1,
                "gap in the log: entry " + std::to_string(batch.joins_at()) + " after " +
                    std::to_string(last_index_));
  if (batch.payload_bytes() > kPayloadBytesMax) {
    return invalid("wal: a batch of " + std::to_string(batch.payload_bytes()) +
                   " bytes is over the format's limit");
  }
  failed_ = write_batch(batch);
  return failed_;
}

Status Wal::write_batch(BatchBuffer& batch) {
  if (batch_extent(batch.payload_bytes()) > capacity_ - offset_) return cut(batch);
  BatchHeader header;
  header.number = next_batch_;
  const std::string_view bytes = batch.seal(header, chain_, segment_crc_, offset_);
  MORTISE_RETURN_IF_ERROR(write(*file_, offset_, bytes));
  MORTISE_RETURN_IF_ERROR(sync(*file_));
  offset_ += bytes.size();
  chain_ = header.chain;
  note_written(batch);
  return Status();
}

// Starts a segment with this batch. The segment gets its name when all of it is on disk, so that a
// named segment is always one that can be read.
Status Wal::cut(BatchBuffer& batch) {
  if (!next_file_) MORTISE_RETURN_IF_ERROR(open_next());
  if (batch.first_extent_max() > next_capacity_) {
    next_capacity_ = (batch.first_extent_max() + kSectorBytes - 1) & ~(kSectorBytes - 1);
    MORTISE_RETURN_IF_ERROR(next_file_->allocate(next_capacity_));
  }
  SegmentHeader segment;
  segment.sequence = sequence_ + 1;
  segment.first_batch = next_batch_;
  segment.cluster_id = options_.cluster_id;
  segment.member_id = options_.member_id;
  segment.previous_chain = chain_;
  BatchHeader header;
  header.number = next_batch_;
  const std::string_view bytes = batch.seal_first(header, segment, hard_state_, mark_);
  MORTISE_RETURN_IF_ERROR(write(*next_file_, 0, bytes));
  MORTISE_RETURN_IF_ERROR(sync(*next_file_));
  const std::string name = segment_file_name(segment.sequence, segment.first_batch);
  MORTISE_RETURN_IF_ERROR(file_system_.rename(path(kNextName), path(name)));
  MORTISE_RETURN_IF_ERROR(sync_dir());

  if (!segments_.empty()) bump(counters_.segments_cut);
  segments_.push_back({name, 0});
  set(counters_.segments, segments_.size());
  file_ = std::move(next_file_);
  capacity_ = next_capacity_;
  prepare_failed_ = false;
  sequence_ = segment.sequence;
  segment_crc_ = segment.crc;
  offset_ = bytes.size();
  chain_ = header.chain;
  note_written(batch);
  return Status();
}

void Wal::note_written(const BatchBuffer& batch) {
  ++next_batch_;
  if (batch.hard_state()) hard_state_ = batch.hard_state();
  if (batch.mark()) mark_ = batch.mark();
  if (batch.last_index() != 0) last_index_ = batch.last_index();
  uint64_t& max_index = segments_.back().max_index;
  max_index = std::max(max_index, batch.max_index());
  bump(counters_.batches);
  set(counters_.last_index, last_index_);
}

Status Wal::open_next() {
  MORTISE_ASSIGN_OR_RETURN(next_file_, file_system_.open_file(path(kNextName), OpenMode::kCreate));
  next_capacity_ = options_.segment_bytes;
  Status status = next_file_->allocate(next_capacity_);
  if (!status.ok()) next_file_.reset();
  return status;
}

void Wal::prepare_next() {
  if (next_file_ || prepare_failed_ || !failed_.ok() || offset_ < capacity_ / 2) return;
  prepare_failed_ = !open_next().ok();  // cut() tries again and reports.
}

Status Wal::write(File& file, uint64_t offset, std::string_view bytes) {
  const uint64_t begin = now_ns();
  MORTISE_RETURN_IF_ERROR(file.write_at(offset, bytes));
  counters_.write.add(now_ns() - begin);
  bump(counters_.bytes_written, bytes.size());
  return Status();
}

Status Wal::sync(File& file) {
  if (options_.unsafe_no_fsync) return Status();
  const uint64_t begin = now_ns();
  MORTISE_RETURN_IF_ERROR(file.sync_data());
  counters_.sync.add(now_ns() - begin);
  return Status();
}

Status Wal::sync_dir() {
  if (options_.unsafe_no_fsync) return Status();
  return file_system_.sync_dir(options_.dir);
}

Status Wal::release(uint64_t index) {
  // Each removal is made durable before the next, or a power loss could leave a hole behind.
  if (removal_unsynced_) {
    MORTISE_RETURN_IF_ERROR(sync_dir());
    removal_unsynced_ = false;
  }
  while (segments_.size() > 1 && segments_.front().max_index <= index) {
    MORTISE_RETURN_IF_ERROR(file_system_.remove(path(segments_.front().name)));
    segments_.pop_front();
    bump(counters_.segments_released);
    set(counters_.segments, segments_.size());
    removal_unsynced_ = true;
    MORTISE_RETURN_IF_ERROR(sync_dir());
    removal_unsynced_ = false;
  }
  return Status();
}

}  // namespace mortise::wal
