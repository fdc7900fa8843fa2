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

Player::Player(std::string name, const std::string& endpoint)
    : name_(std::move(name)),
      client_(endpoint),
      watch_stream_(client_.watch().Watch(&watch_context_)) {
  reader_ = std::thread([this] { read_watches(); });
}

Player::~Player() {
  watch_context_.TryCancel();
  reader_.join();
}

Answer Player::play(const Op& op) {
  Answer answer;
  etcdserverpb::WatchRequest watch;
  switch (op.kind) {
    case OpKind::kBarrier: return answer;
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
  std::string bytes;
  Answer answer;
  answer.status = client_.call_raw(entry.method, op.request->SerializeAsString(), &bytes);
  if (!answer.status.ok()) return answer;
  answer.response.reset(entry.response->New());
  if (!answer.response->ParseFromString(bytes)) {
    answer.status = grpc::Status(grpc::StatusCode::INTERNAL, "the answer is no message");
  }
  return answer;
}

Answer Player::play_keep_alive(const etcdserverpb::LeaseKeepAliveRequest& request) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + testing::kCallBound);
  auto stream = client_.lease().LeaseKeepAlive(&context);
  auto response = std::make_shared<etcdserverpb::LeaseKeepAliveResponse>();
  Answer answer;
  bool answered = stream->Write(request) && stream->Read(response.get());
  stream->WritesDone();
  etcdserverpb::LeaseKeepAliveResponse more;
  while (stream->Read(&more)) answered = false;
  answer.status = stream->Finish();
  if (answer.status.ok() && answered) answer.response = response;
  if (answer.status.ok() && !answered) {
    answer.status = grpc::Status(grpc::StatusCode::INTERNAL, "not one answer on the stream");
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
  watch_stream_->Write(request);
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
  while (watch_stream_->Read(&response)) {
    std::lock_guard lock(mutex_);
    record(response);
    changed_.notify_all();
  }
  grpc::Status status = watch_stream_->Finish();
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
