#include "tests/sim/env.h"

#include <algorithm>
#include <cstdio>

namespace mortise::sim {

void Env::after(Micros delay, std::function<void()> action) {
  queue_.push_back({now_ + delay, sequence_++, std::move(action)});
  std::push_heap(queue_.begin(), queue_.end(), std::greater<>());
}

bool Env::step(Micros end) {
  if (failed() || queue_.empty() || queue_.front().time > end) return false;
  std::pop_heap(queue_.begin(), queue_.end(), std::greater<>());
  Event event = std::move(queue_.back());
  queue_.pop_back();
  now_ = event.time;
  ++events_;
  event.action();
  return true;
}

void Env::trace(std::string_view line) {
  char head[32];
  const int size = std::snprintf(head, sizeof head, "%10.6f ", static_cast<double>(now_) / kSecond);
  const auto add = [this](std::string_view bytes) {
    for (const char c : bytes) {
      trace_hash_ = (trace_hash_ ^ static_cast<unsigned char>(c)) * 1099511628211u;
    }
  };
  add({head, static_cast<size_t>(size)});
  add(line);
  add("\n");
  if (print_) std::printf("%s%.*s\n", head, static_cast<int>(line.size()), line.data());
}

void Env::fail(std::string what) {
  if (failed()) return;
  trace("FAILED " + what);
  failure_ = std::move(what);
}

}  // namespace mortise::sim
