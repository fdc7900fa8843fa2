/* Client transport interface, "mortise.transport/1".
 *
 * A transport turns connections into calls and streams of the host's RPC interface (rpc.h). The
 * host listens, accepts, ends TLS, peeks at the first bytes and hands each socket to the transport
 * that claims it, so several transports share one port. A transport sees plain bytes always: TLS,
 * with its files, lists and versions, is the host's alone.
 *
 * Life: create .. start .. adopt* .. drain .. (host.rpc transport_drained) .. destroy. */
#ifndef MORTISE_ABI_TRANSPORT_H_
#define MORTISE_ABI_TRANSPORT_H_

#include "mortise/abi/rpc.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MORTISE_TRANSPORT_ID "mortise.transport/1"

typedef struct mortise_transport mortise_transport; /* plugin-owned: create() .. destroy() */

/* Host to plugin. A transport claims nothing of a kind that it does not know. */
typedef int32_t mortise_opening_kind;
enum {
  MORTISE_OPENING_HTTP2 = 1, /* The HTTP/2 preface. */
  MORTISE_OPENING_HTTP1 = 2, /* An HTTP/1 request line. */
  MORTISE_OPENING_OTHER = 3
};
#define MORTISE_OPENING_BYTES_MAX 256

/* What the host saw of a connection by peeking, inside TLS if the client uses that; nothing has
 * been read from it. Borrowed for the call. */
typedef struct mortise_opening {
  uint32_t struct_size;
  mortise_opening_kind kind;
  mortise_bytes first_bytes; /* At most MORTISE_OPENING_BYTES_MAX. */
} mortise_opening;

/* mortise_connection.serves, host to plugin; unknown bits are ignored. What the listener is for. */
enum {
  MORTISE_SERVES_RPC = 1u << 0,  /* Methods, in every form that the transport has for them. */
  MORTISE_SERVES_PAGES = 1u << 1 /* Pages of "mortise.host.pages/1", and the transport's own. */
};

typedef struct mortise_connection {
  uint32_t struct_size;
  int32_t fd;      /* Connected, non-blocking, close-on-exec; plain bytes. */
  uint32_t is_tls; /* Non-zero: the client came over TLS, which the host has taken off. */
  uint32_t serves;
  mortise_bytes listener; /* The URL it came in on. */
  /* These two belong into mortise_caller. A transport that cannot keep them for its calls may give
   * there the text of getpeername() of the fd as gRPC writes it, "unix-abstract:NAME"; the host
   * knows it again. */
  mortise_bytes remote;
  mortise_bytes tls_common_name; /* Of the verified leaf; empty if none. */
} mortise_connection;

typedef struct mortise_transport_v1 {
  uint32_t struct_size;
  uint32_t reserved;
  /* config_json: the plugin's part of the configuration, a JSON object; unknown or bad options
   * are E_INVALID and named. On failure *out is NULL and nothing leaks. [control] */
  mortise_status(MORTISE_ABI* create)(const mortise_host* host, mortise_bytes config_json,
                                      mortise_transport** out, mortise_error* error);
  /* 0: not mine; higher wins; equal: order in the configuration. Pure and quick. [any & created] */
  int32_t(MORTISE_ABI* claims)(mortise_transport* self, const mortise_opening* opening);
  /* Threads may start; the host serves calls from here on. [control & created] */
  mortise_status(MORTISE_ABI* start)(mortise_transport* self, mortise_error* error);
  /* The fd is the plugin's from here, also on failure. [acceptor & serving] */
  mortise_status(MORTISE_ABI* adopt)(mortise_transport* self, const mortise_connection* connection,
                                     mortise_error* error);
  /* Take no new calls, tell clients to go elsewhere, let running calls end; after timeout_ns
   * cancel what is left. Returns at once; the end is reported through host.rpc
   * transport_drained(). [control & started] */
  void(MORTISE_ABI* drain)(mortise_transport* self, uint64_t timeout_ns);
  /* Every call and stream has ended. Joins threads, closes connections. [control & drained or
   * !started] */
  void(MORTISE_ABI* destroy)(mortise_transport* self);
  /* ---- members above are required; those below may be NULL ---- */
  /* Between the two the calling thread answers many calls, as a batch of writes ends: the transport
   * may keep these answers and send them at answers_end(), connection by connection. Not nested for
   * one transport; a thread that has begun ends before it does anything that waits.
   * [any & started] */
  void(MORTISE_ABI* answers_begin)(mortise_transport* self);
  void(MORTISE_ABI* answers_end)(mortise_transport* self); /* [any & started] */
} mortise_transport_v1;

#ifdef __cplusplus
}
#endif

#endif /* MORTISE_ABI_TRANSPORT_H_ */
