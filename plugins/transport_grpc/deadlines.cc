#include "plugins/transport_grpc/deadlines.h"

#include <algorithm>

namespace mortise::transport_grpc {

void Deadlines::add(Deadlined& item, Clock::time_point at) {
  item.deadline_ = at;
  heap_.push_back(&item);
  rise(heap_.size() - 1);
  arm();
}

void Deadlines::remove(Deadlined& item) {
  const size_t at = item.place_;
  if (at == Deadlined::kNowhere) return;
  item.place_ = Deadlined::kNowhere;
  Deadlined* const last = heap_.back();
  heap_.pop_back();
  if (last == &item) return;
  place(last, at);
  rise(at);
  sink(last->place_);
}

void Deadlines::place(Deadlined* item, size_t at) {
  heap_[at] = item;
  item->place_ = at;
}

void Deadlines::rise(size_t at) {
  Deadlined* const item = heap_[at];
  while (at > 0) {
    const size_t parent = (at - 1) / 2;
    if (heap_[parent]->deadline_ <= item->deadline_) break;
    place(heap_[parent], at);
    at = parent;
  }
  place(item, at);
}

void Deadlines::sink(size_t at) {
  Deadlined* const item = heap_[at];
  for (;;) {
    size_t child = 2 * at + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && heap_[child + 1]->deadline_ < heap_[child]->deadline_) ++child;
    if (item->deadline_ <= heap_[child]->deadline_) break;
    place(heap_[child], at);
    at = child;
  }
  place(item, at);
}

void Deadlines::arm() {
  if (heap_.empty()) return;
  const auto first = heap_.front()->deadline_;
  if (armed_ && armed_for_ <= first) return;
  armed_ = true;
  armed_for_ = first;
  timer_.start(
      std::max<std::chrono::nanoseconds>(first - Clock::now(), std::chrono::nanoseconds(0)),
      [this] { expire(); });
}

void Deadlines::expire() {
  armed_ = false;
  const auto now = Clock::now();
  while (!heap_.empty() && heap_.front()->deadline_ <= now) {
    Deadlined* const item = heap_.front();
    remove(*item);
    item->on_deadline();
  }
  arm();
}

}  // namespace mortise::transport_grpc
