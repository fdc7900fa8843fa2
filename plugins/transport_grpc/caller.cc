#include "plugins/transport_grpc/caller.h"

#include <grpc/support/alloc.h>
#include <grpc/support/time.h>

#include <charconv>

#include "mortise/sdk/bytes.h"

namespace mortise::transport_grpc {
namespace {

std::string_view view(const grpc_slice& slice) {
  return {reinterpret_cast<const char*>(GRPC_SLICE_START_PTR(slice)), GRPC_SLICE_LENGTH(slice)};
}

std::string percent_decoded(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned byte = 0;
    if (text[i] == '%' && i + 2 < text.size()) {
      const char* digits = text.data() + i + 1;
      if (std::from_chars(digits, digits + 2, byte, 16).ptr == digits + 2) {
        out.push_back(static_cast<char>(byte));
        i += 2;
        continue;
      }
    }
    out.push_back(text[i]);
  }
  return out;
}

uint64_t timeout_ns_until(gpr_timespec deadline) {
  if (gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) == 0) return 0;
  const gpr_timespec left = gpr_time_sub(deadline, gpr_now(deadline.clock_type));
  if (left.tv_sec < 0 || (left.tv_sec == 0 && left.tv_nsec <= 0)) return 1;
  constexpr int64_t kSecondsMax = INT64_MAX / GPR_NS_PER_SEC - 1;
  if (left.tv_sec > kSecondsMax) return 0;
  return static_cast<uint64_t>(left.tv_sec) * GPR_NS_PER_SEC + static_cast<uint64_t>(left.tv_nsec);
}

std::string_view without_bearer(std::string_view token) {
  constexpr std::string_view kBearer = "Bearer ";
  if (token.starts_with(kBearer)) token.remove_prefix(kBearer.size());
  return token;
}

}  // namespace

std::string remote_of_peer(std::string_view peer_uri) {
  for (std::string_view scheme : {"ipv4:", "ipv6:"}) {
    if (!peer_uri.starts_with(scheme)) continue;
    peer_uri.remove_prefix(scheme.size());
    break;
  }
  if (peer_uri.find('%') == std::string_view::npos) return std::string(peer_uri);
  return percent_decoded(peer_uri);
}

Caller::Caller(grpc_call* call, const grpc_metadata_array& metadata, gpr_timespec deadline) {
  caller_.struct_size = sizeof(caller_);
  char* peer = grpc_call_get_peer(call);
  remote_ = remote_of_peer(peer);
  gpr_free(peer);
  caller_.remote = sdk::bytes(remote_);
  caller_.timeout_ns = timeout_ns_until(deadline);

  // Of a key that is sent more than once the first value counts, and `token` goes before
  // `authorization`.
  bool has_token = false;
  bool has_authorization = false;
  bool has_leader = false;
  bool has_version = false;
  for (size_t i = 0; i < metadata.count; ++i) {
    const std::string_view key = view(metadata.metadata[i].key);
    const std::string_view value = view(metadata.metadata[i].value);
    if (key == "token" && !has_token) {
      has_token = true;
      caller_.token = sdk::bytes(without_bearer(value));
    } else if (key == "authorization" && !has_authorization && !has_token) {
      has_authorization = true;
      caller_.token = sdk::bytes(without_bearer(value));
    } else if (key == "hasleader" && !has_leader) {
      has_leader = true;
      if (value == "true") caller_.flags |= MORTISE_CALLER_REQUIRE_LEADER;
    } else if (key == "client-api-version" && !has_version) {
      has_version = true;
      caller_.client_api_version = sdk::bytes(value);
    }
  }
}

}  // namespace mortise::transport_grpc
