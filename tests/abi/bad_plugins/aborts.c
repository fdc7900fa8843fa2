/* Nothing is missing, but store_open() aborts. */
#include "bad.h"
static const mortise_backend_v1 table = BAD_BACKEND(bad_open, bad_commit);
BAD_PLUGIN(MORTISE_BACKEND_ID, &table)
