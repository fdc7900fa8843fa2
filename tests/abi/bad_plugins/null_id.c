#include "bad.h"
static const uint32_t table[2] = {8, 0};
BAD_PLUGIN(NULL, table)
