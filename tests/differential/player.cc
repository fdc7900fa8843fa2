#include "tests/differential/player.h"

#include <algorithm>

namespace mortise::differential {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Whether an id is there has to agree; which it is does not.
void blur_header(etcdserverpb::ResponseHeader* header) {
  if (header->cluster_id() != 0) header->set_cluster_id(1);
  if (header->member_id() != 0) header->set_member_id(1);
  if (header->raft_term() != 0) header->set_raft_term(1);
}

void blur_headers(Message* message) {
  if (auto* header = dynamic_cast<etcdserverpb::ResponseHeader*>(message))
    return blur_header(header);
  const auto* reflection = message->GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(*message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated()) {
      blur_headers(reflection->MutableMessage(message, field));
      continue;
    }
    for (int i = 0; i < reflection->FieldSize(*message, field); ++i) {
      blur_headers(reflection->MutableRepeatedMessage(message, field, i));
    }
  }
}

void normalise(Message* message) {
  blur_headers(message);
  if (auto* ttl = dynamic_cast<etcdserverpb::LeaseTimeToLiveResponse*>(message)) {
    if (ttl->ttl() > 0 && ttl->ttl() <= ttl->grantedttl()) ttl->set_ttl(ttl->grantedttl());
    std::sort(ttl->mutable_keys()->begin(), ttl->mutable_keys()->end());
  }
  if (auto* leases = dynamic_cast<etcdserverpb::LeaseLeasesResponse*>(message)) {
    std::sort(leases->mutable_leases()->begin(), leases->mutable_leases()->end(),
              [](const auto& a, const auto& b) { return a.id() < b.id(); });
  }
  if (auto* list = dynamic_cast<etcdserverpb::MemberListResponse*>(message)) {
    for (auto& member : *list->mutable_members()) {
      member.set_id(1);
      member.clear_peerurls();
      member.clear_clienturls();
    }
  }
}

std::string event_text(const mvccpb::Event& event) { return event.ShortDebugString(); }

}  // namespace

std::string Answer::text() const {
  if (!status.ok()) return testing::status_text(status);
  return "OK " + (response ? response->ShortDebugString() : "");
}

int64_t Answer::revision() const {
  if (!status.ok() || !response) return 0;
  const FieldDescriptor* field = response->GetDescriptor()->FindFieldByName("header");
  if (field == nullptr) return 0;
  const Message& header = response->GetReflection()->GetMessage(*response, field);
  return static_cast<const etcdserverpb::ResponseHeader&>(header).revision();
}

Player::Player(std::string name, std::unique_ptr<Wire> wire)
    : name_(std::move(name)), wire_(std::move(wire)) {
  reader_ = std::thread([this] { read_watches(); });
}

Player::~Player() {
  wire_->watch_cancel();
  reader_.join();
}

Answer Player::play(const Op& op) {
  Answer answer;
  etcdserverpb::WatchRequest watch;
  switch (op.kind) {
    case OpKind::kBarrier:
    case OpKind::kRestart:
    case OpKind::kKill: return answer;
    case OpKind::kRangeStream:
      answer = play_range_stream(op.as<etcdserverpb::RangeRequest>());
      break;
    case OpKind::kExpiry: answer = play_expiry(op.as<etcdserverpb::TxnRequest>()); break;
    case OpKind::kLeaseKeepAlive:
      answer = play_keep_alive(op.as<etcdserverpb::LeaseKeepAliveRequest>());
      break;
    case OpKind::kWatchCreate:
      *watch.mutable_create_request() = op.as<etcdserverpb::WatchCreateRequest>();
      answer = play_watch(watch);
      break;
    case OpKind::kWatchCancel:
      *watch.mutable_cancel_request() = op.as<etcdserverpb::WatchCancelRequest>();
      answer = play_watch(watch);
      break;
    default: answer = play_unary(op);
  }
  if (answer.response) normalise(answer.response.get());
  return answer;
}

Answer Player::play_unary(const Op& op) {
  const OpInfo& entry = info(op.kind);
  Answer answer;
  answer.response.reset(entry.response->New());
  answer.status = wire_->call(entry, *op.request, answer.response.get());
  if (!answer.status.ok()) answer.response.reset();
  return answer;
}

Answer Player::play_keep_alive(const etcdserverpb::LeaseKeepAliveRequest& request) {
  std::vector<etcdserverpb::LeaseKeepAliveResponse> answers;
  Answer answer;
  answer.status = wire_->keep_alive(request, &answers);
  if (answer.status.ok() && answers.size() != 1) {
    answer.status = grpc::Status(grpc::StatusCode::INTERNAL, "not one answer on the stream");
  }
  if (answer.status.ok()) {
    answer.response = std::make_shared<etcdserverpb::LeaseKeepAliveResponse>(answers[0]);
  }
  return answer;
}

Answer Player::play_range_stream(const etcdserverpb::RangeRequest& request) {
  Answer answer;
  auto response = std::make_shared<etcdserverpb::RangeResponse>();
  answer.status = wire_->range_stream(request, response.get());
  if (answer.status.ok()) answer.response = response;
  return answer;
}

grpc::Status Player::grant_second(int64_t lease) {
  etcdserverpb::LeaseGrantRequest request;
  request.set_id(lease);
  request.set_ttl(1);
  etcdserverpb::LeaseGrantResponse ignored;
  return wire_->call(info(OpKind::kLeaseGrant), request, &ignored);
}

grpc::Status Player::wait_until_gone(const std::string& key) {
  const auto deadline = std::chrono::steady_clock::now() + testing::kCallBound;
  etcdserverpb::RangeRequest request;
  request.set_key(key);
  etcdserverpb::RangeResponse response;
  while (std::chrono::steady_clock::now() < deadline) {
    grpc::Status status = wire_->call(info(OpKind::kRange), request, &response);
    if (!status.ok() || response.count() == 0) return status;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return {grpc::StatusCode::INTERNAL, "a lease of a second is still there"};
}

// On a machine that stands still the lease may end before the txn comes: then another is granted.
Answer Player::play_expiry(const etcdserverpb::TxnRequest& request) {
  const auto& first = request.success(0).request_put();
  const auto deadline = std::chrono::steady_clock::now() + testing::kCallBound;
  Answer answer;
  auto response = std::make_shared<etcdserverpb::TxnResponse>();
  std::chrono::steady_clock::time_point granted;
  do {
    granted = std::chrono::steady_clock::now();
    answer.status = grant_second(first.lease());
    if (answer.status.ok()) {
      answer.status = wire_->call(info(OpKind::kTxn), request, response.get());
    }
  } while ((answer.status.error_code() == grpc::StatusCode::NOT_FOUND ||
            answer.status.error_code() == grpc::StatusCode::FAILED_PRECONDITION) &&
           std::chrono::steady_clock::now() < deadline);
  if (answer.status.ok()) answer.status = wait_until_gone(first.key());
  if (!answer.status.ok()) return answer;
  answer.response = response;
  if (std::chrono::steady_clock::now() - granted < std::chrono::seconds(1)) {
    answer.status = grpc::Status(grpc::StatusCode::INTERNAL, "the lease ended early");
  }
  return answer;
}

// Creations and cancellations are sent one at a time, so the next control message answers.
Answer Player::play_watch(const etcdserverpb::WatchRequest& request) {
  Answer answer;
  std::unique_lock lock(mutex_);
  if (request.has_cancel_request() && !open_.contains(request.cancel_request().watch_id())) {
    return answer;  // Not there: no server answers that.
  }
  control_.clear();
  lock.unlock();
  wire_->watch_send(request);
  lock.lock();
  changed_.wait_for(lock, testing::kCallBound, [&] { return ended_ || !control_.empty(); });
  if (control_.empty()) {
    answer.status = grpc::Status(grpc::StatusCode::INTERNAL, "no answer on the watch stream");
    return answer;
  }
  answer.response = std::make_shared<etcdserverpb::WatchResponse>(control_.front());
  return answer;
}

void Player::read_watches() {
  etcdserverpb::WatchResponse response;
  while (wire_->watch_read(&response)) {
    std::lock_guard lock(mutex_);
    record(response);
    changed_.notify_all();
  }
  grpc::Status status = wire_->watch_status();
  std::lock_guard lock(mutex_);
  ended_ = true;
  if (status.error_code() != grpc::StatusCode::CANCELLED) {
    transcripts_[0].push_back("the stream ended: " + testing::status_text(status));
  }
  changed_.notify_all();
}

void Player::record(const etcdserverpb::WatchResponse& response) {
  int64_t id = response.watch_id();
  bool by_compaction = response.compact_revision() != 0;
  if (response.created()) last_revision_.try_emplace(id, 0);
  if (response.created() && !response.canceled()) open_.insert(id);
  if (!response.created() && response.canceled() && !by_compaction) open_.erase(id);
  if (response.created() || (response.canceled() && !by_compaction)) {
    if (response.canceled() && !response.created()) last_revision_.erase(id);
    control_.push_back(response);
    return;
  }
  auto& lines = transcripts_[id];
  if (by_compaction) {
    etcdserverpb::WatchResponse copy = response;
    normalise(&copy);
    lines.push_back("canceled: " + copy.ShortDebugString());
    last_revision_.erase(id);
    return;
  }
  if (response.events().empty()) return;
  // Events of one revision come in one response, unless it is in fragments.
  int64_t& last = last_revision_[id];
  if (response.events(0).kv().mod_revision() <= last)
    lines.push_back("a revision came again, or late");
  if (!response.fragment()) last = response.events().rbegin()->kv().mod_revision();
  for (const auto& event : response.events()) lines.push_back(event_text(event));
}

Player::Transcripts Player::transcripts() {
  std::lock_guard lock(mutex_);
  return transcripts_;
}

void Player::drop_transcripts() {
  std::lock_guard lock(mutex_);
  transcripts_.clear();
}

}  // namespace mortise::differential
