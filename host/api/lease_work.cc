#include "host/api/lease_work.h"

#include "host/mvcc/view.h"
#include "proto/rpc.pb.h"

namespace mortise::api {
namespace {

// A renewal that may have to wait: for the end of an expired lease, or for the log to forget a
// checkpoint.
class Renewing : public std::enable_shared_from_this<Renewing> {
 public:
  Renewing(const Context& context, int64_t id, RenewalDone done)
      : context_(context), id_(id), done_(std::move(done)) {}

  void run() {
    using Renewal = lease::Lessor::Renewal;
    int64_t ttl = 0;
    switch (context_.lessor->renew(id_, &ttl, [self = shared_from_this()] { self->run(); })) {
      case Renewal::kRenewed: return done_(RpcStatus(), ttl);
      case Renewal::kUnknown: return done_(rpc_errors::kLeaseNotFound, 0);
      case Renewal::kNotPrimary: return done_(kNotPrimary, 0);
      case Renewal::kExpired: return;
      case Renewal::kCheckpointed: return forget_checkpoint();
    }
  }

 private:
  // Otherwise a restart would give the lease the time of the checkpoint, less than its client was
  // told.
  void forget_checkpoint() {
    class Forgotten : public apply::Waiter {
     public:
      explicit Forgotten(std::shared_ptr<Renewing> renewing) : renewing_(std::move(renewing)) {}
      void complete(apply::ApplyResult result) override {
        if (!result.rpc.ok()) return renewing_->done_(result.rpc, 0);
        renewing_->run();
      }

     private:
      std::shared_ptr<Renewing> renewing_;
    };
    context_.node->propose(wire::kRaftLeaseCheckpoint, lease::encode_checkpoints({{id_, 0, 0}}), {},
                           std::make_unique<Forgotten>(shared_from_this()));
  }

  const Context& context_;
  const int64_t id_;
  const RenewalDone done_;
};

}  // namespace

void renew_here(const Context& context, int64_t id, RenewalDone done) {
  std::make_shared<Renewing>(context, id, std::move(done))->run();
}

namespace {

// A lease that is not there may be about to be.
void renew_as_leader(const Context& context, int64_t id, RenewalDone done) {
  auto renew = [&context, id, done](const RpcStatus& caught_up) {
    if (!caught_up.ok()) return done(caught_up, 0);
    renew_here(context, id, [&context, id, done](const RpcStatus& status, int64_t ttl) {
      if (status.message() != kNotPrimary.message) return done(status, ttl);
      context.node->renew_at_leader(id, done);
    });
  };
  if (context.fast_keep_alive && context.lessor->exists(id)) return renew(RpcStatus());
  context.node->when_caught_up(std::move(renew));
}

}  // namespace

void renew_lease(const Context& context, int64_t id, RenewalDone done) {
  Node* node = context.node;
  if (node->leader() != context.cluster->local_id()) {
    return node->renew_at_leader(id, std::move(done));
  }
  if (node->keeps_time()) return renew_as_leader(context, id, std::move(done));
  // Others may have elected another leader meanwhile, and its leases run on.
  node->when_linearizable([&context, id, done = std::move(done)](const RpcStatus& status) {
    bool leads = context.node->leader() == context.cluster->local_id();
    if (!status.ok() || !leads) return done(kNotPrimary, 0);
    renew_as_leader(context, id, done);
  });
}

RpcStatus time_to_live_here(const Context& context, int64_t id, bool with_keys, std::string* body) {
  auto info = context.lessor->info(id);
  if (!info) return rpc_errors::kLeaseNotFound;
  etcdserverpb::LeaseTimeToLiveResponse response;
  response.set_id(id);
  response.set_ttl(info->remaining_ttl);
  response.set_grantedttl(info->granted_ttl);
  if (with_keys) {
    auto add = [&](std::string_view key) { response.add_keys(key.data(), key.size()); };
    auto reader = context.store->reader();
    Status status = reader.ok() ? lease::attached_keys(*reader, id, add) : reader.status();
    if (!status.ok()) return RpcStatus(RpcCode::kUnknown, "etcdserver: " + status.message());
  }
  auto still = context.lessor->info(id);
  if (!info->is_primary || (still && !still->is_primary)) return rpc_errors::kLeaderChanged;
  *body = response.SerializeAsString();
  return RpcStatus();
}

namespace {

constexpr std::string_view kNotFoundText = "lease not found";

bool refuse(const peer::HttpRequest& request, const RespondToPeer& respond) {
  if (request.method != "POST") {
    respond(peer::text_response(405, "Method Not Allowed"));
  } else if (request.body.size() > kLeaseRequestBytesMax) {
    respond(peer::text_response(413, "request body too large"));
  } else {
    return false;
  }
  return true;
}

peer::HttpResponse protobuf(std::string body) {
  peer::HttpResponse response;
  response.headers = {{"Content-Type", "application/protobuf"}};
  response.body = std::move(body);
  return response;
}

// Renewed or asked about at a member that has caught up with what is committed.
void when_caught_up(const Context& context, const RespondToPeer& respond,
                    std::function<void()> next) {
  context.node->when_caught_up([respond, next = std::move(next)](const RpcStatus& status) {
    if (status.ok()) return next();
    respond(
        peer::text_response(408, "waiting for node to catch up its applied index has timed out"));
  });
}

}  // namespace

void answer_leases(const Context& context, const peer::HttpRequest& request,
                   RespondToPeer respond) {
  if (refuse(request, respond)) return;
  etcdserverpb::LeaseKeepAliveRequest renewal;
  if (!renewal.ParseFromString(request.body)) {
    return respond(peer::text_response(400, "error unmarshalling request"));
  }
  when_caught_up(context, respond, [&context, respond, id = renewal.id()] {
    renew_here(context, id, [respond, id](const RpcStatus& status, int64_t ttl) {
      if (status.ok()) {
        etcdserverpb::LeaseKeepAliveResponse response;
        response.set_id(id);
        response.set_ttl(ttl);
        return respond(protobuf(response.SerializeAsString()));
      }
      bool unknown = status.message() == rpc_errors::kLeaseNotFound.message;
      respond(unknown ? peer::text_response(404, kNotFoundText)
                      : peer::text_response(400, status.message()));
    });
  });
}

void answer_leases_internal(const Context& context, const peer::HttpRequest& request,
                            RespondToPeer respond) {
  if (refuse(request, respond)) return;
  // leasepb.LeaseInternalRequest
  etcdserverpb::LeaseTimeToLiveRequest asked;
  wire::FieldReader reader(request.body);
  wire::Field field;
  bool readable = true;
  while (reader.next(&field)) {
    if (!field.is_bytes(1)) continue;
    readable = asked.ParseFromArray(field.bytes.data(), static_cast<int>(field.bytes.size()));
  }
  if (!readable || reader.failed()) {
    return respond(peer::text_response(400, "error unmarshalling request"));
  }
  when_caught_up(context, respond, [&context, respond, asked] {
    std::string body;
    RpcStatus status = time_to_live_here(context, asked.id(), asked.keys(), &body);
    if (!status.ok()) {
      bool unknown = status.message() == rpc_errors::kLeaseNotFound.message;
      return respond(unknown ? peer::text_response(404, kNotFoundText)
                             : peer::text_response(500, kNotPrimary.message));
    }
    std::string message;
    wire::append_bytes_field(&message, 1, body);
    respond(protobuf(std::move(message)));
  });
}

std::string renewal_request(int64_t id) {
  std::string out;
  wire::append_varint_field(&out, 1, static_cast<uint64_t>(id));
  return out;
}

bool read_renewal(std::string_view bytes, int64_t id, int64_t* ttl) {
  etcdserverpb::LeaseKeepAliveResponse response;
  if (!response.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return false;
  *ttl = response.ttl();
  return response.id() == id;
}

std::string time_to_live_request(int64_t id, bool with_keys) {
  etcdserverpb::LeaseTimeToLiveRequest request;
  request.set_id(id);
  request.set_keys(with_keys);
  std::string out;
  wire::append_bytes_field(&out, 1, request.SerializeAsString());
  return out;
}

bool read_time_to_live(std::string_view bytes, int64_t id, std::string* body) {
  wire::FieldReader reader(bytes);
  wire::Field field;
  etcdserverpb::LeaseTimeToLiveResponse response;
  while (reader.next(&field)) {
    if (!field.is_bytes(1)) continue;
    if (!response.ParseFromArray(field.bytes.data(), static_cast<int>(field.bytes.size()))) {
      return false;
    }
  }
  if (reader.failed() || response.id() != id) return false;
  response.clear_header();
  *body = response.SerializeAsString();
  return true;
}

}  // namespace mortise::api
