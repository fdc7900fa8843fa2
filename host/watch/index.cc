#include "host/watch/index.h"

#include "host/rpc/buffers.h"
#include "host/store/store.h"

namespace mortise::watch {

Result<Index> Index::create(const mortise_watch_v1* table, const mortise_host* host,
                            std::string_view config_json) {
  mortise_watch* handle = nullptr;
  mortise_error error{};
  error.struct_size = sizeof(error);
  mortise_status code = table->create(host, rpc::to_bytes(config_json), &handle, &error);
  MORTISE_RETURN_IF_ERROR(store::plugin_status(code, error, "create of the watch index", handle));
  return Index(table, handle);
}

Status Index::add(uint64_t watcher, std::string_view key, std::string_view range_end) {
  mortise_error error{};
  error.struct_size = sizeof(error);
  mortise_status code =
      table_->add(handle_, watcher, rpc::to_bytes(key), rpc::to_bytes(range_end), &error);
  if (code != MORTISE_OK) return store::plugin_status(code, error, "add of the watch index");
  ++size_;
  return Status();
}

void Index::remove(uint64_t watcher) {
  table_->remove(handle_, watcher);
  --size_;
}

void Index::match(const std::vector<mvcc::Event>& events, size_t from, size_t to,
                  std::vector<Match>* out) {
  if (size_ == 0 || from == to) return;
  keys_.clear();
  for (size_t i = from; i < to; ++i) keys_.push_back(rpc::to_bytes(events[i].key));
  struct Sink {
    std::vector<Match>* out;
    uint32_t from;
  } sink{out, static_cast<uint32_t>(from)};
  table_->match(
      handle_, keys_.data(), keys_.size(),
      [](void* context, uint64_t watcher, uint32_t event) {
        auto* s = static_cast<Sink*>(context);
        s->out->push_back(Match{watcher, s->from + event});
      },
      &sink);
}

}  // namespace mortise::watch
