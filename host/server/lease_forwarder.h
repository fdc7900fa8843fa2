// Brings what clients of this member want of a lease to the member that leads, over its peer port.
//
// As in etcd a question is asked again, of whoever leads then, until it is answered or the time of
// a request is over; then the client hears that there was no leader, or that the time is over. A
// question that a leader does not answer in time is asked anew after attempt_limit, since another
// one may lead by then; that is safe, as a renewal may happen twice.
//
// Any thread may ask; answers come on the forwarder's thread, that of the HTTP client or the
// caller's, and must not block. After stop() all that waits and comes is answered with kStopped,
// and the HTTP client may go, which ends what is open. At most kCallsMax questions are open at a
// time; others wait for their turn.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

#include "host/api/lease_work.h"
#include "host/peer/http_client.h"

namespace mortise::server {

struct LeaseForwarderOptions {
  uint64_t local_id = 0;
  std::chrono::milliseconds time_limit{7000};
  std::chrono::milliseconds attempt_limit{2000};
  std::chrono::milliseconds pause{50};
  std::function<uint64_t()> leader;
  std::function<std::vector<std::string>(uint64_t member_id)> peer_urls;
  std::function<void(peer::HttpCall, peer::HttpClient::Done)> call;
  // For when this member turns out to lead.
  std::function<void(int64_t lease, api::RenewalDone)> renew_here;
  std::function<RpcStatus(int64_t lease, bool with_keys, std::string* body)> time_to_live_here;
};

class LeaseForwarder {
 public:
  static constexpr size_t kCallsMax = 64;

  explicit LeaseForwarder(LeaseForwarderOptions options);
  ~LeaseForwarder();

  void renew(int64_t lease, api::RenewalDone done);
  using TimeToLiveDone = std::function<void(const RpcStatus&, const std::string& body)>;
  void time_to_live(int64_t lease, bool with_keys, TimeToLiveDone done);
  void stop();

 private:
  using Clock = std::chrono::steady_clock;
  struct Question {
    int64_t lease = 0;
    bool is_renewal = false;
    bool with_keys = false;
    Clock::time_point deadline;
    std::vector<std::string> urls;  // Of the leader, those that were not asked yet.
    api::RenewalDone renewed;
    TimeToLiveDone told;
  };
  using QuestionRef = std::shared_ptr<Question>;

  void start(QuestionRef question);
  // Asks whoever leads, or later.
  void attempt(const QuestionRef& question);
  void attempt_here(const QuestionRef& question);
  void send(const QuestionRef& question);
  void sent(const QuestionRef& question, const Result<peer::HttpResponse>& answer);
  // True if it was an answer.
  bool take_answer(Question& question, const Result<peer::HttpResponse>& answer);
  void later(const QuestionRef& question);
  static void finish(Question& question, const RpcStatus& status, int64_t ttl,
                     const std::string& body);
  void run();

  const LeaseForwarderOptions options_;
  std::mutex mutex_;  // Guards what follows.
  std::condition_variable wake_;
  std::deque<QuestionRef> waiting_;  // For a call to end.
  size_t calls_ = 0;
  size_t sending_ = 0;  // Calls that are being begun; stop() waits for them.
  std::multimap<Clock::time_point, QuestionRef> later_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace mortise::server
