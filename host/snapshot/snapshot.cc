#include "host/snapshot/snapshot.h"

#include "host/apply/applier.h"

namespace mortise::snapshot {

Result<std::unique_ptr<Snapshot>> Snapshot::open(store::Store* store,
                                                 std::string_view storage_version) {
  std::unique_ptr<Snapshot> snapshot(new Snapshot());
  MORTISE_RETURN_IF_ERROR(store->applied(&snapshot->position_.index, &snapshot->position_.term));
  MORTISE_ASSIGN_OR_RETURN(snapshot->reader_, store->reader());
  MORTISE_ASSIGN_OR_RETURN(snapshot->conf_state_, apply::read_conf_state(snapshot->reader_));
  MORTISE_RETURN_IF_ERROR(
      snapshot->rows_.load(&snapshot->reader_, snapshot->position_, storage_version));
  return snapshot;
}

}  // namespace mortise::snapshot
