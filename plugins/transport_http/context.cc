#include "plugins/transport_http/context.h"

#include <algorithm>

namespace mortise::transport_http {
namespace {

bool contains(const std::vector<std::string>& list, std::string_view text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

}  // namespace

bool CallSlots::take(Loop& loop, Completion* waiter) {
  if (max_ == 0) return true;
  std::lock_guard lock(mutex_);
  if (taken_ < max_) {
    ++taken_;
    return true;
  }
  waiters_.push_back({&loop, waiter});
  return false;
}

void CallSlots::give_back() {
  if (max_ == 0) return;
  Waiter next;
  {
    std::lock_guard lock(mutex_);
    if (waiters_.empty()) {
      --taken_;
      return;
    }
    next = waiters_.front();
    waiters_.pop_front();
  }
  next.loop->deliver(next.completion);
}

Context::Context(sdk::Host h, const mortise_host_rpc_v1* r, Options o)
    : host(h),
      rpc(r),
      json(h.json()),
      pages(h.pages()),
      options(std::move(o)),
      body_bytes_max(options.body_bytes_max > 0 ? options.body_bytes_max
                                                : 2 * r->request_bytes_max),
      routes(*r),
      any_origin(contains(options.cors, "*")),
      any_host(options.host_whitelist.empty() || contains(options.host_whitelist, "*")),
      slots(r->concurrent_streams_max),
      bodies(options.bodies_bytes_max) {}

bool Context::to_message(const mortise_method& method, std::string_view text, mortise_buffer& out,
                         std::string& error) const {
  mortise_error detail{};
  detail.struct_size = sizeof(detail);
  const mortise_status status =
      json->request_from_json(host.raw(), method.id, sdk::bytes(text), &out, &detail);
  if (status == MORTISE_OK) return true;
  error = detail.message;
  return false;
}

bool Context::to_json(const mortise_method& method, std::string_view message,
                      sdk::Buffer& out) const {
  mortise_buffer made{};
  if (json->response_to_json(host.raw(), method.id, sdk::bytes(message), &made, nullptr) !=
      MORTISE_OK) {
    return false;
  }
  out = sdk::Buffer(made);
  return true;
}

std::string_view host_of(std::string_view authority) {
  if (authority.starts_with('[')) {
    const size_t end = authority.find(']');
    return end == std::string_view::npos ? authority : authority.substr(1, end - 1);
  }
  const size_t colon = authority.rfind(':');
  // More than one colon without brackets: an address without a port.
  if (colon == std::string_view::npos || authority.find(':') != colon) return authority;
  return authority.substr(0, colon);
}

bool Context::host_allowed(std::string_view authority) const {
  return any_host || contains(options.host_whitelist, host_of(authority));
}

std::string_view Context::cors_origin(std::string_view origin) const {
  if (any_origin) return "*";
  return !origin.empty() && contains(options.cors, origin) ? origin : std::string_view();
}

bool Context::may_open_websocket(std::string_view origin, std::string_view authority,
                                 bool is_tls) const {
  if (any_origin || origin.empty() || contains(options.cors, origin)) return true;
  const std::string_view scheme = is_tls ? "https://" : "http://";
  return origin.starts_with(scheme) && origin.substr(scheme.size()) == authority;
}

}  // namespace mortise::transport_http
