#include "mortise/abi/plugin.h"
MORTISE_EXPORT extern const mortise_plugin_v1 mortise_plugin;
const mortise_plugin_v1 mortise_plugin = {16, MORTISE_ABI_MAJOR, 0, 0, NULL, NULL, NULL, NULL, 0};
