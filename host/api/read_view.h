// The committed store as one read sees it. On the stack of a handler; not shared.
#pragma once

#include "host/mvcc/range.h"

namespace mortise::api {

struct ReadView {
  mvcc::View view;
  mvcc::StoredBlockCounts counts;
  mvcc::ReadContext context;
  explicit ReadView(mvcc::View v) : view(std::move(v)), counts(&view.reader()) {
    context.reader = &view.reader();
    context.counts = &counts;
    context.revision = view.state().revision;
    context.compacted = view.state().compacted;
  }
  ReadView(const ReadView&) = delete;
};

}  // namespace mortise::api
