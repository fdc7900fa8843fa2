/* "mortise.host.rpc/1": what the host offers to transports; "mortise.host.json/1", the JSON form
 * of the same messages; "mortise.host.pages/1", what it shows to browsers and scrapers.
 *
 * A transport knows bytes, methods and connections. It knows no message, no Raft, no storage: an
 * RPC that is added to the host appears on every transport without a change there.
 *   - A payload changes hands and is given back by its own release(), so a request can live on in
 *     the log and a response can leave the store without a copy, and no allocator is crossed.
 *   - Every call and stream ends exactly once, whatever happens: answer, cancel, deadline,
 *     disconnect, shutdown.
 *   - Nothing here blocks. Slow parties are held by credits, in both directions, never by growing
 *     queues.
 *   - Identity (token, verified certificate) is reported by the transport and judged by the host
 *     alone. */
#ifndef MORTISE_ABI_RPC_H_
#define MORTISE_ABI_RPC_H_

#include "mortise/abi/host.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MORTISE_HOST_RPC_ID "mortise.host.rpc/1"

typedef struct mortise_call mortise_call;     /* host-owned: call() .. its done() */
typedef struct mortise_stream mortise_stream; /* host-owned: stream_open() .. its on_end() */

/* Host to plugin: gRPC's status codes, 0 is OK. An unknown value is treated as 2, Unknown. */
typedef int32_t mortise_rpc_code;

/* Host to plugin. A transport does not serve a method of a kind that it does not know. */
typedef int32_t mortise_method_kind;
enum { MORTISE_UNARY = 1, MORTISE_SERVER_STREAM = 2, MORTISE_BIDI_STREAM = 3 };

/* mortise_method.flags, host to plugin; unknown bits are ignored. */
enum {
  /* A unary method that may wait long: the host acts on cancel(). For others it is of no use, and a
   * transport need not watch for clients that leave. */
  MORTISE_METHOD_CANCELLABLE = 1u << 0
};

typedef struct mortise_method { /* Frozen. Lives as long as the host. */
  uint32_t id;                  /* Dense, 0 .. count-1; not stable over restarts. */
  mortise_method_kind kind;
  uint32_t flags;
  uint32_t reserved;
  const char* grpc_path; /* "/etcdserverpb.KV/Put" */
  /* "/v3/kv/put", ...; NULL-ended, never NULL; the first is canonical. */
  const char* const* http_paths;
} mortise_method;

/* mortise_caller.flags, plugin to host; unknown bits are ignored. */
enum {
  MORTISE_CALLER_REQUIRE_LEADER = 1u << 0, /* Metadata `hasleader: true`. */
  MORTISE_CALLER_VIA_GATEWAY = 1u << 1     /* Came through the HTTP/JSON mapping. */
};

/* Who calls, and under what conditions. Borrowed for the call that carries it. */
typedef struct mortise_caller {
  uint32_t struct_size;
  uint32_t flags;
  mortise_bytes remote;          /* "127.0.0.1:4321", "unix:/path": for logs and limits. */
  mortise_bytes token;           /* As sent, "Bearer " removed; empty if none. */
  mortise_bytes tls_common_name; /* Of the verified leaf; empty if none. */
  mortise_bytes client_api_version;
  uint64_t timeout_ns; /* From now; 0 is none. */
} mortise_caller;

/* The only answer of a unary call. status_message is borrowed for this call, body changes hands
 * (empty unless OK). Comes on any host thread, maybe before call() returns; must not block, and
 * must not call back for the same call. */
typedef void(MORTISE_ABI* mortise_done_fn)(void* context, mortise_rpc_code code,
                                           mortise_bytes status_message, mortise_buffer body);

typedef struct mortise_stream_events { /* Plugin to host; thread rules of mortise_done_fn. */
  uint32_t struct_size;
  uint32_t reserved;
  /* One message towards the client. At most the bytes granted are in flight, but one message may
   * overshoot. */
  void(MORTISE_ABI* on_message)(void* context, mortise_buffer message);
  /* The host can take `bytes` more from the client. A stream begins with none granted; without
   * credit the transport does not read the stream from the connection. One message may
   * overshoot: while any credit is left, the next one is read, whatever its size. */
  void(MORTISE_ABI* on_credit)(void* context, uint64_t bytes);
  /* The end. No event follows; the handle is dead. */
  void(MORTISE_ABI* on_end)(void* context, mortise_rpc_code code, mortise_bytes status_message);
} mortise_stream_events;

typedef struct mortise_host_rpc_v1 {
  uint32_t struct_size;
  uint32_t method_count;
  const mortise_method* methods;
  uint64_t request_bytes_max;      /* Largest request message that the host takes. */
  uint64_t concurrent_streams_max; /* For each connection. */
  uint64_t keepalive_min_time_ns;  /* Clients that ping more often are told to go away. */
  uint64_t keepalive_interval_ns;  /* The server's own ping on an idle connection. */
  uint64_t keepalive_timeout_ns;
  /* Starts a unary call; done follows exactly once, and only if this returns MORTISE_OK. *out is
   * valid until done has returned; `out` may be NULL if no cancel will come. request changes
   * hands in every case, also on failure. E_STOPPED: the host is shutting down. [any & serving] */
  mortise_status(MORTISE_ABI* call)(const mortise_host* host, uint32_t method,
                                    const mortise_caller* caller, mortise_buffer request,
                                    mortise_done_fn done, void* context, mortise_call** out);
  /* The client is gone. A hint: work that reached the log goes on, done still comes. Not to be
   * called after done has begun; the transport orders the two. [any] */
  void(MORTISE_ABI* cancel)(mortise_call* call);
  /* Opens a stream; its events follow only if this returns MORTISE_OK, possibly before it
   * returns. SERVER_STREAM methods take exactly one stream_send() and then stream_half_close().
   * [any & serving] */
  mortise_status(MORTISE_ABI* stream_open)(const mortise_host* host, uint32_t method,
                                           const mortise_caller* caller,
                                           const mortise_stream_events* events, void* context,
                                           mortise_stream** out);
  /* One message of the client, within the credit given; changes hands. One thread at a time for
   * each stream, and never once on_end has begun: the transport orders the two. So for all that
   * follow. [any] */
  void(MORTISE_ABI* stream_send)(mortise_stream* stream, mortise_buffer message);
  void(MORTISE_ABI* stream_half_close)(
      mortise_stream* stream); /* The client sends no more. [any] */
  /* The client can take `bytes` more: called with a first window after stream_open and again as
   * messages leave. [any] */
  void(MORTISE_ABI* stream_grant)(mortise_stream* stream, uint64_t bytes);
  void(MORTISE_ABI* stream_cancel)(mortise_stream* stream); /* on_end still comes. [any] */
  /* The transport `self` (a mortise_transport*) has drained: no call or stream is left. [any] */
  void(MORTISE_ABI* transport_drained)(const mortise_host* host);
} mortise_host_rpc_v1;

/* ---- "mortise.host.json/1": protojson as etcd's gateway speaks it ---- */
#define MORTISE_HOST_JSON_ID "mortise.host.json/1"

typedef struct mortise_host_json_v1 {
  uint32_t struct_size;
  uint32_t reserved;
  /* One JSON value to the request message of `method`. An empty `json` is the empty message. On
   * failure error->message says what is wrong and where. *out changes hands on success. [any] */
  mortise_status(MORTISE_ABI* request_from_json)(const mortise_host* host, uint32_t method,
                                                 mortise_bytes json, mortise_buffer* out,
                                                 mortise_error* error);
  /* One response message of `method` to JSON, without line breaks. [any] */
  mortise_status(MORTISE_ABI* response_to_json)(const mortise_host* host, uint32_t method,
                                                mortise_bytes message, mortise_buffer* out,
                                                mortise_error* error);
} mortise_host_json_v1;

/* ---- "mortise.host.pages/1": /version, /health, /metrics and their like ---- */
#define MORTISE_HOST_PAGES_ID "mortise.host.pages/1"

/* Borrowed for the call that carries it. */
typedef struct mortise_page_request {
  uint32_t struct_size;
  uint32_t reserved;
  mortise_bytes method; /* "GET", "PUT", ... */
  mortise_bytes path;   /* Begins with '/'; percent-decoded. */
  mortise_bytes query;  /* Behind '?', as sent; empty if none. */
  mortise_bytes accept; /* The header of that name; empty if none. */
  mortise_bytes body;
  mortise_bytes listener; /* As in mortise_connection: some show fewer pages. */
} mortise_page_request;

/* The only answer to a request for a page: an HTTP status, the headers Content-Type and, unless
 * empty, Allow, and the body, which changes hands. Spans are borrowed. Rules of mortise_done_fn. */
typedef void(MORTISE_ABI* mortise_page_fn)(void* context, uint32_t http_status,
                                           mortise_bytes content_type, mortise_bytes allow,
                                           mortise_buffer body);

typedef struct mortise_host_pages_v1 {
  uint32_t struct_size;
  uint32_t reserved;
  /* done follows exactly once, and only if this returns MORTISE_OK; a path that has no page is
   * answered with 404. E_STOPPED: the host is shutting down. [any & serving] */
  mortise_status(MORTISE_ABI* serve)(const mortise_host* host, const mortise_page_request* request,
                                     mortise_page_fn done, void* context);
} mortise_host_pages_v1;

#ifdef __cplusplus
}
#endif

#endif /* MORTISE_ABI_RPC_H_ */
