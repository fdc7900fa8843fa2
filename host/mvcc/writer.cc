#include "host/mvcc/writer.h"

#include <cstring>

#include "host/mvcc/compare.h"

namespace mortise::mvcc {

Writer::Writer(store::Store* store, std::function<bool(int64_t)> lease_exists,
               std::function<bool()> keep_prev)
    : store_(store), lease_exists_(std::move(lease_exists)), keep_prev_(std::move(keep_prev)) {}

Status Writer::open() {
  MORTISE_RETURN_IF_ERROR(begin());
  state_ = committed_;
  MORTISE_RETURN_IF_ERROR(counter_.load(reader_));
  counted_.keys.store(counter_.total(), std::memory_order_relaxed);
  return Status();
}

Status Writer::begin() {
  MORTISE_ASSIGN_OR_RETURN(reader_, store_->reader());
  MORTISE_ASSIGN_OR_RETURN(committed_, read_state(reader_));
  keeping_prev_ = keep_prev_();
  if (!arena_) arena_ = std::make_shared<Arena>();
  return Status();
}

Status Writer::refresh() { return batch_.ops().empty() ? begin() : Status(); }

ReadContext Writer::context() const {
  ReadContext context;
  context.reader = &reader_;
  context.overlay = &overlay_;
  context.counts = &counter_;
  context.revision = visible_revision();
  context.compacted = state_.compacted;
  return context;
}

Status Writer::previous(std::string_view key, Previous* out) {
  MORTISE_RETURN_IF_ERROR(get_current(context(), key, &out->found, &out->bytes));
  if (out->found && !wire::decode_key_value(out->bytes, &out->kv)) {
    return corruption("a stored KeyValue is malformed");
  }
  return Status();
}

void Writer::put_row(store::Keyspace keyspace, std::string_view key, std::string_view value) {
  batch_.put(keyspace, arena_->copy(key), arena_->copy(value));
}

void Writer::remove_row(store::Keyspace keyspace, std::string_view key) {
  batch_.remove(keyspace, arena_->copy(key));
}

namespace {

// Name of a lease_keys row: the lease, then the user key.
std::string_view lease_key_row(int64_t lease, std::string_view key, Arena* arena) {
  char* p = arena->allocate(8 + key.size());
  put_u64_be(p, static_cast<uint64_t>(lease));
  std::memcpy(p + 8, key.data(), key.size());
  return {p, 8 + key.size()};
}

}  // namespace

void Writer::attach(int64_t lease, std::string_view key, bool attached) {
  std::string_view row = lease_key_row(lease, key, arena_.get());
  if (attached) {
    batch_.put(store::kLeaseKeys, row, {});
  } else {
    batch_.remove(store::kLeaseKeys, row);
  }
  lease_rows_[row] = attached;
}

void Writer::write_version(const wire::KeyValue& kv, std::string_view stored, bool tombstone) {
  Revision revision{state_.revision + 1, sub_++};
  char* name = arena_->allocate(kRevisionBytesMax);
  batch_.put(store::kRevisions, {name, write_revision(name, revision, tombstone)}, stored);
  size_t history_size = history_key_size(kv.key);
  char* history = arena_->allocate(history_size);
  write_history_key(history, kv.key, revision.main);
  char version[kHistoryValueBytesMax];
  size_t version_size =
      write_history_value(version, {revision.sub, tombstone, kv.create_revision, kv.version});
  batch_.put(store::kKeyHistory, {history, history_size}, arena_->copy({version, version_size}));
}

// The previous value is that of the revision before, so a version of the same txn is none: the
// watch hub looks it up then.
void Writer::set_previous(const Previous& before, Event* event) {
  bool same_txn = before.found && before.kv.mod_revision == state_.revision + 1;
  event->prev_known = !before.found || (keeping_prev_ && !same_txn);
  if (event->prev_known && before.found) event->prev_kv = arena_->copy(before.bytes);
}

void Writer::write_put(const wire::KeyValue& kv, const Previous& before) {
  size_t size = wire::key_value_size(kv);
  char* p = arena_->allocate(size);
  wire::write_key_value(p, kv);
  std::string_view stored(p, size);
  // From here on all views are the arena's own. The key is the first field of the encoding.
  std::string_view key(p + 1 + wire::varint_size(kv.key.size()), kv.key.size());

  if (before.kv.lease != kv.lease) {
    if (before.found && before.kv.lease != 0) attach(before.kv.lease, key, false);
    if (kv.lease != 0) attach(kv.lease, key, true);
  }
  Event event;
  event.revision = Revision{state_.revision + 1, sub_};
  event.is_create = !before.found;
  event.create_revision = kv.create_revision;
  event.key = key;
  event.key_value = stored;
  set_previous(before, &event);
  events_.push_back(event);

  wire::KeyValue kept = kv;
  kept.key = key;
  write_version(kept, stored, false);
  batch_.put(store::kCurrent, key, stored);
  overlay_[key] = stored;
  if (!before.found) counter_.add(key, 1);
}

Status Writer::write_delete(std::string_view user_key) {
  Previous before;
  MORTISE_RETURN_IF_ERROR(previous(user_key, &before));
  MORTISE_CHECK(before.found, "a key to delete is not there");
  std::string_view key = arena_->copy(user_key);
  if (before.kv.lease != 0) attach(before.kv.lease, key, false);
  wire::KeyValue tombstone;
  tombstone.key = key;
  size_t stored_size = wire::key_value_size(tombstone);
  tombstone.mod_revision = state_.revision + 1;
  size_t size = wire::key_value_size(tombstone);
  char* p = arena_->allocate(size);
  wire::write_key_value(p, tombstone);

  Event event;
  event.revision = Revision{state_.revision + 1, sub_};
  event.is_delete = true;
  event.create_revision = before.kv.create_revision;
  event.key = key;
  event.key_value = {p, size};
  set_previous(before, &event);
  events_.push_back(event);

  // The stored tombstone is the event's KeyValue without its last field.
  write_version(tombstone, {p, stored_size}, true);
  batch_.remove(store::kCurrent, key);
  overlay_[key] = std::string_view();
  counter_.add(key, -1);
  return Status();
}

int64_t Writer::finish_changes() {
  if (sub_ > 0) ++state_.revision;
  sub_ = 0;
  return state_.revision;
}

Status Writer::check_put(const wire::PutRequest& request, RpcStatus* rpc) {
  if (request.lease != 0 && !lease_exists_(request.lease)) {
    *rpc = rpc_errors::kLeaseNotFound;
    return Status();
  }
  if (!request.ignore_value && !request.ignore_lease) return Status();
  bool found;
  std::string_view bytes;
  MORTISE_RETURN_IF_ERROR(get_current(context(), request.key, &found, &bytes));
  if (!found) *rpc = rpc_errors::kKeyNotFound;
  return Status();
}

Status Writer::do_put(const wire::PutRequest& request, bool respond, std::string* body) {
  Previous before;
  MORTISE_RETURN_IF_ERROR(previous(request.key, &before));
  counted_.puts.add_alone();
  if (request.prev_kv || request.ignore_value || request.ignore_lease) counted_.ranges.add_alone();
  if (respond && request.prev_kv && before.found) wire::append_bytes_field(body, 2, before.bytes);
  wire::KeyValue kv;
  kv.key = request.key;
  kv.mod_revision = state_.revision + 1;
  kv.create_revision = before.found ? before.kv.create_revision : kv.mod_revision;
  kv.version = before.kv.version + 1;
  kv.value = request.ignore_value ? before.kv.value : request.value;
  kv.lease = request.ignore_lease ? before.kv.lease : request.lease;
  counted_.put_bytes.add_alone(kv.key.size() + kv.value.size());
  write_put(kv, before);
  return Status();
}

Status Writer::put(const wire::PutRequest& request, bool respond, Outcome* outcome) {
  MORTISE_RETURN_IF_ERROR(check_put(request, &outcome->rpc));
  if (!outcome->rpc.ok()) return Status();
  std::string body;
  MORTISE_RETURN_IF_ERROR(do_put(request, respond, &body));
  outcome->body.append(body);
  outcome->revision = finish_changes();
  return Status();
}

Status Writer::do_delete(const wire::DeleteRangeRequest& request, bool respond, std::string* body) {
  KeyRange range = key_range(request.key, request.range_end);
  std::vector<std::string_view> keys;
  std::string prev_kvs;
  bool want_prev = respond && request.prev_kv;
  counted_.deletes.add_alone();
  std::string_view key, bytes;
  if (range.single) {
    bool found;
    MORTISE_RETURN_IF_ERROR(get_current(context(), request.key, &found, &bytes));
    if (found) keys.push_back(request.key);
    if (found && want_prev) wire::append_bytes_field(&prev_kvs, 3, bytes);
  } else if (!range.empty) {
    MORTISE_ASSIGN_OR_RETURN(auto scan, CurrentScan::open(context(), range.lower, range.upper));
    while (scan.next(&key, &bytes)) {
      keys.push_back(arena_->copy(key));
      if (want_prev) wire::append_bytes_field(&prev_kvs, 3, bytes);
    }
    MORTISE_RETURN_IF_ERROR(scan.status());
  }
  for (std::string_view k : keys) MORTISE_RETURN_IF_ERROR(write_delete(k));
  if (respond) {
    wire::append_varint_field(body, 2, keys.size());
    body->append(prev_kvs);
  }
  return Status();
}

Status Writer::delete_range(const wire::DeleteRangeRequest& request, bool respond,
                            Outcome* outcome) {
  std::string body;
  MORTISE_RETURN_IF_ERROR(do_delete(request, respond, &body));
  outcome->body.append(body);
  outcome->revision = finish_changes();
  return Status();
}

Result<std::vector<std::string>> Writer::attached_keys(int64_t lease) {
  // Rows attached in this batch are not in the reader's view yet.
  std::map<std::string, bool, std::less<>> keys;
  std::string lower(8, '\0'), upper;
  put_u64_be(lower.data(), static_cast<uint64_t>(lease));
  if (lease != -1) {
    upper.assign(8, '\0');
    put_u64_be(upper.data(), static_cast<uint64_t>(lease) + 1);
  }
  MORTISE_ASSIGN_OR_RETURN(auto cursor,
                           reader_.cursor(store::kLeaseKeys, MORTISE_CURSOR_KEYS_ONLY));
  MORTISE_RETURN_IF_ERROR(cursor.seek(lower, upper));
  std::string_view row, value;
  while (cursor.next(&row, &value)) keys[std::string(row.substr(8))] = true;
  MORTISE_RETURN_IF_ERROR(cursor.status());
  for (auto it = lease_rows_.lower_bound(lower);
       it != lease_rows_.end() && it->first.starts_with(lower); ++it) {
    keys[std::string(it->first.substr(8))] = it->second;
  }
  std::vector<std::string> attached_now;
  for (const auto& [key, attached] : keys) {
    if (attached) attached_now.push_back(key);
  }
  return attached_now;
}

Status Writer::revoke_lease(int64_t lease, Outcome* outcome) {
  MORTISE_ASSIGN_OR_RETURN(auto keys, attached_keys(lease));
  for (const std::string& key : keys) {
    counted_.deletes.add_alone();
    MORTISE_RETURN_IF_ERROR(write_delete(key));
  }
  if (keys.size() > 1) counted_.txns.add_alone();
  std::string row(8, '\0');
  put_u64_be(row.data(), static_cast<uint64_t>(lease));
  remove_row(store::kLeases, row);
  outcome->revision = finish_changes();
  return Status();
}

RpcStatus Writer::compact(int64_t revision) {
  if (revision <= state_.compacted) return rpc_errors::kCompacted;
  if (revision > state_.revision) return rpc_errors::kFutureRevision;
  state_.compacted = revision;
  return RpcStatus();
}

Status Writer::commit(uint64_t applied_index, uint64_t applied_term,
                      std::shared_ptr<EventBatch>* events) {
  MORTISE_CHECK(sub_ == 0, "a batch is committed inside an operation");
  MORTISE_RETURN_IF_ERROR(counter_.flush(context(), arena_.get(), &batch_));
  char* row = arena_->allocate(kStateBytes);
  write_state(row, state_);
  batch_.put(store::kMeta, kStateKey, std::string_view(row, kStateBytes));
  MORTISE_RETURN_IF_ERROR(store_->commit(batch_, applied_index, applied_term));
  counted_.keys.store(counter_.total(), std::memory_order_relaxed);

  auto published = std::make_shared<EventBatch>();
  published->arena = std::move(arena_);
  published->events.swap(events_);
  published->first_revision = committed_.revision + 1;
  published->last_revision = state_.revision;
  *events = std::move(published);
  batch_.clear();
  overlay_.clear();
  lease_rows_.clear();
  return begin();
}

}  // namespace mortise::mvcc
