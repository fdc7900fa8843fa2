/* The snapshot file, little-endian:
 *
 *   "mortmem\n"  version u32  reserved u32  index u64  term u64  pairs u64
 *   for each pair: keyspace u32  key size u32  value size u32  key  value
 *   FNV-1a u64 over everything before it
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store.h"

#define MAGIC "mortmem\n"
#define MAGIC_SIZE 8u
#define FORMAT_VERSION 1u
#define HEADER_SIZE 40u
#define PAIR_HEADER_SIZE 12u
#define TRAILER_SIZE 8u
#define FNV_START 14695981039346656037u
#define FNV_PRIME 1099511628211u

struct stream {
  FILE* file;
  uint64_t sum;
  bool failed;
};

static uint64_t fnv(uint64_t sum, const uint8_t* data, size_t size) {
  for (size_t i = 0; i < size; i++) sum = (sum ^ data[i]) * FNV_PRIME;
  return sum;
}

static void put_bytes(struct stream* s, const void* data, size_t size) {
  if (s->failed || size == 0) return;
  s->sum = fnv(s->sum, data, size);
  s->failed = fwrite(data, 1, size, s->file) != size;
}

static void put_number(struct stream* s, uint64_t number, size_t size) {
  uint8_t bytes[8];
  for (size_t i = 0; i < size; i++) bytes[i] = (uint8_t)(number >> (8 * i));
  put_bytes(s, bytes, size);
}

static void put_tree(struct stream* s, uint32_t keyspace, const struct node* n) {
  for (; n != NULL && !s->failed; n = n->right) {
    put_tree(s, keyspace, n->left);
    put_number(s, keyspace, 4);
    put_number(s, n->pair->key_size, 4);
    put_number(s, n->pair->value_size, 4);
    put_bytes(s, n->pair->bytes, n->pair->key_size + n->pair->value_size);
  }
}

uint64_t snapshot_size(const struct view* view) {
  return HEADER_SIZE + TRAILER_SIZE + (uint64_t)view->pair_count * PAIR_HEADER_SIZE +
         view->byte_count;
}

static bool put_view(FILE* file, const struct view* view) {
  struct stream s = {file, FNV_START, false};
  put_bytes(&s, MAGIC, MAGIC_SIZE);
  put_number(&s, FORMAT_VERSION, 4);
  put_number(&s, 0, 4);
  put_number(&s, view->applied_index, 8);
  put_number(&s, view->applied_term, 8);
  put_number(&s, view->pair_count, 8);
  for (uint32_t i = 0; i < MORTISE_KEYSPACE_COUNT_MAX; i++) put_tree(&s, i, view->roots[i]);
  put_number(&s, s.sum, 8);
  return !s.failed && fflush(file) == 0 && fsync(fileno(file)) == 0;
}

static bool sync_directory(const char* directory) {
  const int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool good = fsync(fd) == 0;
  const int kept = errno;
  close(fd);
  errno = kept;
  return good;
}

mortise_status snapshot_write(const char* directory, const struct view* view,
                              mortise_error* error) {
  const size_t room = strlen(directory) + sizeof "/" SNAPSHOT_TEMPORARY_NAME;
  char* temporary = malloc(room);
  char* final = malloc(room);
  int problem = 0;
  if (temporary == NULL || final == NULL) {
    problem = ENOMEM;
  } else {
    snprintf(temporary, room, "%s/%s", directory, SNAPSHOT_TEMPORARY_NAME);
    snprintf(final, room, "%s/%s", directory, SNAPSHOT_NAME);
    const int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE* file = fd < 0 ? NULL : fdopen(fd, "wb");
    if (file == NULL) {
      problem = errno;
      if (fd >= 0) close(fd);
    } else {
      if (!put_view(file, view)) problem = errno;
      if (fclose(file) != 0 && problem == 0) problem = errno;
    }
    /* The file is whole and durable before it gets its name, and the name before anybody relies
     * on it. */
    if (problem == 0 && rename(temporary, final) != 0) problem = errno;
    if (problem == 0 && !sync_directory(directory)) problem = errno;
  }
  free(temporary);
  free(final);
  if (problem == 0) return MORTISE_OK;
  return fail(error, problem == ENOSPC || problem == EDQUOT ? MORTISE_E_NO_SPACE : MORTISE_E_IO,
              problem, "%s: writing the snapshot: %s", directory, strerror(problem));
}

static uint64_t get_number(const uint8_t* data, size_t size) {
  uint64_t number = 0;
  for (size_t i = 0; i < size; i++) number |= (uint64_t)data[i] << (8 * i);
  return number;
}

/* Builds the view out of the file's bytes. False if they do not hold together. */
static bool parse(const uint8_t* data, uint64_t size, struct view* view, struct tree_edit* edit) {
  view->applied_index = get_number(data + 16, 8);
  view->applied_term = get_number(data + 24, 8);
  const uint64_t pairs = get_number(data + 32, 8);
  const uint64_t end = size - TRAILER_SIZE;
  uint64_t at = HEADER_SIZE;
  for (uint64_t i = 0; i < pairs && !edit->failed; i++) {
    if (end - at < PAIR_HEADER_SIZE) return false;
    const uint64_t keyspace = get_number(data + at, 4);
    const mortise_bytes key = {data + at + PAIR_HEADER_SIZE, get_number(data + at + 4, 4)};
    const mortise_bytes value = {key.data + key.size, get_number(data + at + 8, 4)};
    at += PAIR_HEADER_SIZE;
    if (keyspace >= MORTISE_KEYSPACE_COUNT_MAX || key.size == 0) return false;
    if (key.size > end - at || value.size > end - at - key.size) return false;
    at += key.size + value.size;
    view->roots[keyspace] = tree_put(edit, view->roots[keyspace], key, value);
  }
  view->pair_count = edit->pairs_added;
  view->byte_count = edit->bytes_added - edit->bytes_removed;
  return at == end && view->pair_count == pairs;
}

static mortise_status read_file(const char* path, uint8_t** data, uint64_t* size,
                                mortise_error* error) {
  *data = NULL;
  FILE* file = fopen(path, "rbe");
  if (file == NULL && errno == ENOENT) return MORTISE_E_NOT_FOUND;
  struct stat facts;
  if (file == NULL || fstat(fileno(file), &facts) != 0) {
    const int problem = errno;
    if (file != NULL) fclose(file);
    return fail(error, MORTISE_E_IO, problem, "%s: %s", path, strerror(problem));
  }
  *size = (uint64_t)facts.st_size;
  *data = malloc(*size + 1);
  const bool good = *data != NULL && fread(*data, 1, *size, file) == *size;
  fclose(file);
  if (good) return MORTISE_OK;
  free(*data);
  *data = NULL;
  return fail(error, MORTISE_E_IO, 0, "%s: cannot be read as a whole", path);
}

mortise_status snapshot_read(const char* directory, struct view* view, uint64_t* random,
                             uint64_t* file_bytes, mortise_error* error) {
  const size_t room = strlen(directory) + sizeof "/" SNAPSHOT_NAME;
  char* path = malloc(room);
  if (path == NULL) return fail(error, MORTISE_E_INTERNAL, 0, "out of memory");
  snprintf(path, room, "%s/%s", directory, SNAPSHOT_NAME);
  uint8_t* data;
  uint64_t size = 0;
  mortise_status status = read_file(path, &data, &size, error);
  *file_bytes = size;
  if (status == MORTISE_OK) {
    struct tree_edit edit = {.random = *random};
    if (size < HEADER_SIZE + TRAILER_SIZE || memcmp(data, MAGIC, MAGIC_SIZE) != 0) {
      status = fail(error, MORTISE_E_INVALID, 0, "%s: not a snapshot of this plugin", path);
    } else if (get_number(data + 8, 4) > FORMAT_VERSION) {
      status = fail(error, MORTISE_E_NEWER_FORMAT, 0, "%s: format %u, this plugin knows %u", path,
                    (unsigned)get_number(data + 8, 4), FORMAT_VERSION);
    } else if (fnv(FNV_START, data, size - TRAILER_SIZE) !=
                   get_number(data + size - TRAILER_SIZE, 8) ||
               !parse(data, size, view, &edit)) {
      status = fail(error, MORTISE_E_CORRUPTION, 0, "%s: the checksum does not match", path);
    }
    if (edit.failed) status = fail(error, MORTISE_E_INTERNAL, 0, "out of memory");
    *random = edit.random;
  }
  free(data);
  free(path);
  return status == MORTISE_E_NOT_FOUND ? MORTISE_OK : status;
}
