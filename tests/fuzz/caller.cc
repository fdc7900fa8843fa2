#include "tests/fuzz/caller.h"

#include <grpcpp/generic/generic_stub.h>

namespace mortise::fuzz {
namespace {

// Starts one operation and waits for its end.
template <typename Start>
bool step(grpc::CompletionQueue& queue, Start&& start) {
  start();
  void* tag = nullptr;
  bool ok = false;
  return queue.Next(&tag, &ok) && ok;
}

}  // namespace

std::string call_text(const Call& call) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out = call.method->path;
  for (const std::string& message : call.messages) {
    out += " ";
    for (unsigned char c : message.substr(0, 2000)) {
      out.push_back(kDigits[c >> 4]);
      out.push_back(kDigits[c & 15]);
    }
    if (message.size() > 2000) out += "... of " + std::to_string(message.size()) + " bytes";
  }
  return out;
}

grpc::Status perform(const std::shared_ptr<grpc::Channel>& channel, const Call& call) {
  grpc::ClientContext context;
  auto bound = call.method->may_wait ? call.patience : testing::kCallBound;
  context.set_deadline(std::chrono::system_clock::now() + bound);
  grpc::GenericStub stub(channel);
  grpc::CompletionQueue queue;
  auto stream = stub.PrepareCall(&context, call.method->path, &queue);
  bool open = step(queue, [&] { stream->StartCall(&queue); });
  for (size_t i = 0; open && i < call.messages.size(); ++i) {
    grpc::Slice slice(call.messages[i]);
    grpc::ByteBuffer message(&slice, 1);
    open = step(queue, [&] { stream->Write(message, &queue); });
  }
  if (open) step(queue, [&] { stream->WritesDone(&queue); });
  grpc::ByteBuffer answer;
  while (step(queue, [&] { stream->Read(&answer, &queue); })) {
  }
  grpc::Status status;
  step(queue, [&] { stream->Finish(&status, &queue); });
  queue.Shutdown();
  return status;
}

}  // namespace mortise::fuzz
