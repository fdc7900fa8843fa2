/* Storage backend interface, "mortise.backend/1".
 *
 * A backend is an ordered map of byte strings in numbered keyspaces, with atomic commits and
 * stable read views. It knows nothing of Raft, revisions, leases or RPC: the host passes only
 * bytes. Order is that of memcmp, a prefix before its extensions. Keys are 1 to
 * MORTISE_KEY_BYTES_MAX bytes, values 0 to MORTISE_VALUE_BYTES_MAX. Keyspace numbers are 0 ..
 * MORTISE_KEYSPACE_COUNT_MAX - 1; each exists, empty, from the start.
 *
 * Durability lives in the host's log. commit() makes writes visible, sync() makes them durable,
 * and after a crash the store holds the state after some commit, never a part of one, at least
 * the newest one covered by a sync() that returned; applied() says which. The host replays its
 * log from there.
 *
 * Roles and ownership: base.h. Growth: docs/abi_policy.md. */
#ifndef MORTISE_ABI_BACKEND_H_
#define MORTISE_ABI_BACKEND_H_

#include "mortise/abi/host.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MORTISE_BACKEND_ID "mortise.backend/1"

#define MORTISE_KEY_BYTES_MAX 16777216u
#define MORTISE_VALUE_BYTES_MAX 268435456u
#define MORTISE_KEYSPACE_COUNT_MAX 16u

typedef struct mortise_backend mortise_backend; /* plugin-owned: store_open() .. store_close() */
typedef struct mortise_reader mortise_reader;   /* plugin-owned: reader_open() .. reader_close() */
typedef struct mortise_cursor mortise_cursor;   /* plugin-owned: cursor_open() .. cursor_close() */

/* Host to plugin. A plugin answers an unknown kind with MORTISE_E_INVALID. */
typedef int32_t mortise_op_kind;
enum { MORTISE_OP_PUT = 1, MORTISE_OP_DELETE = 2, MORTISE_OP_DELETE_RANGE = 3 };

typedef struct mortise_write_op { /* Applied in array order. Frozen: a new shape is a new struct. */
  mortise_op_kind kind;
  uint32_t keyspace;
  mortise_bytes key;
  mortise_bytes
      value; /* PUT: the value. DELETE: empty. DELETE_RANGE: end key, exclusive; empty: no end. */
} mortise_write_op;

typedef struct mortise_commit_request {
  uint32_t struct_size;
  uint32_t sync;          /* Non-zero: durable before commit() returns. */
  uint64_t applied_index; /* Not less than in the last successful commit. */
  uint64_t applied_term;
  const mortise_write_op* ops;
  size_t op_count; /* Zero is valid and still records the position. */
} mortise_commit_request;

typedef struct mortise_store_size {
  uint32_t struct_size;
  uint32_t reserved;
  uint64_t allocated_bytes; /* On disk, in the store's files. */
  uint64_t
      in_use_bytes; /* Of these, what reclaim() could not give back; at most allocated_bytes. */
  uint64_t memory_bytes; /* Caches and write buffers held in memory now. */
} mortise_store_size;

/* mortise_cursor flags, host to plugin; unknown bits are ignored. */
enum {
  MORTISE_CURSOR_REVERSE = 1u << 0,   /* From the upper end down. */
  MORTISE_CURSOR_KEYS_ONLY = 1u << 1, /* Values are not wanted: next() gives an empty one. */
  MORTISE_CURSOR_NO_CACHE = 1u << 2 /* A long scan that should not push out cached data. A hint. */
};

/* Hands out the next pair of a replace(): keyspaces ascending, keys strictly ascending in each.
 * Spans live until the next call. MORTISE_E_NOT_FOUND is the end; any other failure abandons the
 * replace. */
typedef mortise_status(MORTISE_ABI* mortise_source_fn)(void* context, uint32_t* keyspace,
                                                       mortise_bytes* key, mortise_bytes* value);

typedef struct mortise_backend_v1 {
  uint32_t struct_size; /* sizeof(mortise_backend_v1) as the plugin was compiled. */
  uint32_t reserved;    /* Zero. */
  /* Opens or creates the store in directory `path` (UTF-8, NUL-terminated, exists). config_json
   * is the plugin's part of the configuration, a JSON object, maybe "{}"; an unknown or bad
   * option is E_INVALID and named. Someone else's files: E_INVALID; a newer format:
   * E_NEWER_FORMAT; held by another process: E_IN_USE; each with a message that names the path.
   * `host` outlives *out. On failure *out is NULL, nothing leaks, and no store_close() follows.
   * [control & !open] */
  mortise_status(MORTISE_ABI* store_open)(const mortise_host* host, const char* path,
                                          mortise_bytes config_json, mortise_backend** out,
                                          mortise_error* error);
  /* No other call is running and every reader is closed. Cannot fail; commits made without sync
   * may be lost. [control & open] */
  void(MORTISE_ABI* store_close)(mortise_backend* self);
  /* Makes all ops and the applied position visible in one step to readers opened after it
   * returns. After any failure but MORTISE_E_INVALID the host calls no more commits and stops
   * the node, so the plugin need not repair itself; readers go on. [apply & open] */
  mortise_status(MORTISE_ABI* commit)(mortise_backend* self, const mortise_commit_request* request,
                                      mortise_error* error);
  /* Makes every commit that had returned before this call durable. Commits and readers go on
   * meanwhile. *index is a position that is durable now, at least that of those commits. One
   * call at a time; beside [apply]. [any & open] */
  mortise_status(MORTISE_ABI* sync)(mortise_backend* self, uint64_t* index, mortise_error* error);
  /* Position of the newest visible commit; 0, 0 for a new store. [any & open] */
  mortise_status(MORTISE_ABI* applied)(mortise_backend* self, uint64_t* index, uint64_t* term,
                                       mortise_error* error);
  /* Opens a view of every commit that returned before this call, unchanged by later ones. Never
   * waits for a running commit() or reclaim(). Cheap: the host opens one for each request. On
   * failure *out is NULL. [any & open] */
  mortise_status(MORTISE_ABI* reader_open)(mortise_backend* self, mortise_reader** out,
                                           mortise_error* error);
  /* Its cursors are closed; ends the spans it gave. [reader] */
  void(MORTISE_ABI* reader_close)(mortise_reader* reader);
  /* Looks up one key. *value lives until the next get() on this reader, or its close. [reader] */
  mortise_status(MORTISE_ABI* get)(mortise_reader* reader, uint32_t keyspace, mortise_bytes key,
                                   mortise_bytes* value, mortise_error* error);
  /* A cursor over one keyspace of the reader's view, not positioned. [reader] */
  mortise_status(MORTISE_ABI* cursor_open)(mortise_reader* reader, uint32_t keyspace,
                                           uint32_t flags, mortise_cursor** out,
                                           mortise_error* error);
  /* Positions before the first pair of [lower, upper), or after its last one if REVERSE. Empty
   * `lower`: from the start; empty `upper`: to the end; lower >= upper: an empty range. The
   * cursor copies the bounds. May be called again and again. [reader] */
  mortise_status(MORTISE_ABI* cursor_seek)(mortise_cursor* cursor, mortise_bytes lower,
                                           mortise_bytes upper, mortise_error* error);
  /* Steps. Both spans live until the next call on this cursor. At the end MORTISE_E_NOT_FOUND,
   * and again if repeated. [reader & positioned] */
  mortise_status(MORTISE_ABI* cursor_next)(mortise_cursor* cursor, mortise_bytes* key,
                                           mortise_bytes* value, mortise_error* error);
  void(MORTISE_ABI* cursor_close)(mortise_cursor* cursor); /* [reader] */
  /* Figures of now, cheap to get. [any & open] */
  mortise_status(MORTISE_ABI* size)(mortise_backend* self, mortise_store_size* out,
                                    mortise_error* error);
  /* Gives free space back to the system, in the background of this call: commits, syncs and
   * readers go on, and no commit waits for longer than MORTISE_RECLAIM_STALL_MS_MAX because of
   * it. Returns when done. One at a time. [any & open] */
  mortise_status(MORTISE_ABI* reclaim)(mortise_backend* self, mortise_error* error);
  /* ---- members above are required; those below may be NULL ---- */
  /* A copy of the store as of some commit, no older than the newest one before this call, in
   * directory `path`, which does not exist before and which store_open() opens. [any & open] */
  mortise_status(MORTISE_ABI* checkpoint)(mortise_backend* self, const char* path,
                                          mortise_error* error);
  /* Replaces everything by the pairs that `source` hands out, with the applied position given,
   * durably and in one step: after a crash it is the old store or the new one. Readers keep
   * their view. The position may go back. [apply & open] */
  mortise_status(MORTISE_ABI* replace)(mortise_backend* self, uint64_t applied_index,
                                       uint64_t applied_term, mortise_source_fn source,
                                       void* context, mortise_error* error);
} mortise_backend_v1;

#define MORTISE_RECLAIM_STALL_MS_MAX 10

#ifdef __cplusplus
}
#endif

#endif /* MORTISE_ABI_BACKEND_H_ */
