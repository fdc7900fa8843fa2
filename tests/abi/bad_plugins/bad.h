/* Functions that are not called, since the loader refuses these plugins before that, or that say so
 * by abort(). */
#ifndef MORTISE_TESTS_BAD_H_
#define MORTISE_TESTS_BAD_H_

#include <stdlib.h>

#include "mortise/abi/backend.h"
#include "mortise/abi/plugin.h"

#define BAD __attribute__((unused)) static

BAD mortise_status bad_open(const mortise_host* h, const char* p, mortise_bytes c,
                            mortise_backend** o, mortise_error* e) {
  (void)h, (void)p, (void)c, (void)o, (void)e;
  abort();
}
BAD void bad_close(mortise_backend* s) { (void)s, abort(); }
BAD mortise_status bad_commit(mortise_backend* s, const mortise_commit_request* r,
                              mortise_error* e) {
  (void)s, (void)r, (void)e;
  abort();
}
BAD mortise_status bad_sync(mortise_backend* s, uint64_t* i, mortise_error* e) {
  (void)s, (void)i, (void)e;
  abort();
}
BAD mortise_status bad_applied(mortise_backend* s, uint64_t* i, uint64_t* t, mortise_error* e) {
  (void)s, (void)i, (void)t, (void)e;
  abort();
}
BAD mortise_status bad_reader_open(mortise_backend* s, mortise_reader** o, mortise_error* e) {
  (void)s, (void)o, (void)e;
  abort();
}
BAD void bad_reader_close(mortise_reader* r) { (void)r, abort(); }
BAD mortise_status bad_get(mortise_reader* r, uint32_t k, mortise_bytes key, mortise_bytes* v,
                           mortise_error* e) {
  (void)r, (void)k, (void)key, (void)v, (void)e;
  abort();
}
BAD mortise_status bad_cursor_open(mortise_reader* r, uint32_t k, uint32_t f, mortise_cursor** o,
                                   mortise_error* e) {
  (void)r, (void)k, (void)f, (void)o, (void)e;
  abort();
}
BAD mortise_status bad_cursor_seek(mortise_cursor* c, mortise_bytes l, mortise_bytes u,
                                   mortise_error* e) {
  (void)c, (void)l, (void)u, (void)e;
  abort();
}
BAD mortise_status bad_cursor_next(mortise_cursor* c, mortise_bytes* k, mortise_bytes* v,
                                   mortise_error* e) {
  (void)c, (void)k, (void)v, (void)e;
  abort();
}
BAD void bad_cursor_close(mortise_cursor* c) { (void)c, abort(); }
BAD mortise_status bad_size(mortise_backend* s, mortise_store_size* o, mortise_error* e) {
  (void)s, (void)o, (void)e;
  abort();
}
BAD mortise_status bad_reclaim(mortise_backend* s, mortise_error* e) {
  (void)s, (void)e;
  abort();
}

#define BAD_BACKEND(open_function, commit_function)                                                \
  {                                                                                                \
    .struct_size = sizeof(mortise_backend_v1), .store_open = open_function,                        \
    .store_close = bad_close, .commit = commit_function, .sync = bad_sync, .applied = bad_applied, \
    .reader_open = bad_reader_open, .reader_close = bad_reader_close, .get = bad_get,              \
    .cursor_open = bad_cursor_open, .cursor_seek = bad_cursor_seek,                                \
    .cursor_next = bad_cursor_next, .cursor_close = bad_cursor_close, .size = bad_size,            \
    .reclaim = bad_reclaim                                                                         \
  }

#define BAD_PLUGIN(id, table)                                   \
  static const mortise_interface interfaces[] = {{id, table}};  \
  MORTISE_EXPORT extern const mortise_plugin_v1 mortise_plugin; \
  const mortise_plugin_v1 mortise_plugin = {                    \
      sizeof(mortise_plugin_v1), MORTISE_ABI_MAJOR, 0, 0, "bad", "1", "bad", interfaces, 1};

#endif
