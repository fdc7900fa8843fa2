#include "host/lock/key_scan.h"

#include <limits>

namespace mortise::lock {
namespace {

Status malformed() { return corruption("a stored KeyValue is malformed"); }

Status set_found(std::string_view stored, Found* found) {
  found->stored = stored;
  return wire::decode_key_value(found->stored, &found->kv) ? Status() : malformed();
}

}  // namespace

std::string prefix_end(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && end.back() == '\xff') end.pop_back();
  if (!end.empty()) ++end.back();
  return end;
}

Result<std::unique_ptr<KeyScan>> KeyScan::open(const store::Store& store, std::string prefix) {
  MORTISE_ASSIGN_OR_RETURN(auto view, mvcc::View::open(store));
  std::unique_ptr<KeyScan> scan(new KeyScan(std::move(view), std::move(prefix)));
  // The scan borrows the view, which has its place now.
  MORTISE_ASSIGN_OR_RETURN(auto rows, mvcc::CurrentScan::open(scan->context(), scan->prefix_,
                                                              prefix_end(scan->prefix_)));
  scan->scan_.emplace(std::move(rows));
  return scan;
}

mvcc::ReadContext KeyScan::context() const {
  mvcc::ReadContext context;
  context.reader = &view_.reader();
  context.revision = view_.state().revision;
  context.compacted = view_.state().compacted;
  return context;
}

Status KeyScan::step(size_t keys_max, const Visit& visit, bool* done) {
  std::string_view key, stored;
  *done = false;
  for (size_t i = 0; i < keys_max; ++i) {
    if (!scan_->next(&key, &stored)) {
      *done = true;
      return scan_->status();
    }
    wire::KeyValue kv;
    if (!wire::decode_key_value(stored, &kv)) return malformed();
    visit(kv, stored);
  }
  return Status();
}

Result<std::unique_ptr<Found>> find_key(const store::Store& store, std::string_view key) {
  MORTISE_ASSIGN_OR_RETURN(auto view, mvcc::View::open(store));
  mvcc::ReadContext context;
  context.reader = &view.reader();
  auto found = std::make_unique<Found>();
  found->revision = view.state().revision;
  bool is_there = false;
  std::string_view stored;
  MORTISE_RETURN_IF_ERROR(mvcc::get_current(context, key, &is_there, &stored));
  if (is_there) MORTISE_RETURN_IF_ERROR(set_found(stored, found.get()));
  return found;
}

Result<std::unique_ptr<Found>> find_oldest(const store::Store& store, const std::string& prefix) {
  MORTISE_ASSIGN_OR_RETURN(auto scan, KeyScan::open(store, prefix));
  auto found = std::make_unique<Found>();
  found->revision = scan->revision();
  int64_t oldest = std::numeric_limits<int64_t>::max();
  std::string best;
  auto visit = [&](const wire::KeyValue& kv, std::string_view stored) {
    if (kv.create_revision >= oldest) return;
    oldest = kv.create_revision;
    best = stored;
  };
  bool done = false;
  while (!done) MORTISE_RETURN_IF_ERROR(scan->step(kScanKeysPerRound, visit, &done));
  if (!best.empty()) MORTISE_RETURN_IF_ERROR(set_found(best, found.get()));
  return found;
}

}  // namespace mortise::lock
