/* An ordered map of byte strings that can be shared: a treap with reference counts, whose nodes
 * are copied on the way to a change if anybody else can see them.
 *
 * Holding the root holds the whole map as it was, for the price of one counter; that is what
 * makes opening a reader cheap. A change copies the path from the root to the place of the
 * change, and changes in place what an earlier change of the same commit has copied already.
 *
 * Threads: a map that nobody changes may be read by any number of threads. One thread changes
 * maps. Reference counts are atomic, since readers drop their maps whenever they like. */
#ifndef BACKEND_MEMORY_TREE_H_
#define BACKEND_MEMORY_TREE_H_

#include <stdatomic.h>
#include <stdbool.h>

#include "mortise/abi/base.h"

/* Key and value in one block, immutable, shared by all copies of its node. */
struct pair {
  atomic_uint refs;
  size_t key_size;
  size_t value_size;
  uint8_t bytes[]; /* The key, then the value. */
};

struct node {
  atomic_uint refs;
  uint64_t priority; /* No child has a higher one: keeps the tree balanced on average. */
  struct pair* pair;
  struct node* left;
  struct node* right;
};

/* What a change needs beside the map. Once `failed` is set, memory ran out: the map is still
 * safe to release, but has lost keys and must not be published. */
struct tree_edit {
  uint64_t random; /* State of the generator of priorities; not 0. */
  bool failed;
  size_t pairs_added, pairs_removed;
  size_t bytes_added, bytes_removed; /* Of keys and values. */
};

static inline mortise_bytes pair_key(const struct pair* p) {
  mortise_bytes b = {p->bytes, p->key_size};
  return b;
}
static inline mortise_bytes pair_value(const struct pair* p) {
  mortise_bytes b = {p->bytes + p->key_size, p->value_size};
  return b;
}

/* As memcmp, a prefix before its extensions. */
int compare_bytes(mortise_bytes a, mortise_bytes b);

struct node* tree_retain(struct node* root);
void tree_release(struct node* root);
const struct pair* tree_get(const struct node* root, mortise_bytes key);

/* These take over the reference to `root` and return the new root. */
struct node* tree_put(struct tree_edit* edit, struct node* root, mortise_bytes key,
                      mortise_bytes value);
struct node* tree_delete(struct tree_edit* edit, struct node* root, mortise_bytes key);
/* [from, to); an empty `to` is no end. */
struct node* tree_delete_range(struct tree_edit* edit, struct node* root, mortise_bytes from,
                               mortise_bytes to);

#endif
