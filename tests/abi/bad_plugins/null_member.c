/* Everything is there but commit(). */
#include "bad.h"
static const mortise_backend_v1 table = BAD_BACKEND(bad_open, NULL);
BAD_PLUGIN(MORTISE_BACKEND_ID, &table)
