/* The parts of the example that more than one of its files knows. */
#ifndef BACKEND_MEMORY_STORE_H_
#define BACKEND_MEMORY_STORE_H_

#include <pthread.h>

#include "mortise/abi/backend.h"
#include "tree.h"

/* The state after one commit. Immutable once published; freed with its last reference. */
struct view {
  atomic_uint refs;
  uint64_t generation; /* Counts publications, so that sync() knows what is on disk. */
  uint64_t applied_index;
  uint64_t applied_term;
  size_t pair_count;
  size_t byte_count; /* Keys and values. */
  struct node* roots[MORTISE_KEYSPACE_COUNT_MAX];
};

struct mortise_backend {
  const mortise_host* host;
  char* path;
  int lock_fd;

  pthread_mutex_t mutex; /* Guards `current` and the figures below, only ever for a moment. */
  struct view* current;
  uint64_t durable_generation;
  uint64_t durable_index;
  uint64_t file_bytes;

  /* Taken before `mutex`: one snapshot file is written at a time, and never over a newer one. */
  pthread_mutex_t file_mutex;
  uint64_t random; /* For the one thread that commits. */
};

struct mortise_reader {
  struct view* view;
};

/* view.refs of a new one is 1. NULL if there is no memory. */
struct view* view_new(const struct view* base);
struct view* view_retain(struct view* view);
void view_release(struct view* view);

/* Writes error->message if there is an error struct, and returns `status`. */
mortise_status fail(mortise_error* error, mortise_status status, int os_errno, const char* format,
                    ...) __attribute__((format(printf, 4, 5)));

/* ---- snapshot.c: a view as a file ---- */
#define SNAPSHOT_NAME "store.mem"
#define SNAPSHOT_TEMPORARY_NAME "store.mem.tmp"

/* How large the file of a view is. */
uint64_t snapshot_size(const struct view* view);
/* Writes the view to a temporary file, makes it durable and moves it into its place in one step. */
mortise_status snapshot_write(const char* directory, const struct view* view, mortise_error* error);
/* Reads it into an empty view; a directory without the file leaves the view empty. */
mortise_status snapshot_read(const char* directory, struct view* view, uint64_t* random,
                             uint64_t* file_bytes, mortise_error* error);

/* ---- cursor.c ---- */
mortise_status memory_cursor_open(mortise_reader* reader, uint32_t keyspace, uint32_t flags,
                                  mortise_cursor** out, mortise_error* error);
mortise_status memory_cursor_seek(mortise_cursor* cursor, mortise_bytes lower, mortise_bytes upper,
                                  mortise_error* error);
mortise_status memory_cursor_next(mortise_cursor* cursor, mortise_bytes* key, mortise_bytes* value,
                                  mortise_error* error);
void memory_cursor_close(mortise_cursor* cursor);

#endif
