/* Watch index interface, "mortise.watch/1".
 *
 * The index from keys to watchers. The host owns streams, revisions, history and slow watchers;
 * the plugin answers one question fast: who wants these events? One index for each member; all
 * its calls come from one thread at a time, so it needs no lock. */
#ifndef MORTISE_ABI_WATCH_H_
#define MORTISE_ABI_WATCH_H_

#include "mortise/abi/host.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MORTISE_WATCH_ID "mortise.watch/1"

typedef struct mortise_watch mortise_watch; /* plugin-owned: create() .. destroy() */

/* One match: keys[event] is wanted by `watcher`. For each watcher the events come ascending,
 * each at most once; watchers come in no order that means anything. */
typedef void(MORTISE_ABI* mortise_match_fn)(void* context, uint64_t watcher, uint32_t event);

typedef struct mortise_watch_v1 {
  uint32_t struct_size;
  uint32_t reserved;
  /* On failure *out is NULL and nothing leaks. [control] */
  mortise_status(MORTISE_ABI* create)(const mortise_host* host, mortise_bytes config_json,
                                      mortise_watch** out, mortise_error* error);
  /* `watcher` is the host's number, not in the index. range_end: empty for one key, "\0" for all
   * from key on, else exclusive; an empty range is E_INVALID. The index copies what it keeps.
   * [watch] */
  mortise_status(MORTISE_ABI* add)(mortise_watch* self, uint64_t watcher, mortise_bytes key,
                                   mortise_bytes range_end, mortise_error* error);
  /* Not in the index: nothing happens. [watch] */
  void(MORTISE_ABI* remove)(mortise_watch* self, uint64_t watcher);
  /* The keys of a batch of events in revision order; calls sink for each match before it
   * returns. sink does not call the index. [watch] */
  void(MORTISE_ABI* match)(mortise_watch* self, const mortise_bytes* keys, size_t count,
                           mortise_match_fn sink, void* context);
  void(MORTISE_ABI* destroy)(mortise_watch* self); /* [control] */
} mortise_watch_v1;

#ifdef __cplusplus
}
#endif

#endif /* MORTISE_ABI_WATCH_H_ */
