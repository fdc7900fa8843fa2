/* Nothing is missing, but store_open() aborts. */
#include "bad.h"
static const mortise_backend_v1 table = {.struct_size = sizeof(mortise_backend_v1),
                                         .store_open = bad_open,
                                         .store_close = bad_close,
                                         .commit = bad_commit,
                                         .sync = bad_sync,
                                         .applied = bad_applied,
                                         .reader_open = bad_reader_open,
                                         .reader_close = bad_reader_close,
                                         .get = bad_get,
                                         .cursor_open = bad_cursor_open,
                                         .cursor_seek = bad_cursor_seek,
                                         .cursor_next = bad_cursor_next,
                                         .cursor_close = bad_cursor_close,
                                         .size = bad_size,
                                         .reclaim = bad_reclaim};
BAD_PLUGIN(MORTISE_BACKEND_ID, &table)
