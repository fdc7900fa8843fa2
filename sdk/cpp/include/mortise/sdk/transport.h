// Makes the table of "mortise.transport/1" out of a C++ class; mortise/abi/transport.h is the
// contract.
//
//   class Transport {
//    public:
//     static Status create(Host host, std::string_view config_json,
//                          std::unique_ptr<Transport>& out);
//     int32_t claims(const mortise_opening& opening);
//     Status start();
//     Status adopt(const mortise_connection& connection);  // owns connection.fd, also on failure
//     void drain(uint64_t timeout_ns);
//     void answers_begin();  // optional, with answers_end()
//     void answers_end();
//   };
//
// The destructor is destroy(). An exception out of a function without a status ends the process, as
// there is nobody to tell.
#pragma once

#include <memory>
#include <string_view>

#include "mortise/abi/transport.h"
#include "mortise/sdk/bytes.h"
#include "mortise/sdk/host.h"
#include "mortise/sdk/status.h"

namespace mortise::sdk {
namespace detail {

template <class Transport>
struct TransportTrampolines {
  static Transport& self_of(mortise_transport* p) noexcept {
    return *reinterpret_cast<Transport*>(p);
  }
  static mortise_status create(const mortise_host* host, mortise_bytes config_json,
                               mortise_transport** out, mortise_error* error) noexcept {
    *out = nullptr;
    return guard(error, [&] {
      std::unique_ptr<Transport> made;
      Status status = Transport::create(Host(host), view(config_json), made);
      if (status.ok()) *out = reinterpret_cast<mortise_transport*>(made.release());
      return status;
    });
  }
  static int32_t claims(mortise_transport* p, const mortise_opening* opening) noexcept {
    return self_of(p).claims(*opening);
  }
  static mortise_status start(mortise_transport* p, mortise_error* error) noexcept {
    return guard(error, [&] { return self_of(p).start(); });
  }
  static mortise_status adopt(mortise_transport* p, const mortise_connection* connection,
                              mortise_error* error) noexcept {
    return guard(error, [&] { return self_of(p).adopt(*connection); });
  }
  static void drain(mortise_transport* p, uint64_t timeout_ns) noexcept {
    self_of(p).drain(timeout_ns);
  }
  static void destroy(mortise_transport* p) noexcept { delete &self_of(p); }
  static void answers_begin(mortise_transport* p) noexcept { self_of(p).answers_begin(); }
  static void answers_end(mortise_transport* p) noexcept { self_of(p).answers_end(); }
};

}  // namespace detail

template <class Transport>
constexpr mortise_transport_v1 transport_table() {
  using T = detail::TransportTrampolines<Transport>;
  mortise_transport_v1 table{};
  table.struct_size = sizeof(table);
  table.create = &T::create;
  table.claims = &T::claims;
  table.start = &T::start;
  table.adopt = &T::adopt;
  table.drain = &T::drain;
  table.destroy = &T::destroy;
  if constexpr (requires(Transport & t) { t.answers_begin(); }) {
    table.answers_begin = &T::answers_begin;
    table.answers_end = &T::answers_end;
  }
  return table;
}

}  // namespace mortise::sdk
