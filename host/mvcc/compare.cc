#include "host/mvcc/compare.h"

#include "host/wire/key_value.h"

namespace mortise::mvcc {
namespace {

int order(int64_t a, int64_t b) { return a < b ? -1 : a > b ? 1 : 0; }

// The operand counts only if it was given for the target.
int64_t operand(const wire::Compare& c, uint32_t field) {
  return c.operand_field == field ? c.number : 0;
}

bool holds(const wire::Compare& c, const wire::KeyValue& kv) {
  int result = 0;
  switch (c.target) {
    case wire::kCompareVersion: result = order(kv.version, operand(c, 4)); break;
    case wire::kCompareCreate: result = order(kv.create_revision, operand(c, 5)); break;
    case wire::kCompareMod: result = order(kv.mod_revision, operand(c, 6)); break;
    case wire::kCompareValue:
      result = kv.value.compare(c.operand_field == 7 ? c.value : std::string_view());
      break;
    case wire::kCompareLease: result = order(kv.lease, operand(c, 8)); break;
    default: break;
  }
  switch (c.result) {
    case wire::kCompareEqual: return result == 0;
    case wire::kCompareNotEqual: return result != 0;
    case wire::kCompareGreater: return result > 0;
    case wire::kCompareLess: return result < 0;
    default: return true;
  }
}

Status holds_in(const ReadContext& context, const wire::Compare& c, bool* hold) {
  KeyRange range = key_range(c.key, c.range_end);
  bool any = false;
  wire::KeyValue kv;
  auto check = [&](std::string_view bytes) -> Status {
    any = true;
    if (!wire::decode_key_value(bytes, &kv)) return corruption("a stored KeyValue is malformed");
    *hold = holds(c, kv);
    return Status();
  };
  std::string_view key, bytes;
  if (range.single) {
    bool found;
    MORTISE_RETURN_IF_ERROR(get_current(context, c.key, &found, &bytes));
    if (found) MORTISE_RETURN_IF_ERROR(check(bytes));
  } else if (!range.empty) {
    MORTISE_ASSIGN_OR_RETURN(auto scan, CurrentScan::open(context, range.lower, range.upper));
    while (*hold && scan.next(&key, &bytes)) MORTISE_RETURN_IF_ERROR(check(bytes));
    MORTISE_RETURN_IF_ERROR(scan.status());
  }
  if (!any) *hold = c.target != wire::kCompareValue && holds(c, wire::KeyValue());
  return Status();
}

}  // namespace

Status compares_hold(const ReadContext& context, const std::vector<wire::Compare>& compares,
                     bool* hold) {
  *hold = true;
  for (const wire::Compare& c : compares) {
    MORTISE_RETURN_IF_ERROR(holds_in(context, c, hold));
    if (!*hold) break;
  }
  return Status();
}

}  // namespace mortise::mvcc
