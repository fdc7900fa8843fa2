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
  if (code != MORTISE_OK) return store::plugin_status(code, error, "create of the watch index");
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

void Index::match(const std::vector<mvcc::Event>& events, std::vector<Match>* out) {
  out->clear();
  if (size_ == 0 || events.empty()) return;
  keys_.clear();
  for (const mvcc::Event& event : events) keys_.push_back(rpc::to_bytes(event.key));
  table_->match(
      handle_, keys_.data(), keys_.size(),
      [](void* context, uint64_t watcher, uint32_t event) {
        static_cast<std::vector<Match>*>(context)->push_back(Match{watcher, event});
      },
      out);
}

}  // namespace mortise::watch
