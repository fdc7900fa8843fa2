// Defines the one symbol that a plugin exports. Used once in a plugin, at namespace scope outside
// of any namespace:
//
//   constexpr mortise_backend_v1 kTable = mortise::sdk::backend_table<Store>();
//   MORTISE_DEFINE_PLUGIN("backend_example", "1.0.0", "An example",
//                         MORTISE_PLUGIN_INTERFACE(MORTISE_BACKEND_ID, kTable))
//
// Compile with -fvisibility=hidden, so that the symbol stays the only one.
#pragma once

#include <iterator>

#include "mortise/abi/plugin.h"

// `interface_table` is an object with static storage.
#define MORTISE_PLUGIN_INTERFACE(interface_id, interface_table) \
  ::mortise_interface { interface_id, &(interface_table) }

#define MORTISE_DEFINE_PLUGIN(plugin_name, plugin_version, plugin_description, ...)  \
  namespace {                                                                        \
  constexpr ::mortise_interface kMortisePluginInterfaces[] = {__VA_ARGS__};          \
  }                                                                                  \
  extern "C" MORTISE_EXPORT const ::mortise_plugin_v1 mortise_plugin;                \
  constinit const ::mortise_plugin_v1 mortise_plugin = {sizeof(::mortise_plugin_v1), \
                                                        MORTISE_ABI_MAJOR,           \
                                                        MORTISE_ABI_MINOR,           \
                                                        0,                           \
                                                        plugin_name,                 \
                                                        plugin_version,              \
                                                        plugin_description,          \
                                                        kMortisePluginInterfaces,    \
                                                        std::size(kMortisePluginInterfaces)};
