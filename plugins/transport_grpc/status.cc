#include "plugins/transport_grpc/status.h"

#include <algorithm>
#include <array>

namespace mortise::transport_grpc {
namespace {

constexpr std::array<std::string_view, 17> kCodeTexts = {
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"};

bool is_plain(char c) { return c >= ' ' && c <= '~' && c != '%'; }

}  // namespace

std::string_view code_text(mortise_rpc_code code) {
  const bool known = code >= 0 && static_cast<size_t>(code) < kCodeTexts.size();
  return kCodeTexts[static_cast<size_t>(known ? code : kUnknown)];
}

std::string percent_encoded(std::string_view message) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  if (std::all_of(message.begin(), message.end(), is_plain)) return std::string(message);
  std::string out;
  out.reserve(message.size() * 2);
  for (const char c : message) {
    if (is_plain(c)) {
      out.push_back(c);
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out.append({'%', kDigits[byte >> 4], kDigits[byte & 15]});
  }
  return out;
}

Status refusal_of(mortise_status status) {
  if (status == MORTISE_E_STOPPED) return {kUnavailable, "etcdserver: server stopped"};
  return {kInternal, "the server could not take the call"};
}

Status too_large(uint64_t size, uint64_t max) {
  return {kResourceExhausted, "grpc: received message larger than max (" + std::to_string(size) +
                                  " vs. " + std::to_string(max) + ")"};
}

Status too_large_unpacked(uint64_t max) {
  return {kResourceExhausted,
          "grpc: received message after decompression larger than max " + std::to_string(max)};
}

Status deadline_exceeded() { return {kDeadlineExceeded, "context deadline exceeded"}; }

Status not_installed(std::string_view encoding) {
  return {kUnimplemented, "grpc: Decompressor is not installed for grpc-encoding \"" +
                              std::string(encoding) + "\""};
}

}  // namespace mortise::transport_grpc
