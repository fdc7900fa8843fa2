/* Nothing is missing, but store_open() ends the process as if all was well. */
#include "bad.h"
static mortise_status exit_at_open(const mortise_host* h, const char* p, mortise_bytes c,
                                   mortise_backend** o, mortise_error* e) {
  (void)h, (void)p, (void)c, (void)o, (void)e;
  exit(0);
}
static const mortise_backend_v1 table = BAD_BACKEND(exit_at_open, bad_commit);
BAD_PLUGIN(MORTISE_BACKEND_ID, &table)
