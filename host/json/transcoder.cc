#include "host/json/transcoder.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <cstring>

#include "host/json/descriptors.h"
#include "host/json/request.h"
#include "host/json/response.h"
#include "host/json/text.h"
#include "host/rpc/buffers.h"

namespace mortise::json {
namespace {

const Transcoder* g_transcoder = nullptr;

std::string_view view(mortise_bytes b) { return {reinterpret_cast<const char*>(b.data), b.size}; }

mortise_status answer(const Status& status, ByteBuffer&& made, mortise_buffer* out,
                      mortise_error* error) {
  if (status.ok()) {
    *out = rpc::to_buffer(std::move(made));
    return MORTISE_OK;
  }
  if (error != nullptr && error->struct_size >= sizeof(*error)) {
    const std::string_view text = cut_utf8(status.message(), MORTISE_ERROR_MESSAGE_MAX - 1);
    std::memcpy(error->message, text.data(), text.size());
    error->message[text.size()] = '\0';
  }
  return MORTISE_E_INVALID;
}

mortise_status request_from_json(const mortise_host*, uint32_t method, mortise_bytes json,
                                 mortise_buffer* out, mortise_error* error) {
  ByteBuffer made;
  const Status status = g_transcoder->request_from_json(method, view(json), &made);
  return answer(status, std::move(made), out, error);
}

mortise_status response_to_json(const mortise_host*, uint32_t method, mortise_bytes message,
                                mortise_buffer* out, mortise_error* error) {
  ByteBuffer made;
  const Status status = g_transcoder->response_to_json(method, view(message), &made);
  return answer(status, std::move(made), out, error);
}

}  // namespace

Transcoder::Transcoder(std::span<const mortise_method> methods) {
  for (const mortise_method& method : methods) {
    const auto* descriptor = find_method(method.grpc_path);
    methods_.push_back(
        {tables_.of(*descriptor->input_type()), tables_.of(*descriptor->output_type())});
  }
}

Status Transcoder::request_from_json(uint32_t method, std::string_view json,
                                     ByteBuffer* out) const {
  if (method >= methods_.size()) return invalid("no such method");
  return request_to_wire(*methods_[method].request, json, out);
}

Status Transcoder::response_to_json(uint32_t method, std::string_view message,
                                    ByteBuffer* out) const {
  if (method >= methods_.size()) return invalid("no such method");
  return wire_to_json(*methods_[method].response, message, out);
}

const mortise_host_json_v1* host_service(std::span<const mortise_method> methods) {
  static const Transcoder transcoder(methods);
  g_transcoder = &transcoder;
  static constexpr mortise_host_json_v1 kTable = {sizeof(mortise_host_json_v1), 0,
                                                  &request_from_json, &response_to_json};
  return &kTable;
}

}  // namespace mortise::json
