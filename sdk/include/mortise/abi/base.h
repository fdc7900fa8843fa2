/* The words that every mortise plugin interface is written in: bytes, buffers, status, errors,
 * growth.
 *
 * Roles. The comment of every function pointer ends with who may call it, and in which state:
 *   [control]   create, open, close, destroy, drain. One call at a time for each plugin instance.
 *   [apply]     the host's one apply loop; its calls are totally ordered.
 *   [watch]     the host's one watch loop; its calls are totally ordered.
 *   [acceptor]  the host's accept thread of one listener.
 *   [reader]    any host thread, one at a time for each reader and its cursors; may move between
 * threads. [timer]     a thread of the host's executor. [any]       any thread, concurrently with
 * every other role. A state may follow, as in [apply & open]. A call outside its bracket is a bug
 * of the caller; debug builds of the host check it on both sides.
 *
 * Ownership. Arguments are borrowed for the call unless a comment says more. A handle is
 * released only by the function named at its type. Memory allocated on one side is never freed
 * on the other. No exception and no longjmp leaves a function of these tables. A callback may
 * not re-enter the handle that called it.
 *
 * Growth: docs/abi_policy.md. Tables and option structs begin with struct_size and only grow at
 * the end; a reader tests members that came later with MORTISE_HAS. Structs called Frozen never
 * change. */
#ifndef MORTISE_ABI_BASE_H_
#define MORTISE_ABI_BASE_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A plugin whose major differs from the host's is refused before anything of it is called. */
#define MORTISE_ABI_MAJOR 1u
#define MORTISE_ABI_MINOR 0u

#if defined(_WIN32)
#define MORTISE_ABI __cdecl
#define MORTISE_EXPORT __declspec(dllexport)
#else
#define MORTISE_ABI
#define MORTISE_EXPORT __attribute__((visibility("default")))
#endif

/* Is `member` there: is the table long enough, and the pointer set? */
#define MORTISE_HAS(table, type, member)                                       \
  ((table)->struct_size >= offsetof(type, member) + sizeof((table)->member) && \
   (table)->member != NULL)

/* Borrowed bytes, may contain NUL; {NULL, 0} is empty. The producer says how long they live.
 * Frozen. */
typedef struct mortise_bytes {
  const uint8_t* data;
  size_t size;
} mortise_bytes;

/* A payload that changes hands. Whoever holds it calls release(owner) exactly once, on any thread;
 * release == NULL means static bytes or none. Frozen. */
typedef struct mortise_buffer {
  const uint8_t* data;
  size_t size;
  void(MORTISE_ABI* release)(void* owner);
  void* owner;
} mortise_buffer;

/* Both ways. A reader treats an unknown value as MORTISE_E_INTERNAL. */
typedef int32_t mortise_status;
enum {
  MORTISE_OK = 0,
  MORTISE_E_NOT_FOUND = 1, /* Expected; writes no message. */
  MORTISE_E_INVALID =
      2, /* The caller broke the contract or the input is bad; nothing was changed. */
  MORTISE_E_UNSUPPORTED = 3, /* A valid request that this side cannot serve; nothing was changed. */
  MORTISE_E_IN_USE = 4,      /* A lock or an address is held by somebody else. */
  MORTISE_E_STOPPED = 5,     /* Shutting down. */
  MORTISE_E_IO = 100,
  MORTISE_E_NO_SPACE = 200,
  MORTISE_E_CORRUPTION = 300,   /* Stored data failed a check. */
  MORTISE_E_NEWER_FORMAT = 301, /* Stored data is of a format newer than this plugin knows. */
  MORTISE_E_INTERNAL = 400
};

#define MORTISE_ERROR_MESSAGE_MAX 248

/* Detail of a failed call, owned by the caller, so that nothing is freed. The caller sets
 * struct_size and zeroes the rest; the callee writes on failure only. message is UTF-8, cut to
 * fit, NUL-ended. Where a function takes a mortise_error*, it may be NULL. */
typedef struct mortise_error {
  uint32_t struct_size;
  int32_t os_errno; /* 0 if the failure is not from the operating system. */
  char message[MORTISE_ERROR_MESSAGE_MAX];
} mortise_error;

#ifdef __cplusplus
}
#endif

#endif /* MORTISE_ABI_BASE_H_ */
