// Makes the table of "mortise.backend/1" out of a C++ class. The comments in mortise/abi/backend.h
// are the contract; this file only carries it over into C++: statuses, string_views, unique_ptrs,
// no exceptions.
//
//   class Store {
//    public:
//     class Cursor {
//      public:
//       Status seek(std::string_view lower, std::string_view upper);
//       Status next(std::string_view& key, std::string_view& value);  // not_found() at the end
//     };
//     class Reader {
//      public:
//       using Cursor = Store::Cursor;
//       Status get(uint32_t keyspace, std::string_view key, std::string_view& value);
//       Status cursor_open(uint32_t keyspace, uint32_t flags, std::unique_ptr<Cursor>& out);
//     };
//     static Status open(Host host, const std::string& path, std::string_view config_json,
//                        std::unique_ptr<Store>& out);
//     Status commit(const mortise_commit_request& request);
//     Status sync(uint64_t& index);
//     Status applied(uint64_t& index, uint64_t& term);
//     Status reader_open(std::unique_ptr<Reader>& out);
//     Status size(mortise_store_size& out);
//     Status reclaim();
//     // Optional:
//     Status checkpoint(const std::string& path);
//     Status replace(uint64_t index, uint64_t term, mortise_source_fn source, void* context);
//   };
//   constexpr mortise_backend_v1 kTable = mortise::sdk::backend_table<Store>();
//
// Destructors close. A trampoline is noexcept, turns an exception into MORTISE_E_INTERNAL with its
// text, and does nothing else.
#pragma once

#include <concepts>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "mortise/abi/backend.h"
#include "mortise/sdk/bytes.h"
#include "mortise/sdk/host.h"
#include "mortise/sdk/status.h"

namespace mortise::sdk {
namespace detail {

template <class Store>
struct BackendTrampolines {
  using Reader = typename Store::Reader;
  using Cursor = typename Reader::Cursor;

  static Store& store(mortise_backend* p) noexcept { return *reinterpret_cast<Store*>(p); }
  static Reader& reader(mortise_reader* p) noexcept { return *reinterpret_cast<Reader*>(p); }
  static Cursor& cursor(mortise_cursor* p) noexcept { return *reinterpret_cast<Cursor*>(p); }

  static mortise_status store_open(const mortise_host* host, const char* path,
                                   mortise_bytes config_json, mortise_backend** out,
                                   mortise_error* error) noexcept {
    *out = nullptr;
    return guard(error, [&] {
      std::unique_ptr<Store> made;
      Status status = Store::open(Host(host), std::string(path), view(config_json), made);
      if (status.ok()) *out = reinterpret_cast<mortise_backend*>(made.release());
      return status;
    });
  }
  static void store_close(mortise_backend* self) noexcept { delete &store(self); }

  static mortise_status commit(mortise_backend* self, const mortise_commit_request* request,
                               mortise_error* error) noexcept {
    return guard(error, [&] { return store(self).commit(*request); });
  }
  static mortise_status sync(mortise_backend* self, uint64_t* index,
                             mortise_error* error) noexcept {
    return guard(error, [&] { return store(self).sync(*index); });
  }
  static mortise_status applied(mortise_backend* self, uint64_t* index, uint64_t* term,
                                mortise_error* error) noexcept {
    return guard(error, [&] { return store(self).applied(*index, *term); });
  }

  static mortise_status reader_open(mortise_backend* self, mortise_reader** out,
                                    mortise_error* error) noexcept {
    *out = nullptr;
    return guard(error, [&] {
      std::unique_ptr<Reader> made;
      Status status = store(self).reader_open(made);
      if (status.ok()) *out = reinterpret_cast<mortise_reader*>(made.release());
      return status;
    });
  }
  static void reader_close(mortise_reader* p) noexcept { delete &reader(p); }
  static mortise_status get(mortise_reader* p, uint32_t keyspace, mortise_bytes key,
                            mortise_bytes* value, mortise_error* error) noexcept {
    return guard(error, [&] {
      std::string_view found;
      Status status = reader(p).get(keyspace, view(key), found);
      *value = bytes(found);
      return status;
    });
  }

  static mortise_status cursor_open(mortise_reader* p, uint32_t keyspace, uint32_t flags,
                                    mortise_cursor** out, mortise_error* error) noexcept {
    *out = nullptr;
    return guard(error, [&] {
      std::unique_ptr<Cursor> made;
      Status status = reader(p).cursor_open(keyspace, flags, made);
      if (status.ok()) *out = reinterpret_cast<mortise_cursor*>(made.release());
      return status;
    });
  }
  static mortise_status cursor_seek(mortise_cursor* p, mortise_bytes lower, mortise_bytes upper,
                                    mortise_error* error) noexcept {
    return guard(error, [&] { return cursor(p).seek(view(lower), view(upper)); });
  }
  static mortise_status cursor_next(mortise_cursor* p, mortise_bytes* key, mortise_bytes* value,
                                    mortise_error* error) noexcept {
    return guard(error, [&] {
      std::string_view k, v;
      Status status = cursor(p).next(k, v);
      *key = bytes(k);
      *value = bytes(v);
      return status;
    });
  }
  static void cursor_close(mortise_cursor* p) noexcept { delete &cursor(p); }

  // The host may know a shorter or a longer struct; what it does not know stays here.
  static mortise_status size(mortise_backend* self, mortise_store_size* out,
                             mortise_error* error) noexcept {
    return guard(error, [&] {
      mortise_store_size figures{};
      figures.struct_size = sizeof(figures);
      Status status = store(self).size(figures);
      if (status.ok()) {
        const uint32_t known = out->struct_size;
        std::memcpy(out, &figures, known < sizeof(figures) ? known : sizeof(figures));
        out->struct_size = known;
      }
      return status;
    });
  }
  static mortise_status reclaim(mortise_backend* self, mortise_error* error) noexcept {
    return guard(error, [&] { return store(self).reclaim(); });
  }
  static mortise_status checkpoint(mortise_backend* self, const char* path,
                                   mortise_error* error) noexcept {
    return guard(error, [&] { return store(self).checkpoint(std::string(path)); });
  }
  static mortise_status replace(mortise_backend* self, uint64_t index, uint64_t term,
                                mortise_source_fn source, void* context,
                                mortise_error* error) noexcept {
    return guard(error, [&] { return store(self).replace(index, term, source, context); });
  }
};

template <class Store>
concept HasCheckpoint = requires(Store& s, const std::string& path) {
  { s.checkpoint(path) } -> std::same_as<Status>;
};
template <class Store>
concept HasReplace = requires(Store& s, mortise_source_fn source, void* context) {
  { s.replace(uint64_t{}, uint64_t{}, source, context) } -> std::same_as<Status>;
};

}  // namespace detail

template <class Store>
constexpr mortise_backend_v1 backend_table() {
  using T = detail::BackendTrampolines<Store>;
  mortise_backend_v1 table{};
  table.struct_size = sizeof(table);
  table.store_open = &T::store_open;
  table.store_close = &T::store_close;
  table.commit = &T::commit;
  table.sync = &T::sync;
  table.applied = &T::applied;
  table.reader_open = &T::reader_open;
  table.reader_close = &T::reader_close;
  table.get = &T::get;
  table.cursor_open = &T::cursor_open;
  table.cursor_seek = &T::cursor_seek;
  table.cursor_next = &T::cursor_next;
  table.cursor_close = &T::cursor_close;
  table.size = &T::size;
  table.reclaim = &T::reclaim;
  if constexpr (detail::HasCheckpoint<Store>) table.checkpoint = &T::checkpoint;
  if constexpr (detail::HasReplace<Store>) table.replace = &T::replace;
  return table;
}

}  // namespace mortise::sdk
