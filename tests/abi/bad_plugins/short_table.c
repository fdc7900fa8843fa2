/* A table that ends after commit(). */
#include "bad.h"
static const mortise_backend_v1 table = {.struct_size = offsetof(mortise_backend_v1, sync),
                                         .store_open = bad_open,
                                         .store_close = bad_close,
                                         .commit = bad_commit};
BAD_PLUGIN(MORTISE_BACKEND_ID, &table)
