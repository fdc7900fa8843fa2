#include "host/apply/applier.h"

namespace mortise::apply {

Status Applier::apply_lease_grant(std::string_view request, ApplyResult* result) {
  int64_t id = 0, ttl = 0;
  wire::FieldReader reader(request);
  wire::Field f;
  while (reader.next(&f)) {
    if (f.is_varint(1)) ttl = static_cast<int64_t>(f.varint);
    if (f.is_varint(2)) id = static_cast<int64_t>(f.varint);
  }
  if (reader.failed()) return corruption("a logged lease grant is malformed");
  int64_t granted = 0;
  result->rpc = lessor_->check_grant(id, ttl, &granted);
  if (!result->rpc.ok()) return Status();
  lessor_->grant(id, granted);
  writer_.put_row(store::kLeases, lease::lease_row(id), lease::encode_lease({id, granted}));
  std::string body;
  wire::append_varint_field(&body, 2, static_cast<uint64_t>(id));
  wire::append_varint_field(&body, 3, static_cast<uint64_t>(granted));
  result->body.append(body);
  return Status();
}

Status Applier::apply_lease_revoke(std::string_view request, ApplyResult* result) {
  int64_t id = 0;
  wire::FieldReader reader(request);
  wire::Field f;
  while (reader.next(&f)) {
    if (f.is_varint(1)) id = static_cast<int64_t>(f.varint);
  }
  if (reader.failed()) return corruption("a logged lease revocation is malformed");
  if (!lessor_->exists(id)) {
    result->rpc = rpc_errors::kLeaseNotFound;
    return Status();
  }
  mvcc::Outcome outcome;
  MORTISE_RETURN_IF_ERROR(writer_.revoke_lease(id, &outcome));
  result->revision = outcome.revision;
  lessor_->revoke(id);
  has_revoked_ = true;
  return Status();
}

// Leases that are gone by now are passed over.
Status Applier::apply_lease_checkpoint(std::string_view request) {
  std::vector<lease::LeaseRecord> checkpoints;
  if (!lease::decode_checkpoints(request, &checkpoints))
    return corruption("a logged lease checkpoint is malformed");
  for (const lease::LeaseRecord& checkpoint : checkpoints) {
    auto stored = lessor_->checkpoint(checkpoint.id, checkpoint.remaining_ttl);
    if (!stored) continue;
    writer_.put_row(store::kLeases, lease::lease_row(stored->id), lease::encode_lease(*stored));
  }
  return Status();
}

}  // namespace mortise::apply
