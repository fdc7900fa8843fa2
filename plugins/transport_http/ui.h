// The status page: the files of ui/, embedded when the plugin is built. Pure.
#pragma once

#include <string_view>

namespace mortise::transport_http {

struct Asset {
  std::string_view content_type;
  std::string_view bytes;
};

// Null if the path is none of the page's files; others under /ui/ are the host's.
const Asset* find_asset(std::string_view path);

// What the page's files may do in a browser; "Name: value\r\n" ...
std::string_view asset_fields();

}  // namespace mortise::transport_http
