#include "host/tls/relay.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <deque>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "host/tls/link.h"

namespace mortise::tls {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kEventsAtOnce = 256;
// A handshake takes the time of a thousand messages, so those come first.
constexpr int kHandshakesAtOnce = 2;
// A client whose connection the user has closed gets so long to take the last bytes.
constexpr std::chrono::seconds kLingerTime{1};
constexpr std::chrono::milliseconds kStopTime{500};

std::string random_prefix() {
  uint64_t number = 0;
  if (::getrandom(&number, sizeof number, 0) != sizeof number) {
    number = static_cast<uint64_t>(Clock::now().time_since_epoch().count());
  }
  char text[32];
  std::snprintf(text, sizeof text, "%016llx-", static_cast<unsigned long long>(number));
  return std::string(kNamePrefix) + text;
}

// Names of plain ends, and who is behind them. Any thread.
class Names {
 public:
  std::string add(Relay::Caller caller) {
    std::unique_lock lock(mutex_);
    std::string name = prefix_ + std::to_string(++last_);
    callers_.emplace(name, std::move(caller));
    return name;
  }
  void remove(const std::string& name) {
    std::unique_lock lock(mutex_);
    callers_.erase(name);
  }
  std::optional<Relay::Caller> find(std::string_view name) const {
    std::shared_lock lock(mutex_);
    auto found = callers_.find(name);
    if (found == callers_.end()) return std::nullopt;
    return found->second;
  }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  const std::string prefix_ = random_prefix();
  mutable std::shared_mutex mutex_;
  uint64_t last_ = 0;  // Guarded by mutex_, as what follows.
  std::unordered_map<std::string, Relay::Caller, Hash, std::equal_to<>> callers_;
};

// A socket pair whose first end bears the name; the other one is for the user.
Status make_socket_pair(const std::string& name, int (&ends)[2]) {
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) {
    return errno_status(errno, "socketpair");
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  if (::bind(ends[0], reinterpret_cast<sockaddr*>(&address), size) == 0) return Status();
  Status status = errno_status(errno, "bind " + name);
  ::close(ends[0]);
  ::close(ends[1]);
  return status;
}

// One thread and its connections.
class Loop {
 public:
  Loop(Names* names, const std::string& thread_name, std::chrono::milliseconds handshake_limit)
      : names_(names), handshake_limit_(handshake_limit) {
    epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    wake_ = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    MORTISE_CHECK(epoll_ >= 0 && wake_ >= 0, std::strerror(errno));
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = nullptr;
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event);
    thread_ = std::thread([this, thread_name] {
      pthread_setname_np(pthread_self(), thread_name.c_str());
      run();
    });
  }
  ~Loop() {
    stop();
    ::close(epoll_);
    ::close(wake_);
  }

  void set_on_refused(const Relay::Refused& refused) { on_refused_ = refused; }

  void begin(std::unique_ptr<Session> session, std::string remote, Relay::Done done) {
    auto* start = new Start{std::move(session), std::move(remote), std::move(done)};
    std::lock_guard lock(mutex_);
    starts_.emplace_back(start);
    wake();
  }
  void stop() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
      wake();
    }
    if (thread_.joinable()) thread_.join();
  }

 private:
  struct Start {
    std::unique_ptr<Session> session;
    std::string remote;
    Relay::Done done;
  };
  struct Entry {
    std::unique_ptr<Link> link;
    std::string remote;
    std::string name;
    bool waits_for_room = false;  // On the plain end.
  };
  struct Deadline {
    Clock::time_point at;
    uint64_t id;
    Link::State state;  // In which it must not be any more.
  };

  void wake() {
    const uint64_t one = 1;
    (void)!::write(wake_, &one, sizeof one);
  }

  void run() {
    epoll_event events[kEventsAtOnce];
    while (!is_over()) {
      const int count = ::epoll_wait(epoll_, events, kEventsAtOnce, timeout_ms());
      for (int i = 0; i < count; ++i) take(events[i]);
      std::vector<uint64_t> again;
      again.swap(again_);
      for (const uint64_t id : again) touched_.push_back(id);
      std::vector<uint64_t> touched;
      touched.swap(touched_);
      for (const uint64_t id : touched) {
        shakes_hands(id) ? shaking_.push_back(id) : go_on(id);
      }
      for (int i = 0; i < kHandshakesAtOnce && !shaking_.empty(); ++i) {
        const uint64_t id = shaking_.front();
        shaking_.pop_front();
        go_on(id);
      }
      check_deadlines(&handshakes_);
      check_deadlines(&lingering_);
    }
    while (!entries_.empty()) remove(entries_.begin()->first);
  }

  void take(const epoll_event& event) {
    if (event.data.ptr == nullptr) return take_starts();
    auto* end = static_cast<Link::End*>(event.data.ptr);
    end->link->on_event(end->is_tls, event.events);
    if (touched_.empty() || touched_.back() != end->link->id()) touched_.push_back(end->link->id());
  }

  void take_starts() {
    uint64_t count;
    (void)!::read(wake_, &count, sizeof count);
    std::vector<std::unique_ptr<Start>> starts;
    {
      std::lock_guard lock(mutex_);
      starts.swap(starts_);
      if (stopping_ && !stop_at_) stop_at_ = Clock::now() + kStopTime;
    }
    for (auto& start : starts) add(std::move(*start));
    if (!stop_at_) return;
    for (auto& [id, entry] : entries_) {
      entry.link->close_soon();
      touched_.push_back(id);
    }
  }

  void add(Start start) {
    const uint64_t id = ++last_id_;
    Entry entry;
    entry.link = std::make_unique<Link>(id, std::move(start.session), std::move(start.done));
    entry.remote = std::move(start.remote);
    watch(EPOLL_CTL_ADD, entry.link->session()->fd(), entry.link->tls_end(), true);
    entries_.emplace(id, std::move(entry));
    handshakes_.push_back({Clock::now() + handshake_limit_, id, Link::State::kHandshake});
    touched_.push_back(id);
  }

  void watch(int operation, int fd, Link::End* end, bool room) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLRDHUP | EPOLLET;
    if (room) event.events |= EPOLLOUT;
    event.data.ptr = end;
    MORTISE_CHECK(::epoll_ctl(epoll_, operation, fd, &event) == 0, std::strerror(errno));
  }

  bool shakes_hands(uint64_t id) {
    auto found = entries_.find(id);
    return found != entries_.end() && found->second.link->state() == Link::State::kHandshake;
  }

  void go_on(uint64_t id) {
    auto found = entries_.find(id);
    if (found == entries_.end()) return;
    Link* link = found->second.link.get();
    const Link::State before = link->state();
    if (link->run()) again_.push_back(id);
    watch_for_room(&found->second);
    if (before == Link::State::kHandshake) {
      if (link->is_handshake_done()) {
        open(&found->second);
      } else if (link->state() == Link::State::kHandshake && stop_at_) {
        link->fail("the server stops");
      } else if (link->state() != Link::State::kHandshake) {
        report_failure(link);
      }
    }
    if (link->state() == Link::State::kLinger && before != Link::State::kLinger) {
      lingering_.push_back({Clock::now() + kLingerTime, id, Link::State::kLinger});
    }
    if (link->state() == Link::State::kEnded) remove(id);
  }

  // The plain end has an event of this kind whenever the user reads, so it is asked for only while
  // there is something to write.
  void watch_for_room(Entry* entry) {
    Link* link = entry->link.get();
    if (link->plain() < 0 || link->has_backlog() == entry->waits_for_room) return;
    entry->waits_for_room = link->has_backlog();
    watch(EPOLL_CTL_MOD, link->plain(), link->plain_end(), entry->waits_for_room);
  }

  void open(Entry* entry) {
    Link* link = entry->link.get();
    Outcome outcome;
    outcome.identity = link->session()->identity();
    const Identity& who = outcome.identity;
    entry->name = names_->add({entry->remote, who.is_verified ? who.common_name : ""});
    int ends[2];
    if (Status status = make_socket_pair(entry->name, ends); !status.ok()) {
      return link->fail(status.message());
    }
    link->open(ends[0]);
    watch(EPOLL_CTL_ADD, ends[0], link->plain_end(), false);
    outcome.fd = ends[1];
    link->take_done()(std::move(outcome));
    again_.push_back(link->id());  // What came with the handshake's last bytes.
  }

  // Unless it has succeeded, or that has been done.
  void report_failure(Link* link) {
    auto done = link->take_done();
    if (!done || stop_at_) return;
    Outcome outcome;
    outcome.error = link->error();
    outcome.is_plain_end = link->session()->is_plain_end();
    outcome.identity = link->session()->identity();
    done(std::move(outcome));
  }

  void remove(uint64_t id) {
    auto found = entries_.find(id);
    Entry entry = std::move(found->second);
    entries_.erase(found);
    report_failure(entry.link.get());
    if (entry.link->was_refused() && entry.link->session()->is_client() && on_refused_) {
      on_refused_(entry.remote, entry.link->error());
    }
    if (!entry.name.empty()) names_->remove(entry.name);
  }

  void check_deadlines(std::deque<Deadline>* deadlines) {
    const Clock::time_point now = Clock::now();
    while (!deadlines->empty() && deadlines->front().at <= now) {
      const Deadline deadline = deadlines->front();
      deadlines->pop_front();
      auto found = entries_.find(deadline.id);
      if (found == entries_.end() || found->second.link->state() != deadline.state) continue;
      if (deadline.state == Link::State::kHandshake) found->second.link->fail("i/o timeout");
      remove(deadline.id);
    }
  }

  int timeout_ms() const {
    if (!again_.empty() || !touched_.empty() || !shaking_.empty()) return 0;
    std::optional<Clock::time_point> next = stop_at_;
    for (const auto* deadlines : {&handshakes_, &lingering_}) {
      if (!deadlines->empty() && (!next || deadlines->front().at < *next)) {
        next = deadlines->front().at;
      }
    }
    if (!next) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*next - Clock::now()).count();
    return static_cast<int>(std::max<int64_t>(left, 0));
  }
  bool is_over() const { return stop_at_ && (entries_.empty() || Clock::now() >= *stop_at_); }

  Names* const names_;
  const std::chrono::milliseconds handshake_limit_;
  Relay::Refused on_refused_;
  int epoll_ = -1;
  int wake_ = -1;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Start>> starts_;  // Guarded by mutex_.
  bool stopping_ = false;                       // Guarded by mutex_.
  // The rest is the thread's.
  std::unordered_map<uint64_t, Entry> entries_;
  std::vector<uint64_t> touched_;
  std::vector<uint64_t> again_;
  std::deque<uint64_t> shaking_;
  std::deque<Deadline> handshakes_;
  std::deque<Deadline> lingering_;
  std::optional<Clock::time_point> stop_at_;
  uint64_t last_id_ = 0;
  std::thread thread_;
};

}  // namespace

struct Relay::Impl {
  Names names;
  std::vector<std::unique_ptr<Loop>> loops;
  std::atomic<size_t> next{0};

  void begin(std::unique_ptr<Session> session, std::string remote, Done done) {
    loops[next++ % loops.size()]->begin(std::move(session), std::move(remote), std::move(done));
  }
};

Relay::Relay(std::string thread_name, size_t threads, std::chrono::milliseconds handshake_limit)
    : impl_(std::make_unique<Impl>()) {
  for (size_t i = 0; i < threads; ++i) {
    impl_->loops.push_back(std::make_unique<Loop>(&impl_->names, thread_name, handshake_limit));
  }
}

Relay::~Relay() { stop(); }

void Relay::accept(int fd, std::shared_ptr<Context> context, std::string remote, Done done) {
  auto session = std::make_unique<Session>(context->current(), fd, true, "");
  impl_->begin(std::move(session), std::move(remote), std::move(done));
}

void Relay::connect(int fd, std::shared_ptr<Context> context, std::string server_name, Done done) {
  auto session = std::make_unique<Session>(context->current(), fd, false, server_name);
  impl_->begin(std::move(session), std::move(server_name), std::move(done));
}

void Relay::set_on_refused(Refused refused) {
  for (auto& loop : impl_->loops) loop->set_on_refused(refused);
}

std::optional<Relay::Caller> Relay::find(std::string_view name) const {
  return impl_->names.find(name);
}

void Relay::stop() {
  for (auto& loop : impl_->loops) loop->stop();
}

}  // namespace mortise::tls
