// The store as etcd keeps it: the rows of each bucket of etcd's database, made from one view of
// ours. Large buckets are walked with a cursor, the others are a few rows in memory.
//
// Used by Snapshot, on one thread at a time. Errors: those of the store; kCorruption for rows that
// cannot be understood.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/bbolt/image_writer.h"
#include "host/store/store.h"
#include "mortise/abi/auth.h"

namespace mortise::snapshot {

// Where in the log a view of the store stands.
struct Position {
  uint64_t index = 0;
  uint64_t term = 0;
};

// Users and roles: etcd's buckets, whose rows stand in keyspace 8 behind a byte for the bucket.
struct AuthBucket {
  std::string_view name;
  char row_prefix;
};
constexpr AuthBucket kAuthBuckets[] = {{"auth", MORTISE_AUTH_ROW_STATE},
                                       {"authRoles", MORTISE_AUTH_ROW_ROLE},
                                       {"authUsers", MORTISE_AUTH_ROW_USER}};
std::string auth_row(std::string_view bucket, std::string_view key);
// Of a store without users and roles.
std::string first_auth_revision();

class EtcdRows : public bbolt::RowSource {
 public:
  // Reads the small buckets; comes first. `reader` outlives the rows. `storage_version` is that of
  // etcd's schema, "3.7.0".
  Status load(const store::Reader* reader, const Position& position,
              std::string_view storage_version);

  Status rewind() override;
  Item next(std::string_view* key, std::string_view* value) override;
  Status status() const override { return status_; }

 private:
  struct Bucket {
    std::string name;
    // Empty if the rows are those of `keyspace`.
    std::vector<std::pair<std::string, std::string>> rows;
    bool in_store = false;
    store::Keyspace keyspace = store::kMeta;
  };
  Status add_auth();
  Status add_cluster();
  Status add_members();
  Status add_meta(const Position& position, std::string_view storage_version);
  Item open_bucket(std::string_view* name);
  bool next_row(std::string_view* key, std::string_view* value);

  const store::Reader* reader_ = nullptr;
  std::vector<Bucket> buckets_;  // By name.
  size_t bucket_ = 0;
  bool opened_ = false;
  size_t row_ = 0;
  store::Cursor cursor_;
  Status status_;
};

// etcd's hash of its whole database, Maintenance.Hash: over the names of all buckets and all rows
// but those that differ from member to member. The same number for the same state.
Result<uint32_t> hash_etcd_rows(const store::Reader& reader);

}  // namespace mortise::snapshot
