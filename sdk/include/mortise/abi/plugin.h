/* What a plugin is: a shared object with one exported symbol, `mortise_plugin`.
 *
 * The symbol is data, so the host judges a plugin (major version, sizes, interfaces, null
 * members) before it runs any of its code. The host loads it with RTLD_NOW | RTLD_LOCAL and
 * never unloads it.
 *
 * Plugins are trusted code: they run in the host's process with all its rights, and a fault in
 * one is a fault of the server. They must not change process-wide state: signal handlers,
 * locale, working directory, environment, umask, file descriptors they did not open.
 *
 *   MORTISE_EXPORT const mortise_plugin_v1 mortise_plugin = {
 *       sizeof(mortise_plugin_v1), MORTISE_ABI_MAJOR, MORTISE_ABI_MINOR, 0,
 *       "backend_example", "1.2.0", "An example", interfaces, 1}; */
#ifndef MORTISE_ABI_PLUGIN_H_
#define MORTISE_ABI_PLUGIN_H_

#include "mortise/abi/base.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MORTISE_PLUGIN_SYMBOL "mortise_plugin"

/* One offered interface. The table begins with uint32_t struct_size and lives as long as the
 * process. Ids are "mortise.<kind>/<revision>"; third parties' own begin with a reversed domain
 * name. Frozen. */
typedef struct mortise_interface {
  const char* id;
  const void* table;
} mortise_interface;

typedef struct mortise_plugin_v1 {
  uint32_t struct_size;    /* sizeof(mortise_plugin_v1) as the plugin was compiled. */
  uint32_t abi_major;      /* MORTISE_ABI_MAJOR as compiled: must equal the host's. */
  uint32_t abi_minor;      /* MORTISE_ABI_MINOR as compiled: informative. */
  uint32_t reserved;       /* Zero. */
  const char* name;        /* Lower case, as in logs and metrics: "backend_lmdb". */
  const char* version;     /* The plugin's own version. */
  const char* description; /* One line. */
  const mortise_interface* interfaces;
  size_t interface_count;
} mortise_plugin_v1;

#ifdef __cplusplus
}
#endif

#endif /* MORTISE_ABI_PLUGIN_H_ */
