#include "mortise/abi/plugin.h"
static const uint32_t table[2] = {8, 0};
static const mortise_interface interfaces[] = {{"org.example.other/1", table}};
MORTISE_EXPORT extern const mortise_plugin_v1 mortise_plugin;
const mortise_plugin_v1 mortise_plugin = {
    sizeof(mortise_plugin_v1), MORTISE_ABI_MAJOR, 0, 0, NULL, "1", "bad", interfaces, 1};
