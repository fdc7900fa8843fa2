// The KV requests as views of their bytes. A decoded request is valid as long as those bytes.
#pragma once

#include <memory>
#include <variant>
#include <vector>

#include "host/wire/codec.h"

namespace mortise::wire {

// Txns nested deeper than this are malformed.
constexpr int kTxnDepthMax = 256;

enum SortOrder : int32_t { kSortNone = 0, kSortAscend = 1, kSortDescend = 2 };
enum SortTarget : int32_t {
  kSortKey = 0,
  kSortVersion = 1,
  kSortCreate = 2,
  kSortMod = 3,
  kSortValue = 4
};

struct RangeRequest {
  std::string_view key;
  std::string_view range_end;
  int64_t limit = 0;
  int64_t revision = 0;
  int32_t sort_order = kSortNone;
  int32_t sort_target = kSortKey;
  bool serializable = false;
  bool keys_only = false;
  bool count_only = false;
  int64_t min_mod_revision = 0;
  int64_t max_mod_revision = 0;
  int64_t min_create_revision = 0;
  int64_t max_create_revision = 0;
};

struct PutRequest {
  std::string_view key;
  std::string_view value;
  int64_t lease = 0;
  bool prev_kv = false;
  bool ignore_value = false;
  bool ignore_lease = false;
};

struct DeleteRangeRequest {
  std::string_view key;
  std::string_view range_end;
  bool prev_kv = false;
};

enum CompareResult : int32_t {
  kCompareEqual = 0,
  kCompareGreater = 1,
  kCompareLess = 2,
  kCompareNotEqual = 3
};
enum CompareTarget : int32_t {
  kCompareVersion = 0,
  kCompareCreate = 1,
  kCompareMod = 2,
  kCompareValue = 3,
  kCompareLease = 4
};

// The operand of a comparison is that of `target`; one given for another target counts as absent,
// and absent counts as 0 or empty.
struct Compare {
  int32_t result = kCompareEqual;
  int32_t target = kCompareVersion;
  std::string_view key;
  std::string_view range_end;
  uint32_t operand_field = 0;  // 4 version, 5 create, 6 mod, 7 value, 8 lease; 0 none.
  int64_t number = 0;
  std::string_view value;
};

struct TxnRequest;
// monostate: a RequestOp without a request.
using RequestOp = std::variant<std::monostate, RangeRequest, PutRequest, DeleteRangeRequest,
                               std::unique_ptr<TxnRequest>>;

struct TxnRequest {
  std::vector<Compare> compare;
  std::vector<RequestOp> success;
  std::vector<RequestOp> failure;
};

// Each returns false if the bytes are not a message of that type.
bool decode(std::string_view bytes, RangeRequest* out);
bool decode(std::string_view bytes, PutRequest* out);
bool decode(std::string_view bytes, DeleteRangeRequest* out);
bool decode(std::string_view bytes, Compare* out);
bool decode(std::string_view bytes, TxnRequest* out, int depth = 0);

}  // namespace mortise::wire
