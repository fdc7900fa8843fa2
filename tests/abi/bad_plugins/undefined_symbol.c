/* Needs a function that nobody has. */
#include "bad.h"
void mortise_no_such_function(void);
static const uint32_t table[2] = {8, 0};
BAD_PLUGIN("org.example.other/1", table)
MORTISE_EXPORT void use(void);
void use(void) { mortise_no_such_function(); }
