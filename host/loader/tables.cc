#include "host/loader/tables.h"

#include <cstring>

#include "mortise/abi/auth.h"
#include "mortise/abi/backend.h"
#include "mortise/abi/transport.h"
#include "mortise/abi/watch.h"

namespace mortise::loader {
namespace {

#define REQUIRED(type, member) \
  { #member, offsetof(type, member), true }
#define OPTIONAL(type, member) \
  { #member, offsetof(type, member), false }

constexpr Member kBackend[] = {
    REQUIRED(mortise_backend_v1, store_open),   REQUIRED(mortise_backend_v1, store_close),
    REQUIRED(mortise_backend_v1, commit),       REQUIRED(mortise_backend_v1, sync),
    REQUIRED(mortise_backend_v1, applied),      REQUIRED(mortise_backend_v1, reader_open),
    REQUIRED(mortise_backend_v1, reader_close), REQUIRED(mortise_backend_v1, get),
    REQUIRED(mortise_backend_v1, cursor_open),  REQUIRED(mortise_backend_v1, cursor_seek),
    REQUIRED(mortise_backend_v1, cursor_next),  REQUIRED(mortise_backend_v1, cursor_close),
    REQUIRED(mortise_backend_v1, size),         REQUIRED(mortise_backend_v1, reclaim),
    OPTIONAL(mortise_backend_v1, checkpoint),   OPTIONAL(mortise_backend_v1, replace),
};
constexpr Member kTransport[] = {
    REQUIRED(mortise_transport_v1, create),        REQUIRED(mortise_transport_v1, claims),
    REQUIRED(mortise_transport_v1, start),         REQUIRED(mortise_transport_v1, adopt),
    REQUIRED(mortise_transport_v1, drain),         REQUIRED(mortise_transport_v1, destroy),
    OPTIONAL(mortise_transport_v1, answers_begin), OPTIONAL(mortise_transport_v1, answers_end),
};
constexpr Member kWatch[] = {
    REQUIRED(mortise_watch_v1, create),  REQUIRED(mortise_watch_v1, add),
    REQUIRED(mortise_watch_v1, remove),  REQUIRED(mortise_watch_v1, match),
    REQUIRED(mortise_watch_v1, destroy),
};
constexpr Member kAuth[] = {
    REQUIRED(mortise_auth_v1, create),   REQUIRED(mortise_auth_v1, load),
    REQUIRED(mortise_auth_v1, apply),    REQUIRED(mortise_auth_v1, prepare),
    REQUIRED(mortise_auth_v1, identify), REQUIRED(mortise_auth_v1, authorize),
    REQUIRED(mortise_auth_v1, login),    REQUIRED(mortise_auth_v1, state),
    REQUIRED(mortise_auth_v1, destroy),
};
constexpr TableSpec kSpecs[] = {
    {MORTISE_BACKEND_ID, kBackend},
    {MORTISE_TRANSPORT_ID, kTransport},
    {MORTISE_WATCH_ID, kWatch},
    {MORTISE_AUTH_ID, kAuth},
};

}  // namespace

const TableSpec* find_spec(std::string_view id) {
  for (const TableSpec& spec : kSpecs) {
    if (id == spec.id) return &spec;
  }
  return nullptr;
}

}  // namespace mortise::loader
