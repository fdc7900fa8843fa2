#include "tree.h"

#include <stdlib.h>
#include <string.h>

int compare_bytes(mortise_bytes a, mortise_bytes b) {
  const size_t shorter = a.size < b.size ? a.size : b.size;
  const int order = shorter == 0 ? 0 : memcmp(a.data, b.data, shorter);
  if (order != 0) return order;
  return a.size < b.size ? -1 : a.size > b.size;
}

static void pair_release(struct pair* p) {
  if (atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1) free(p);
}

struct node* tree_retain(struct node* root) {
  if (root != NULL) atomic_fetch_add_explicit(&root->refs, 1, memory_order_relaxed);
  return root;
}

/* The depth is that of the tree, so recursion is safe. */
void tree_release(struct node* root) {
  while (root != NULL) {
    if (atomic_fetch_sub_explicit(&root->refs, 1, memory_order_acq_rel) != 1) return;
    struct node* right = root->right;
    tree_release(root->left);
    pair_release(root->pair);
    free(root);
    root = right;
  }
}

const struct pair* tree_get(const struct node* root, mortise_bytes key) {
  while (root != NULL) {
    const int order = compare_bytes(key, pair_key(root->pair));
    if (order == 0) return root->pair;
    root = order < 0 ? root->left : root->right;
  }
  return NULL;
}

static uint64_t next_random(struct tree_edit* edit) {
  edit->random ^= edit->random << 13;
  edit->random ^= edit->random >> 7;
  edit->random ^= edit->random << 17;
  return edit->random;
}

/* Turns a reference to a node into a node that only the caller can see: the same one if it is
 * that already. NULL if memory ran out; the subtree is then lost to this edit, which will never
 * be published. */
static struct node* own(struct tree_edit* edit, struct node* n) {
  if (atomic_load_explicit(&n->refs, memory_order_acquire) == 1) return n;
  struct node* copy = malloc(sizeof *copy);
  if (copy == NULL) {
    edit->failed = true;
  } else {
    atomic_init(&copy->refs, 1);
    copy->priority = n->priority;
    copy->pair = n->pair;
    atomic_fetch_add_explicit(&n->pair->refs, 1, memory_order_relaxed);
    copy->left = tree_retain(n->left);
    copy->right = tree_retain(n->right);
  }
  tree_release(n);
  return copy;
}

/* Splits into keys < key and keys >= key. */
static void split(struct tree_edit* edit, struct node* n, mortise_bytes key, struct node** below,
                  struct node** rest) {
  *below = *rest = NULL;
  if (n == NULL || (n = own(edit, n)) == NULL) return;
  struct node* child;
  if (compare_bytes(pair_key(n->pair), key) < 0) {
    child = n->right;
    n->right = NULL;
    split(edit, child, key, &n->right, rest);
    *below = n;
  } else {
    child = n->left;
    n->left = NULL;
    split(edit, child, key, below, &n->left);
    *rest = n;
  }
}

/* Every key of a is below every key of b. */
static struct node* join(struct tree_edit* edit, struct node* a, struct node* b) {
  if (a == NULL) return b;
  if (b == NULL) return a;
  struct node* child;
  if (a->priority > b->priority) {
    if ((a = own(edit, a)) == NULL) return b;
    child = a->right;
    a->right = NULL;
    a->right = join(edit, child, b);
    return a;
  }
  if ((b = own(edit, b)) == NULL) return a;
  child = b->left;
  b->left = NULL;
  b->left = join(edit, a, child);
  return b;
}

static struct pair* pair_new(mortise_bytes key, mortise_bytes value) {
  struct pair* p = malloc(sizeof *p + key.size + value.size);
  if (p == NULL) return NULL;
  atomic_init(&p->refs, 1);
  p->key_size = key.size;
  p->value_size = value.size;
  memcpy(p->bytes, key.data, key.size);
  if (value.size != 0) memcpy(p->bytes + key.size, value.data, value.size);
  return p;
}

/* The key is there: only its pair changes. Takes over `pair`. */
static struct node* replace_pair(struct tree_edit* edit, struct node* n, struct pair* pair) {
  if ((n = own(edit, n)) == NULL) {
    pair_release(pair);
    return NULL;
  }
  const int order = compare_bytes(pair_key(pair), pair_key(n->pair));
  if (order == 0) {
    pair_release(n->pair);
    n->pair = pair;
  } else if (order < 0) {
    n->left = replace_pair(edit, n->left, pair);
  } else {
    n->right = replace_pair(edit, n->right, pair);
  }
  return n;
}

/* The key is not there. Descends to the place where the priority belongs and splits what is
 * below. */
static struct node* insert(struct tree_edit* edit, struct node* n, struct node* fresh) {
  if (n == NULL || fresh->priority > n->priority) {
    split(edit, n, pair_key(fresh->pair), &fresh->left, &fresh->right);
    return fresh;
  }
  if ((n = own(edit, n)) == NULL) {
    tree_release(fresh);
    return NULL;
  }
  if (compare_bytes(pair_key(fresh->pair), pair_key(n->pair)) < 0) {
    n->left = insert(edit, n->left, fresh);
  } else {
    n->right = insert(edit, n->right, fresh);
  }
  return n;
}

struct node* tree_put(struct tree_edit* edit, struct node* root, mortise_bytes key,
                      mortise_bytes value) {
  const struct pair* old = tree_get(root, key);
  struct pair* pair = pair_new(key, value);
  struct node* fresh = old == NULL && pair != NULL ? malloc(sizeof *fresh) : NULL;
  if (pair == NULL || (old == NULL && fresh == NULL)) {
    free(pair);
    edit->failed = true;
    return root;
  }
  edit->bytes_added += key.size + value.size;
  if (old != NULL) {
    edit->bytes_removed += old->key_size + old->value_size;
    return replace_pair(edit, root, pair);
  }
  edit->pairs_added++;
  atomic_init(&fresh->refs, 1);
  fresh->priority = next_random(edit);
  fresh->pair = pair;
  fresh->left = fresh->right = NULL;
  return insert(edit, root, fresh);
}

/* The key is there. */
static struct node* remove_key(struct tree_edit* edit, struct node* n, mortise_bytes key) {
  const int order = compare_bytes(key, pair_key(n->pair));
  if (order == 0) {
    struct node* left = tree_retain(n->left);
    struct node* right = tree_retain(n->right);
    tree_release(n);
    return join(edit, left, right);
  }
  if ((n = own(edit, n)) == NULL) return NULL;
  if (order < 0) {
    n->left = remove_key(edit, n->left, key);
  } else {
    n->right = remove_key(edit, n->right, key);
  }
  return n;
}

struct node* tree_delete(struct tree_edit* edit, struct node* root, mortise_bytes key) {
  const struct pair* old = tree_get(root, key);
  if (old == NULL) return root;
  edit->pairs_removed++;
  edit->bytes_removed += old->key_size + old->value_size;
  return remove_key(edit, root, key);
}

static void count_removed(struct tree_edit* edit, const struct node* n) {
  for (; n != NULL; n = n->right) {
    edit->pairs_removed++;
    edit->bytes_removed += n->pair->key_size + n->pair->value_size;
    count_removed(edit, n->left);
  }
}

struct node* tree_delete_range(struct tree_edit* edit, struct node* root, mortise_bytes from,
                               mortise_bytes to) {
  if (to.size != 0 && compare_bytes(from, to) >= 0) return root;
  struct node *below, *middle, *above = NULL;
  split(edit, root, from, &below, &middle);
  if (to.size != 0) {
    struct node* rest = middle;
    split(edit, rest, to, &middle, &above);
  }
  count_removed(edit, middle);
  tree_release(middle);
  return join(edit, below, above);
}
