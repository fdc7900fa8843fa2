/* Exports something, but not what a plugin has to. */
#include "mortise/abi/plugin.h"
extern const int some_other_symbol;
MORTISE_EXPORT const int some_other_symbol = 1;
