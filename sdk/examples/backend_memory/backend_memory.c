/* A complete storage backend in plain C11, to read and to start from.
 *
 * The data lives in memory: sixteen trees (tree.h), one for each keyspace. A commit builds new
 * roots beside the current ones and publishes them with one pointer; a reader keeps the roots
 * that it found. sync() writes the whole map to a file (snapshot.c), so a store survives a
 * restart, but costs what it holds on each sync(): good for tests and small data, and the
 * reference against which other backends are compared.
 *
 * What to keep when this becomes a plugin of your own: the checks before a change in commit(),
 * the order "build, then publish", the lock file, and the table at the end. */
#define _POSIX_C_SOURCE 200809L

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mortise/abi/plugin.h"
#include "store.h"

#define LOCK_NAME "store.lock"

mortise_status fail(mortise_error* error, mortise_status status, int os_errno, const char* format,
                    ...) {
  if (error != NULL && error->struct_size >= sizeof *error) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    error->os_errno = os_errno;
  }
  return status;
}

/* ---- views ---- */

struct view* view_new(const struct view* base) {
  struct view* v = calloc(1, sizeof *v);
  if (v == NULL) return NULL;
  if (base != NULL) {
    v->generation = base->generation + 1;
    v->applied_index = base->applied_index;
    v->applied_term = base->applied_term;
    v->pair_count = base->pair_count;
    v->byte_count = base->byte_count;
    for (size_t i = 0; i < MORTISE_KEYSPACE_COUNT_MAX; i++) {
      v->roots[i] = tree_retain(base->roots[i]);
    }
  }
  atomic_init(&v->refs, 1);
  return v;
}

struct view* view_retain(struct view* v) {
  atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
  return v;
}

void view_release(struct view* v) {
  if (atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) != 1) return;
  for (size_t i = 0; i < MORTISE_KEYSPACE_COUNT_MAX; i++) tree_release(v->roots[i]);
  free(v);
}

static struct view* current_view(mortise_backend* self) {
  pthread_mutex_lock(&self->mutex);
  struct view* v = view_retain(self->current);
  pthread_mutex_unlock(&self->mutex);
  return v;
}

/* From here on every new reader sees v. Takes over the reference. */
static void publish(mortise_backend* self, struct view* v) {
  pthread_mutex_lock(&self->mutex);
  struct view* old = self->current;
  self->current = v;
  pthread_mutex_unlock(&self->mutex);
  view_release(old); /* Outside of the lock: it may free a lot. */
}

/* ---- opening and closing ---- */

/* The plugin has no options: everything but an empty object is refused, with the first name in
 * it. */
static mortise_status check_config(mortise_bytes config, mortise_error* error) {
  const char* p = (const char*)config.data;
  const char* end = p + config.size;
  const char* blank = " \t\r\n";
  while (p < end && strchr(blank, *p) != NULL) p++;
  if (p == end) return MORTISE_OK;
  if (*p++ != '{') {
    return fail(error, MORTISE_E_INVALID, 0, "the configuration is not a JSON object");
  }
  while (p < end && strchr(blank, *p) != NULL) p++;
  if (p < end && *p == '}') return MORTISE_OK;
  if (p == end || *p++ != '"') {
    return fail(error, MORTISE_E_INVALID, 0, "the configuration is not a JSON object");
  }
  const char* name = p;
  while (p < end && *p != '"') p++;
  return fail(error, MORTISE_E_INVALID, 0, "unknown option \"%.*s\"", (int)(p - name), name);
}

/* The directory must be ours or empty. */
static mortise_status check_directory(const char* path, mortise_error* error) {
  static const char* const ours[] = {".", "..", LOCK_NAME, SNAPSHOT_NAME, SNAPSHOT_TEMPORARY_NAME};
  DIR* directory = opendir(path);
  if (directory == NULL) {
    return fail(error, MORTISE_E_IO, errno, "%s: %s", path, strerror(errno));
  }
  mortise_status status = MORTISE_OK;
  const struct dirent* entry;
  while (status == MORTISE_OK && (entry = readdir(directory)) != NULL) {
    bool known = false;
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
      known = known || strcmp(entry->d_name, ours[i]) == 0;
    }
    if (!known) {
      status = fail(error, MORTISE_E_INVALID, 0, "%s: holds \"%s\", which is not of this plugin",
                    path, entry->d_name);
    }
  }
  closedir(directory);
  return status;
}

/* flock() belongs to the open file, so it also keeps out a second open in this process. */
static mortise_status take_lock(mortise_backend* self, mortise_error* error) {
  const size_t room = strlen(self->path) + sizeof "/" LOCK_NAME;
  char* name = malloc(room);
  if (name == NULL) return fail(error, MORTISE_E_INTERNAL, 0, "out of memory");
  snprintf(name, room, "%s/%s", self->path, LOCK_NAME);
  self->lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  mortise_status status = MORTISE_OK;
  if (self->lock_fd < 0) {
    status = fail(error, MORTISE_E_IO, errno, "%s: %s", name, strerror(errno));
  } else if (flock(self->lock_fd, LOCK_EX | LOCK_NB) != 0) {
    const bool held = errno == EWOULDBLOCK;
    status = fail(error, held ? MORTISE_E_IN_USE : MORTISE_E_IO, errno, "%s: %s", name,
                  held ? "held by another process or another open store" : strerror(errno));
  }
  free(name);
  return status;
}

static void store_close(mortise_backend* self) {
  if (self->current != NULL) view_release(self->current);
  if (self->lock_fd >= 0) close(self->lock_fd);
  pthread_mutex_destroy(&self->mutex);
  pthread_mutex_destroy(&self->file_mutex);
  free(self->path);
  free(self);
}

static void log_opened(const mortise_backend* self) {
  const mortise_host_log_v1* log = self->host->get(self->host, MORTISE_HOST_LOG_ID);
  if (log == NULL || !log->enabled(self->host, MORTISE_LOG_INFO)) return;
  char count[32];
  const int size = snprintf(count, sizeof count, "%zu", self->current->pair_count);
  const mortise_bytes message = {(const uint8_t*)"opened the memory store", 23};
  const mortise_log_field fields[] = {
      {{(const uint8_t*)"path", 4}, {(const uint8_t*)self->path, strlen(self->path)}, 0, 0},
      {{(const uint8_t*)"pairs", 5}, {(const uint8_t*)count, (size_t)size}, 1, 0}};
  log->write(self->host, MORTISE_LOG_INFO, message, fields, sizeof fields / sizeof *fields);
}

static mortise_status store_open(const mortise_host* host, const char* path,
                                 mortise_bytes config_json, mortise_backend** out,
                                 mortise_error* error) {
  *out = NULL;
  mortise_status status = check_config(config_json, error);
  if (status == MORTISE_OK) status = check_directory(path, error);
  if (status != MORTISE_OK) return status;
  mortise_backend* self = calloc(1, sizeof *self);
  if (self == NULL) return fail(error, MORTISE_E_INTERNAL, 0, "out of memory");
  self->host = host;
  self->lock_fd = -1;
  self->random = 88172645463325252u;
  pthread_mutex_init(&self->mutex, NULL);
  pthread_mutex_init(&self->file_mutex, NULL);
  self->path = strdup(path);
  self->current = view_new(NULL);
  if (self->path == NULL || self->current == NULL) {
    status = fail(error, MORTISE_E_INTERNAL, 0, "out of memory");
  }
  if (status == MORTISE_OK) status = take_lock(self, error);
  if (status == MORTISE_OK) {
    status = snapshot_read(path, self->current, &self->random, &self->file_bytes, error);
  }
  if (status != MORTISE_OK) {
    store_close(self);
    return status;
  }
  /* A store that was never synced has no file yet; the next sync() writes one. */
  self->current->generation = 1;
  self->durable_generation = self->file_bytes != 0 ? 1 : 0;
  self->durable_index = self->current->applied_index;
  log_opened(self);
  *out = self;
  return MORTISE_OK;
}

/* ---- writing ---- */

static mortise_status write_snapshot(mortise_backend* self, const struct view* v,
                                     mortise_error* error) {
  const mortise_status status = snapshot_write(self->path, v, error);
  if (status != MORTISE_OK) return status;
  pthread_mutex_lock(&self->mutex);
  self->durable_generation = v->generation;
  self->durable_index = v->applied_index;
  self->file_bytes = snapshot_size(v);
  pthread_mutex_unlock(&self->mutex);
  return MORTISE_OK;
}

static mortise_status sync_store(mortise_backend* self, uint64_t* index, mortise_error* error) {
  pthread_mutex_lock(&self->file_mutex);
  pthread_mutex_lock(&self->mutex);
  struct view* v = view_retain(self->current);
  const bool fresh = v->generation == self->durable_generation;
  pthread_mutex_unlock(&self->mutex);
  const mortise_status status = fresh ? MORTISE_OK : write_snapshot(self, v, error);
  pthread_mutex_unlock(&self->file_mutex);
  if (status == MORTISE_OK) *index = v->applied_index;
  view_release(v);
  return status;
}

static mortise_status check_pair(uint32_t keyspace, size_t key_size, size_t value_size,
                                 mortise_error* error) {
  if (keyspace >= MORTISE_KEYSPACE_COUNT_MAX) {
    return fail(error, MORTISE_E_INVALID, 0, "keyspace %u: the largest is %u", keyspace,
                MORTISE_KEYSPACE_COUNT_MAX - 1);
  }
  if (key_size == 0 || key_size > MORTISE_KEY_BYTES_MAX) {
    return fail(error, MORTISE_E_INVALID, 0, "a key of %zu bytes: 1 to %u are allowed", key_size,
                MORTISE_KEY_BYTES_MAX);
  }
  if (value_size > MORTISE_VALUE_BYTES_MAX) {
    return fail(error, MORTISE_E_INVALID, 0, "a value of %zu bytes: at most %u are allowed",
                value_size, MORTISE_VALUE_BYTES_MAX);
  }
  return MORTISE_OK;
}

/* E_INVALID promises that nothing was changed, so everything is looked at before anything is
 * done. */
static mortise_status check_commit(mortise_backend* self, const mortise_commit_request* request,
                                   mortise_error* error) {
  if (request->applied_index < self->current->applied_index) {
    return fail(error, MORTISE_E_INVALID, 0, "the applied index goes back from %llu to %llu",
                (unsigned long long)self->current->applied_index,
                (unsigned long long)request->applied_index);
  }
  for (size_t i = 0; i < request->op_count; i++) {
    const mortise_write_op* op = &request->ops[i];
    if (op->kind < MORTISE_OP_PUT || op->kind > MORTISE_OP_DELETE_RANGE) {
      return fail(error, MORTISE_E_INVALID, 0, "unknown kind of write %d", (int)op->kind);
    }
    const mortise_status status = check_pair(op->keyspace, op->key.size, op->value.size, error);
    if (status != MORTISE_OK) return status;
  }
  return MORTISE_OK;
}

static void count_edit(struct view* v, const struct tree_edit* edit) {
  v->pair_count += edit->pairs_added - edit->pairs_removed;
  v->byte_count += edit->bytes_added - edit->bytes_removed;
}

static mortise_status commit(mortise_backend* self, const mortise_commit_request* request,
                             mortise_error* error) {
  /* Only this role publishes, so `current` may be read without the lock. */
  const mortise_status status = check_commit(self, request, error);
  if (status != MORTISE_OK) return status;
  struct view* v = view_new(self->current);
  if (v == NULL) return fail(error, MORTISE_E_INTERNAL, 0, "out of memory");
  struct tree_edit edit = {.random = self->random};
  for (size_t i = 0; i < request->op_count && !edit.failed; i++) {
    const mortise_write_op* op = &request->ops[i];
    struct node** root = &v->roots[op->keyspace];
    switch (op->kind) {
      case MORTISE_OP_PUT: *root = tree_put(&edit, *root, op->key, op->value); break;
      case MORTISE_OP_DELETE: *root = tree_delete(&edit, *root, op->key); break;
      default: *root = tree_delete_range(&edit, *root, op->key, op->value); break;
    }
  }
  self->random = edit.random;
  if (edit.failed) {
    view_release(v);
    return fail(error, MORTISE_E_INTERNAL, 0, "out of memory");
  }
  count_edit(v, &edit);
  v->applied_index = request->applied_index;
  v->applied_term = request->applied_term;
  publish(self, v);
  uint64_t index;
  return request->sync != 0 ? sync_store(self, &index, error) : MORTISE_OK;
}

static mortise_status applied(mortise_backend* self, uint64_t* index, uint64_t* term,
                              mortise_error* error) {
  (void)error;
  pthread_mutex_lock(&self->mutex);
  *index = self->current->applied_index;
  *term = self->current->applied_term;
  pthread_mutex_unlock(&self->mutex);
  return MORTISE_OK;
}

/* Fills an empty view from the source, which has to keep its order. */
static mortise_status read_source(struct view* v, struct tree_edit* edit, mortise_source_fn source,
                                  void* context, mortise_error* error) {
  uint32_t last_keyspace = 0;
  const struct pair* last = NULL;
  for (;;) {
    uint32_t keyspace;
    mortise_bytes key, value;
    mortise_status status = source(context, &keyspace, &key, &value);
    if (status == MORTISE_E_NOT_FOUND) return MORTISE_OK;
    if (status != MORTISE_OK) return fail(error, status, 0, "the source of the replace failed");
    status = check_pair(keyspace, key.size, value.size, error);
    if (status != MORTISE_OK) return status;
    const bool ordered = keyspace > last_keyspace || last == NULL ||
                         (keyspace == last_keyspace && compare_bytes(pair_key(last), key) < 0);
    if (!ordered || keyspace < last_keyspace) {
      return fail(error, MORTISE_E_INVALID, 0, "the source of the replace is out of order");
    }
    v->roots[keyspace] = tree_put(edit, v->roots[keyspace], key, value);
    if (edit->failed) return fail(error, MORTISE_E_INTERNAL, 0, "out of memory");
    last_keyspace = keyspace;
    last = tree_get(v->roots[keyspace], key);
  }
}

static mortise_status replace(mortise_backend* self, uint64_t applied_index, uint64_t applied_term,
                              mortise_source_fn source, void* context, mortise_error* error) {
  struct view* v = view_new(NULL);
  if (v == NULL) return fail(error, MORTISE_E_INTERNAL, 0, "out of memory");
  struct tree_edit edit = {.random = self->random};
  mortise_status status = read_source(v, &edit, source, context, error);
  self->random = edit.random;
  if (status == MORTISE_OK) {
    count_edit(v, &edit);
    v->generation = self->current->generation + 1;
    v->applied_index = applied_index;
    v->applied_term = applied_term;
    /* Durable before it is visible, and no sync() of the old state may come in between. */
    pthread_mutex_lock(&self->file_mutex);
    status = write_snapshot(self, v, error);
    if (status == MORTISE_OK) publish(self, view_retain(v));
    pthread_mutex_unlock(&self->file_mutex);
  }
  view_release(v);
  return status;
}

/* ---- reading ---- */

static mortise_status reader_open(mortise_backend* self, mortise_reader** out,
                                  mortise_error* error) {
  *out = malloc(sizeof **out);
  if (*out == NULL) return fail(error, MORTISE_E_INTERNAL, 0, "out of memory");
  (*out)->view = current_view(self);
  return MORTISE_OK;
}

static void reader_close(mortise_reader* reader) {
  view_release(reader->view);
  free(reader);
}

static mortise_status get(mortise_reader* reader, uint32_t keyspace, mortise_bytes key,
                          mortise_bytes* value, mortise_error* error) {
  const mortise_status status = check_pair(keyspace, key.size, 0, error);
  if (status != MORTISE_OK) return status;
  const struct pair* found = tree_get(reader->view->roots[keyspace], key);
  if (found == NULL) return MORTISE_E_NOT_FOUND;
  *value = pair_value(found);
  return MORTISE_OK;
}

/* ---- housekeeping ---- */

static mortise_status size(mortise_backend* self, mortise_store_size* out, mortise_error* error) {
  (void)error;
  pthread_mutex_lock(&self->mutex);
  const uint64_t live = snapshot_size(self->current);
  out->allocated_bytes = self->file_bytes;
  out->in_use_bytes = live < self->file_bytes ? live : self->file_bytes;
  out->memory_bytes = self->current->byte_count +
                      self->current->pair_count * (sizeof(struct node) + sizeof(struct pair));
  pthread_mutex_unlock(&self->mutex);
  return MORTISE_OK;
}

/* The file of a newer state has no holes, and memory is given back when the last reader goes. */
static mortise_status reclaim(mortise_backend* self, mortise_error* error) {
  uint64_t index;
  return sync_store(self, &index, error);
}

static mortise_status checkpoint(mortise_backend* self, const char* path, mortise_error* error) {
  if (mkdir(path, 0700) != 0) {
    return fail(error, errno == EEXIST ? MORTISE_E_INVALID : MORTISE_E_IO, errno, "%s: %s", path,
                strerror(errno));
  }
  struct view* v = current_view(self);
  const mortise_status status = snapshot_write(path, v, error);
  view_release(v);
  return status;
}

static const mortise_backend_v1 backend = {
    .struct_size = sizeof(mortise_backend_v1),
    .store_open = store_open,
    .store_close = store_close,
    .commit = commit,
    .sync = sync_store,
    .applied = applied,
    .reader_open = reader_open,
    .reader_close = reader_close,
    .get = get,
    .cursor_open = memory_cursor_open,
    .cursor_seek = memory_cursor_seek,
    .cursor_next = memory_cursor_next,
    .cursor_close = memory_cursor_close,
    .size = size,
    .reclaim = reclaim,
    .checkpoint = checkpoint,
    .replace = replace,
};

static const mortise_interface interfaces[] = {{MORTISE_BACKEND_ID, &backend}};

MORTISE_EXPORT extern const mortise_plugin_v1 mortise_plugin;
const mortise_plugin_v1 mortise_plugin = {
    .struct_size = sizeof(mortise_plugin_v1),
    .abi_major = MORTISE_ABI_MAJOR,
    .abi_minor = MORTISE_ABI_MINOR,
    .name = "backend_memory",
    .version = "1.0.0",
    .description = "An example: a map in memory, kept in one file",
    .interfaces = interfaces,
    .interface_count = sizeof interfaces / sizeof *interfaces,
};
