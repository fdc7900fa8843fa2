/* Cursors. The nodes have no parent pointers, as a node has many parents over time; so a cursor
 * keeps the stack of nodes that are still to be handed out before their far subtrees. */
#include <stdlib.h>
#include <string.h>

#include "store.h"

struct mortise_cursor {
  const struct node* root; /* Held by the reader's view. */
  uint32_t flags;
  bool positioned;
  bool has_bound;
  uint8_t* bound; /* The far bound: upper, or lower if REVERSE. */
  size_t bound_size, bound_capacity;
  const struct node** stack;
  size_t depth, capacity;
};

static bool push(mortise_cursor* c, const struct node* n) {
  if (c->depth == c->capacity) {
    const size_t capacity = c->capacity == 0 ? 64 : c->capacity * 2;
    const struct node** grown = realloc(c->stack, capacity * sizeof *grown);
    if (grown == NULL) return false;
    c->stack = grown;
    c->capacity = capacity;
  }
  c->stack[c->depth++] = n;
  return true;
}

/* Pushes n and what comes before its other children in the cursor's direction. */
static bool push_spine(mortise_cursor* c, const struct node* n) {
  const bool reverse = (c->flags & MORTISE_CURSOR_REVERSE) != 0;
  for (; n != NULL; n = reverse ? n->right : n->left) {
    if (!push(c, n)) return false;
  }
  return true;
}

/* Leaves on the stack the path to the first pair inside of the near bound. */
static bool push_path(mortise_cursor* c, mortise_bytes near) {
  const bool reverse = (c->flags & MORTISE_CURSOR_REVERSE) != 0;
  const struct node* n = c->root;
  while (n != NULL) {
    const int order = compare_bytes(pair_key(n->pair), near);
    const bool inside = reverse ? order < 0 : order >= 0;
    if (inside && !push(c, n)) return false;
    n = inside == reverse ? n->right : n->left;
  }
  return true;
}

mortise_status memory_cursor_open(mortise_reader* reader, uint32_t keyspace, uint32_t flags,
                                  mortise_cursor** out, mortise_error* error) {
  *out = NULL;
  if (keyspace >= MORTISE_KEYSPACE_COUNT_MAX) {
    return fail(error, MORTISE_E_INVALID, 0, "keyspace %u: the largest is %u", keyspace,
                MORTISE_KEYSPACE_COUNT_MAX - 1);
  }
  mortise_cursor* c = calloc(1, sizeof *c);
  if (c == NULL) return fail(error, MORTISE_E_INTERNAL, 0, "out of memory");
  c->root = reader->view->roots[keyspace];
  c->flags = flags;
  *out = c;
  return MORTISE_OK;
}

static bool keep_bound(mortise_cursor* c, mortise_bytes bound) {
  c->has_bound = bound.size != 0;
  c->bound_size = bound.size;
  if (bound.size > c->bound_capacity) {
    uint8_t* grown = realloc(c->bound, bound.size);
    if (grown == NULL) return false;
    c->bound = grown;
    c->bound_capacity = bound.size;
  }
  if (bound.size != 0) memcpy(c->bound, bound.data, bound.size);
  return true;
}

mortise_status memory_cursor_seek(mortise_cursor* c, mortise_bytes lower, mortise_bytes upper,
                                  mortise_error* error) {
  const bool reverse = (c->flags & MORTISE_CURSOR_REVERSE) != 0;
  const mortise_bytes near = reverse ? upper : lower;
  c->depth = 0;
  c->positioned = false;
  if (!keep_bound(c, reverse ? lower : upper)) {
    return fail(error, MORTISE_E_INTERNAL, 0, "out of memory");
  }
  const bool empty = upper.size != 0 && compare_bytes(lower, upper) >= 0;
  if (!empty && !(near.size == 0 ? push_spine(c, c->root) : push_path(c, near))) {
    return fail(error, MORTISE_E_INTERNAL, 0, "out of memory");
  }
  c->positioned = true;
  return MORTISE_OK;
}

mortise_status memory_cursor_next(mortise_cursor* c, mortise_bytes* key, mortise_bytes* value,
                                  mortise_error* error) {
  const bool reverse = (c->flags & MORTISE_CURSOR_REVERSE) != 0;
  if (!c->positioned) return fail(error, MORTISE_E_INVALID, 0, "the cursor is not positioned");
  if (c->depth == 0) return MORTISE_E_NOT_FOUND;
  const struct node* n = c->stack[--c->depth];
  if (c->has_bound) {
    const mortise_bytes bound = {c->bound, c->bound_size};
    const int order = compare_bytes(pair_key(n->pair), bound);
    if (reverse ? order < 0 : order >= 0) {
      c->depth = 0; /* Everything that is left is further out. */
      return MORTISE_E_NOT_FOUND;
    }
  }
  if (!push_spine(c, reverse ? n->left : n->right)) {
    return fail(error, MORTISE_E_INTERNAL, 0, "out of memory");
  }
  const mortise_bytes none = {NULL, 0};
  *key = pair_key(n->pair);
  *value = (c->flags & MORTISE_CURSOR_KEYS_ONLY) != 0 ? none : pair_value(n->pair);
  return MORTISE_OK;
}

void memory_cursor_close(mortise_cursor* c) {
  free(c->bound);
  free(c->stack);
  free(c);
}
