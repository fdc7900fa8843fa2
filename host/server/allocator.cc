// The process allocates with jemalloc, plugins too: a call's life crosses threads, from the
// transport that takes it to the apply thread that answers, and that is where it is strong.
//
// Memory that nobody uses goes back to the system within seconds, by a thread of the library's.
extern "C" {
extern const char* malloc_conf;
__attribute__((visibility("default"))) const char* malloc_conf =
    "narenas:4,background_thread:true,dirty_decay_ms:3000,muzzy_decay_ms:0";
}
