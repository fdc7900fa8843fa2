// The committed store as one read sees it. On the stack of a handler; not shared.
#pragma once

#include "host/mvcc/range.h"

namespace mortise::api {

// What a read may take while the clients of its transport's thread wait: some thousand rows. A
// longer one is begun anew on a thread for long reads.
constexpr uint64_t kInlineReadBytesMax = 512 << 10;

struct ReadView {
  mvcc::View view;
  mvcc::StoredBlockCounts counts;
  mvcc::ReadContext context;
  // `budget` may be null.
  ReadView(mvcc::View v, store::ReadBudget* budget) : view(std::move(v)), counts(&view.reader()) {
    view.limit(budget);
    context.reader = &view.reader();
    context.counts = &counts;
    context.revision = view.state().revision;
    context.compacted = view.state().compacted;
  }
  ReadView(const ReadView&) = delete;
};

}  // namespace mortise::api
