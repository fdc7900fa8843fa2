/* Authentication and authorization, "mortise.auth/1".
 *
 * Decides who is calling and what they may do. Its state (users, roles, enabled, revision) lives
 * in the auth keyspace of the replicated store and changes only through the log.
 *   - apply() runs on every member for the same entry and must write the same rows on each: no
 *     clock, no randomness, no file decides.
 *   - Decisions read an immutable view of that state, which apply() replaces, so they take no lock.
 *   - Deny by default: an operation or a kind that the plugin does not know is denied. */
#ifndef MORTISE_ABI_AUTH_H_
#define MORTISE_ABI_AUTH_H_

#include "mortise/abi/rpc.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MORTISE_AUTH_ID "mortise.auth/1"

typedef struct mortise_auth mortise_auth; /* plugin-owned: create() .. destroy() */

/* The auth keyspace inside one entry's commit. Reads see the entry's own writes. host-owned, for
 * the call. */
typedef struct mortise_auth_txn mortise_auth_txn;
struct mortise_auth_txn {
  uint32_t struct_size;
  uint32_t reserved;
  void* impl;
  /* *value lives until the next call on this txn. [apply] */
  mortise_status(MORTISE_ABI* get)(mortise_auth_txn* txn, mortise_bytes key, mortise_bytes* value,
                                   mortise_error* error);
  /* The first pair with a key >= from; E_NOT_FOUND at the end. Spans as for get. [apply] */
  mortise_status(MORTISE_ABI* next)(mortise_auth_txn* txn, mortise_bytes from, mortise_bytes* key,
                                    mortise_bytes* value, mortise_error* error);
  void(MORTISE_ABI* put)(mortise_auth_txn* txn, mortise_bytes key,
                         mortise_bytes value);                         /* [apply] */
  void(MORTISE_ABI* remove)(mortise_auth_txn* txn, mortise_bytes key); /* [apply] */
  uint64_t entry_index; /* Of the entry in the log: the number behind a simple token. 0 in load(),
                           which only reads. */
};

/* Keys in the auth keyspace: one of these bytes and then the key in etcd's bucket of that name; the
 * value is etcd's. So the host can write etcd's buckets into a snapshot and read them back. */
#define MORTISE_AUTH_ROW_STATE 'a' /* Bucket "auth": "authEnabled", "authRevision". */
#define MORTISE_AUTH_ROW_ROLE 'r'  /* Bucket "authRoles". */
#define MORTISE_AUTH_ROW_USER 'u'  /* Bucket "authUsers". */

#define MORTISE_USER_BYTES_MAX 256u

/* Filled by the plugin, copied by the host, kept with the request in the log. */
typedef struct mortise_identity {
  uint32_t struct_size;
  uint32_t user_size; /* 0: nobody. */
  uint64_t auth_revision;
  uint64_t wait_index;               /* Set with MORTISE_AUTH_WAIT. */
  char user[MORTISE_USER_BYTES_MAX]; /* Not NUL-ended; prepare() refuses to make longer names. */
} mortise_identity;

/* Plugin to host, in place of a code of gRPC. */
enum {
  /* identify(): an entry of the log that is not applied here yet may bring the token. Ask again
   * when mortise_identity.wait_index is applied, or give up when the caller's time is up. */
  MORTISE_AUTH_WAIT = -1,
  /* authorize(): the identity's revision is older than the state. Whoever can, calls identify()
   * and authorize() again; else the client sees code 3 with error->message. */
  MORTISE_AUTH_STALE = -2
};

typedef struct mortise_auth_state {
  uint32_t struct_size;
  uint32_t enabled;
  uint64_t revision; /* From 1; grows with each change of users, roles and permissions. */
} mortise_auth_state;

/* Host to plugin. */
typedef int32_t mortise_access_kind;
enum {
  MORTISE_ACCESS_READ = 1,
  MORTISE_ACCESS_WRITE = 2,
  MORTISE_ACCESS_ADMIN = 3,     /* Maintenance and membership; no key. */
  MORTISE_ACCESS_LOGGED_IN = 4, /* Whoever identify() knows; no key. */
  MORTISE_ACCESS_ROLE = 5       /* Who holds the role `key`, or an administrator. */
};

/* One operation after normalisation: a txn of any depth is a flat list. Frozen. */
typedef struct mortise_access {
  mortise_access_kind kind;
  uint32_t reserved;
  mortise_bytes key;
  mortise_bytes range_end; /* Empty: one key. "\0": all from key on. */
} mortise_access;

/* The answer of login(), or a code with the message that the client sees. Spans are borrowed. The
 * password was right; an authenticate request, {1: name} through prepare(), goes into the log next.
 * The client's token is the one in apply()'s response or, where that has none, `token`: a token
 * that one member signs is made by login() and is not logged. auth_revision is that of the state in
 * which the password was right: if state() has another one once that is applied, the host calls
 * login() again. Comes on any thread, maybe before login() returns; must not block, nor call the
 * plugin. */
typedef void(MORTISE_ABI* mortise_login_fn)(void* context, mortise_rpc_code code,
                                            mortise_bytes message, mortise_bytes token,
                                            uint64_t auth_revision);

typedef struct mortise_auth_v1 {
  uint32_t struct_size;
  uint32_t reserved;
  /* config_json: {"token": the text of --auth-token, "bcrypt_cost": n, "token_ttl_s": n,
   * "client_cert_auth": bool}. [control] */
  mortise_status(MORTISE_ABI* create)(const mortise_host* host, mortise_bytes config_json,
                                      mortise_auth** out, mortise_error* error);
  /* Rebuilds the view from the store, without a write: at start and after a snapshot was
   * installed. A store without rows is auth off at revision 1. [apply] */
  mortise_status(MORTISE_ABI* load)(mortise_auth* self, mortise_auth_txn* txn,
                                    mortise_error* error);
  /* One auth request out of the log: an InternalRaftRequest field number and its bytes. Who asked
   * was found to be allowed to. On OK the response, without its header, changes hands; else
   * error->message is what the client sees, and nothing that was put counts. Tokens that an entry
   * brings or ends are each member's own, in memory only. [apply] */
  mortise_rpc_code(MORTISE_ABI* apply)(mortise_auth* self, uint32_t request_field,
                                       mortise_bytes request, mortise_auth_txn* txn,
                                       mortise_buffer* response, mortise_error* error);
  /* Before an auth request goes into the log: blanks passwords, adds hashes, chooses tokens,
   * refuses names that are too long. Passwords are hashed off the caller's thread; all else is
   * answered before this returns. request changes hands; done's body is the request to log. [any]
   */
  void(MORTISE_ABI* prepare)(mortise_auth* self, uint32_t request_field, mortise_buffer request,
                             mortise_done_fn done, void* context);
  /* Who is it? OK with an empty user where auth is off, or where the caller says nothing of itself:
   * authorize() refuses that one. applied_index: an index that was applied here before the call.
   * May return MORTISE_AUTH_WAIT. [any] */
  mortise_rpc_code(MORTISE_ABI* identify)(mortise_auth* self, const mortise_caller* caller,
                                          uint64_t applied_index, mortise_identity* out,
                                          mortise_error* error);
  /* May they do all of it? OK while auth is off. At proposal by any thread, again at apply. A
   * refusal names no key. May return MORTISE_AUTH_STALE. [any] */
  mortise_rpc_code(MORTISE_ABI* authorize)(mortise_auth* self, const mortise_identity* who,
                                           const mortise_access* list, size_t count,
                                           mortise_error* error);
  /* Checks a password: at once if it was right lately, else never on the caller's thread. remote as
   * in mortise_caller. All spans are borrowed for the call. [any] */
  void(MORTISE_ABI* login)(mortise_auth* self, mortise_bytes user, mortise_bytes password,
                           mortise_bytes remote, mortise_login_fn done, void* context);
  /* What the decisions are made by now. The caller sets out->struct_size. [any] */
  void(MORTISE_ABI* state)(mortise_auth* self, mortise_auth_state* out);
  /* Each prepare() and login() under way is answered before it returns. */
  void(MORTISE_ABI* destroy)(mortise_auth* self); /* [control] */
} mortise_auth_v1;

#ifdef __cplusplus
}
#endif

#endif /* MORTISE_ABI_AUTH_H_ */
