#include "host/lock/contest.h"

namespace mortise::lock {

Status Contest::begin() {
  MORTISE_ASSIGN_OR_RETURN(scan_, KeyScan::open(*store_, prefix_));
  counted_revision_ = scan_->revision();
  return count_round();
}

void Contest::expect(uint64_t id, const std::string& key) {
  contenders_[id].key = key;
  expected_.emplace(key, id);
}

void Contest::join(uint64_t id, int64_t revision) {
  Contender& contender = contenders_.at(id);
  if (contender.place.has_value()) {
    if (contender.place->revision == revision) return;
    line_.leave(*contender.place);  // That was another key of this name.
  } else {
    forget_expected(contender.key, id);
  }
  Line::Place place;
  if (!line_.enter(revision, id, &place)) count_due_ = true;
  contender.place = place;
  contender.was_first_at_once = false;
}

bool Contest::was_first_at_once(uint64_t id) const { return contenders_.at(id).was_first_at_once; }

void Contest::leave(uint64_t id) {
  auto at = contenders_.find(id);
  if (at == contenders_.end()) return;
  if (at->second.place.has_value()) {
    line_.leave(*at->second.place);
  } else {
    forget_expected(at->second.key, id);
  }
  contenders_.erase(at);
}

void Contest::forget_expected(const std::string& key, uint64_t id) {
  auto [at, end] = expected_.equal_range(key);
  while (at != end && at->second != id) ++at;
  if (at != end) expected_.erase(at);
}

void Contest::on_event(const mvcc::Event& event) {
  // The events before are those that the scan knows.
  if (awaited_ != nullptr && event.revision.main > awaited_->revision()) start_count();
  if (event.revision.main <= counted_revision_) return;
  if (event.is_create) {
    take_places(event);
    line_.add_key(event.create_revision);
  }
  if (event.is_delete) line_.remove_key(event.create_revision);
}

void Contest::take_places(const mvcc::Event& event) {
  auto [begin, end] = expected_.equal_range(std::string(event.key));
  for (auto at = begin; at != end; ++at) {
    Contender& contender = contenders_.at(at->second);
    contender.place = line_.enter_last(event.create_revision, at->second);
    contender.was_first_at_once = !has_work() && line_.is_first(*contender.place);
  }
  expected_.erase(begin, end);
}

Status Contest::work(int64_t handled) {
  if (std::exchange(count_due_, false)) {
    scan_ = nullptr;
    MORTISE_ASSIGN_OR_RETURN(awaited_, KeyScan::open(*store_, prefix_));
  }
  if (awaited_ != nullptr) {
    if (handled < awaited_->revision()) return Status();
    start_count();
  }
  return scan_ == nullptr ? Status() : count_round();
}

void Contest::start_count() {
  scan_ = std::move(awaited_);
  counted_revision_ = scan_->revision();
  line_.forget_keys();
}

Status Contest::count_round() {
  bool done = false;
  auto count = [this](const wire::KeyValue& kv, std::string_view) {
    line_.add_key(kv.create_revision);
  };
  MORTISE_RETURN_IF_ERROR(scan_->step(kScanKeysPerRound, count, &done));
  if (done) scan_ = nullptr;
  return Status();
}

std::vector<uint64_t> Contest::first() const {
  return has_work() ? std::vector<uint64_t>() : line_.first();
}

}  // namespace mortise::lock
