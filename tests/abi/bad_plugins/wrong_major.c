#include "mortise/abi/plugin.h"
static const mortise_interface interfaces[] = {{"mortise.backend/1", NULL}};
MORTISE_EXPORT extern const mortise_plugin_v1 mortise_plugin;
const mortise_plugin_v1 mortise_plugin = {
    sizeof(mortise_plugin_v1), MORTISE_ABI_MAJOR + 1, 0, 0, "bad", "1", "bad", interfaces, 1};
