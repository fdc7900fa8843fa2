/* Offers only an interface that no host knows. */
#include "bad.h"
static const uint32_t table[2] = {8, 0};
BAD_PLUGIN("org.example.other/1", table)
