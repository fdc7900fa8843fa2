// Runs testdata/*.txt: commands against members of a cluster, each with its full output. A case is
// a line with a command, a line `----`, and the output up to an empty line. With --rewrite (or
// MORTISE_REWRITE=1) the files are written anew with the outputs as they are; the difference is
// then to be read. Lines with # are comments.
#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>

#include "host/raft/test_env.h"

namespace mortise::raft::testing {
namespace {

bool rewrite = false;

class Scenario {
 public:
  std::string run(const std::string& line) {
    std::istringstream in(line);
    std::string name;
    in >> name;
    args_.clear();
    options_.clear();
    for (std::string word; in >> word;) {
      const size_t equals = word.find('=');
      if (equals == std::string::npos) {
        args_.push_back(word);
      } else {
        options_[word.substr(0, equals)] = word.substr(equals + 1);
      }
    }
    const auto command = commands().find(name);
    if (command == commands().end()) return "unknown command " + name + "\n";
    const std::string out = (this->*command->second)();
    return out.empty() ? "ok\n" : out;
  }

 private:
  using Command = std::string (Scenario::*)();
  static const std::map<std::string, Command>& commands() {
    static const std::map<std::string, Command> kCommands = {
        {"new", &Scenario::new_member},
        {"campaign", &Scenario::campaign},
        {"tick", &Scenario::tick},
        {"propose", &Scenario::propose},
        {"membership", &Scenario::membership},
        {"read", &Scenario::read},
        {"transfer", &Scenario::transfer},
        {"unreachable", &Scenario::unreachable},
        {"snapshot-status", &Scenario::snapshot_status},
        {"ready", &Scenario::ready},
        {"persist", &Scenario::persist},
        {"apply", &Scenario::apply},
        {"crash", &Scenario::crash},
        {"restart", &Scenario::restart},
        {"compact", &Scenario::compact},
        {"state", &Scenario::state},
        {"network", &Scenario::network},
        {"deliver", &Scenario::deliver},
        {"drop", &Scenario::drop},
        {"cut", &Scenario::cut},
        {"heal", &Scenario::heal},
        {"step", &Scenario::step},
        {"stabilize", &Scenario::stabilize},
    };
    return kCommands;
  }

  static uint64_t number(const std::string& text) {
    uint64_t out = 0;
    const auto result = std::from_chars(text.data(), text.data() + text.size(), out);
    EXPECT_TRUE(result.ec == std::errc() && result.ptr == text.data() + text.size()) << text;
    return out;
  }
  uint64_t arg(size_t i) const { return i < args_.size() ? number(args_[i]) : 0; }
  NodeId id() const { return arg(0); }
  uint64_t option(const std::string& name, uint64_t fallback) const {
    const auto at = options_.find(name);
    return at == options_.end() ? fallback : number(at->second);
  }
  std::vector<uint64_t> list(const std::string& name) const {
    std::vector<uint64_t> out;
    const auto at = options_.find(name);
    if (at == options_.end()) return out;
    std::istringstream in(at->second);
    for (std::string item; std::getline(in, item, ',');) out.push_back(number(item));
    return out;
  }
  static std::string text(const Status& status) {
    return status.ok() ? std::string() : "error: " + status.message() + "\n";
  }

  // new ID [voters=1,2] [learners=..] [outgoing=..] [bootstrap=1,2] [log=TERM,TERM..] [term=]
  // [vote=] [commit=] [applied=] [pre_vote=0|1] [check_quorum=0|1] and limits
  std::string new_member() {
    Env::Options o;
    o.config.id = id();
    o.config.applied = option("applied", 0);
    o.config.pre_vote = option("pre_vote", 1) != 0;
    o.config.check_quorum = option("check_quorum", 1) != 0;
    o.config.uncommitted_bytes_max = option("uncommitted_bytes_max", kNoLimit);
    o.config.unapplied_bytes_max = option("unapplied_bytes_max", 1 << 20);
    o.config.message_entries_bytes_max = option("message_entries_bytes_max", 1 << 20);
    o.config.inflight_messages_max = static_cast<uint32_t>(option("inflight_messages_max", 512));
    o.config.pending_reads_max = static_cast<uint32_t>(option("pending_reads_max", 100));
    o.conf.voters = list("voters");
    o.conf.learners = list("learners");
    o.conf.voters_outgoing = list("outgoing");
    o.bootstrap = list("bootstrap");
    o.log_terms = list("log");
    o.hard = {option("term", 0), option("vote", 0), option("commit", 0)};
    o.seed = option("seed", id());
    o.early_view = option("early_view", 0) != 0;
    return text(env_.add(o));
  }
  std::string campaign() { return text(env_.core(id()).campaign()); }
  std::string tick() {
    for (uint64_t n = option("n", 1); n > 0; --n) env_.core(id()).tick();
    return {};
  }
  std::string propose() {
    std::vector<std::string> batch(args_.begin() + 1, args_.end());
    return text(env_.core(id()).propose(batch));
  }
  // membership ID [v2=1] [transition=auto|implicit|explicit] v2 r3 l4
  std::string membership() {
    MembershipChange change;
    change.v2 = option("v2", 0) != 0;
    change.transition = static_cast<Transition>(option("transition", 0));
    for (size_t i = 1; i < args_.size(); ++i) {
      const char kind = args_[i][0];
      const ChangeType type = kind == 'v'   ? ChangeType::kAddNode
                              : kind == 'r' ? ChangeType::kRemoveNode
                              : kind == 'l' ? ChangeType::kAddLearner
                                            : ChangeType::kUpdateNode;
      change.changes.push_back({type, number(args_[i].substr(1))});
    }
    return text(env_.core(id()).propose_membership(change));
  }
  std::string read() { return text(env_.core(id()).read_index(arg(1))); }
  std::string transfer() { return text(env_.core(id()).transfer_leadership(arg(1))); }
  std::string unreachable() {
    env_.core(id()).report_unreachable(arg(1));
    return {};
  }
  std::string snapshot_status() {
    env_.core(id()).report_snapshot(arg(1), option("sent", 1) != 0);
    return {};
  }
  std::string ready() {
    const std::optional<Ready> ready = env_.take_ready(id());
    return ready ? describe(*ready) : "nothing\n";
  }
  std::string persist() {
    const uint64_t n = env_.persist(id(), option("n", 1000));
    return n == 0 ? "nothing\n" : "persisted " + std::to_string(n) + "\n";
  }
  std::string apply() {
    return "applied " + std::to_string(env_.apply(id(), option("n", 1000))) + "\n" +
           text(env_.apply_error());
  }
  std::string crash() {
    env_.crash(id(), option("applied", env_.core(id()).basic().applied));
    return {};
  }
  std::string restart() { return text(env_.restart(id())); }
  std::string compact() {
    env_.compact(id(), arg(1));
    return {};
  }
  std::string state() { return describe(env_.core(id()).inspect()); }
  std::string network() {
    std::string out;
    for (const Message& m : env_.network()) out += describe(m) + "\n";
    return out.empty() ? "empty\n" : out;
  }
  // deliver|drop [TO] [from=ID] : all messages that fit, in order
  std::string take(const std::function<std::string(const Message&)>& use) {
    std::string out;
    std::deque<Message> keep;
    std::deque<Message> now;
    now.swap(env_.network());
    for (Message& m : now) {
      const bool fits = (args_.empty() || m.to == id()) && option("from", m.from) == m.from;
      if (fits) {
        out += describe(m) + "\n" + use(m);
      } else {
        keep.push_back(std::move(m));
      }
    }
    for (Message& m : env_.network()) keep.push_back(std::move(m));
    env_.network() = std::move(keep);
    return out.empty() ? "nothing\n" : out;
  }
  std::string deliver() {
    return take([this](const Message& m) { return text(env_.deliver(m)); });
  }
  std::string drop() {
    return take([](const Message&) { return std::string(); });
  }
  std::string cut() {
    env_.cut(id(), true);
    return {};
  }
  std::string heal() {
    env_.cut(id(), false);
    return {};
  }
  // step TO type=NUMBER from=ID [term=] [log_term=] [index=] [commit=] [entries=TERM,TERM..]
  std::string step() {
    Message m;
    m.to = id();
    m.from = option("from", 0);
    m.type = static_cast<MessageType>(option("type", 0));
    m.term = option("term", 0);
    m.log_term = option("log_term", 0);
    m.index = option("index", 0);
    m.commit = option("commit", 0);
    m.reject = option("reject", 0) != 0;
    m.reject_hint = option("hint", 0);
    uint64_t index = m.index + option("gap", 0);
    for (const uint64_t term : list("entries")) {
      m.entries.push_back(
          std::make_shared<const Entry>(Entry{term, ++index, EntryType::kNormal, "x"}));
    }
    return text(env_.core(id()).step(std::move(m)));
  }
  // Does all that there is to do, in a fixed order, until nothing is left.
  std::string stabilize() {
    std::string out;
    for (bool busy = true; busy;) {
      busy = false;
      for (const NodeId member : env_.ids()) {
        if (!env_.alive(member)) continue;
        const std::string name = "member " + std::to_string(member) + " ";
        while (const std::optional<Ready> ready = env_.take_ready(member)) {
          busy = true;
          out += name + describe(*ready);
          env_.persist(member, 1000);
          env_.apply(member, 1000);
        }
      }
      std::deque<Message> now;
      now.swap(env_.network());
      for (const Message& m : now) {
        busy = true;
        if (!env_.alive(m.to) || env_.is_cut(m.to) || env_.is_cut(m.from)) continue;
        out += text(env_.deliver(m));
      }
    }
    return out + text(env_.apply_error());
  }

  Env env_;
  std::vector<std::string> args_;
  std::map<std::string, std::string> options_;
};

std::string run_file(const std::string& input) {
  Scenario scenario;
  std::istringstream in(input);
  std::string out;
  bool skip_expected = false;
  for (std::string line; std::getline(in, line);) {
    if (skip_expected) {
      if (line.empty()) skip_expected = false;
      continue;
    }
    if (line.empty()) {
      if (out.size() > 1 && out.substr(out.size() - 2) != "\n\n") out += "\n";
      continue;
    }
    if (line[0] == '#') {
      out += line + "\n";
      continue;
    }
    if (line == "----") {
      skip_expected = true;
      continue;
    }
    out += line + "\n----\n" + scenario.run(line) + "\n";
  }
  while (out.size() > 1 && out.substr(out.size() - 2) == "\n\n") out.pop_back();
  return out;
}

std::vector<std::string> scenario_files() {
  std::vector<std::string> out;
  for (const auto& item : std::filesystem::directory_iterator("testdata")) {
    if (item.path().extension() == ".txt") out.push_back(item.path().stem().string());
  }
  std::sort(out.begin(), out.end());
  return out;
}

class ScenarioTest : public ::testing::TestWithParam<std::string> {};

TEST_P(ScenarioTest, GivesTheExpectedOutput) {
  const std::string path = "testdata/" + GetParam() + ".txt";
  std::ifstream file(path);
  std::stringstream content;
  content << file.rdbuf();
  const std::string actual = run_file(content.str());
  if (rewrite) {
    std::ofstream(path) << actual;
    return;
  }
  EXPECT_EQ(actual, content.str());
}

INSTANTIATE_TEST_SUITE_P(Raft, ScenarioTest, ::testing::ValuesIn(scenario_files()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace mortise::raft::testing

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    if (std::string(argv[i]) == "--rewrite") mortise::raft::testing::rewrite = true;
  }
  if (std::getenv("MORTISE_REWRITE") != nullptr) mortise::raft::testing::rewrite = true;
  return RUN_ALL_TESTS();
}
