// The numbered byte maps that the host keeps in a backend. docs/formats/keyspaces.md has their
// layout. Numbers are part of the stored format: never reused.
#pragma once

#include <cstdint>

namespace mortise::store {

enum Keyspace : uint32_t {
  kMeta = 0,
  kRevisions = 1,   // 17- or 18-byte revision -> KeyValue: history in etcd's order.
  kCurrent = 2,     // User key -> KeyValue of its newest revision.
  kKeyHistory = 3,  // Escaped user key, main -> tombstone flag, sub, create revision, version.
  kLeases = 4,      // Lease id, 8 bytes big endian -> leasepb.Lease.
  kLeaseKeys = 5,   // Lease id, user key -> empty.
  kAlarms = 6,      // etcdserverpb.AlarmMember -> empty.
  kMembers = 7,     // Member id, 8 bytes big endian -> etcdserverpb.Member.
  kAuth = 8,        // Owned by the auth plugin.
  kKeyCounts = 9,   // 'b' + lower bound of a block of user keys -> number of keys in it.
};

}  // namespace mortise::store
