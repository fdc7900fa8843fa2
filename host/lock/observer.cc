#include "host/lock/observer.h"

#include "host/lock/contender.h"
#include "host/wire/codec.h"

namespace mortise::lock {

void Observer::on_message(rpc::Payload message) {
  RequestItem item;
  item.observer = shared_from_this();
  wire::FieldReader reader(message.view());
  wire::Field f;
  while (reader.next(&f)) {
    if (f.is_bytes(1)) item.name = f.bytes;
  }
  item.malformed = reader.failed();
  inbox_->push(std::move(item));
}

void Observer::on_grant(uint64_t bytes) {
  // One item is under way for all grants that were not taken.
  if (granted_.fetch_add(bytes) == 0) inbox_->push(GrantedItem{shared_from_this()});
}

void Observer::on_cancel() { inbox_->push(GoneItem{shared_from_this()}); }

void Observer::send(ByteBuffer&& message) {
  credit_ -= static_cast<int64_t>(message.size());
  client_.send(std::move(message));
}

}  // namespace mortise::lock
