#include "tests/differential/runner.h"

#include <algorithm>
#include <future>
#include <memory>
#include <set>
#include <thread>

#include "tests/differential/generator.h"
#include "tests/differential/known_differences.h"

namespace mortise::differential {
namespace {

// Operations that are played without a look at the answers between them.
constexpr size_t kBlockOps = 24;
constexpr std::chrono::seconds kBarrierBound{20};
constexpr size_t kTextMax = 2000;

std::string cut(std::string text) {
  if (text.size() > kTextMax)
    text = text.substr(0, kTextMax) + " ... (" + std::to_string(text.size()) + " bytes)";
  return text;
}

bool is_restart(const Op& op) { return op.kind == OpKind::kRestart || op.kind == OpKind::kKill; }

void count_changes(const etcdserverpb::TxnResponse& response, int64_t* puts, int64_t* deletions) {
  for (const auto& part : response.responses()) {
    if (part.has_response_put()) ++*puts;
    *deletions += part.response_delete_range().deleted();
    if (part.has_response_txn()) count_changes(part.response_txn(), puts, deletions);
  }
}

class Run {
 public:
  explicit Run(const RunOptions& options) : options_(options) {}

  RunResult carry_out() {
    if (!start()) return std::move(result_);
    size_t planned = options_.script.empty() ? options_.ops : options_.script.size();
    while (result_.history.size() < planned && !enough() && result_.error.empty()) {
      play_block(next_block(planned - result_.history.size()));
    }
    if (!enough() && result_.error.empty()) play_block(last_block());
    return std::move(result_);
  }

 private:
  bool enough() const { return result_.mismatches.size() >= options_.mismatches_max; }

  bool start() {
    std::vector<testing::Target> targets = {options_.oracle};
    targets.insert(targets.end(), options_.targets.begin(), options_.targets.end());
    for (const testing::Target& target : targets) {
      testing::NodeOptions node;
      node.in_memory = true;
      node.flags = {"--heartbeat-interval=10", "--election-timeout=100", "--max-txn-ops=128"};
      nodes_.push_back(std::make_unique<testing::Node>(target, node));
      if (!start_player(nodes_.back().get())) return false;
    }
    etcdserverpb::StatusResponse status;
    testing::Client(nodes_[0]->endpoint()).status(&status);
    Oracle oracle = oracle_of_version(status.version());
    if (options_.over_http) oracle.streams_ranges = false;
    known_ = std::make_unique<KnownDifferences>(oracle);
    generator_ = std::make_unique<Generator>(options_.seed, oracle, options_.weights);
    return true;
  }

  bool start_player(testing::Node* node) {
    if (Status status = node->start(); !status.ok()) {
      result_.error = status.message();
      return false;
    }
    const bool over_http = options_.over_http && !node->target().is_etcd();
    players_.push_back(std::make_unique<Player>(
        node->target().name,
        over_http ? make_http_wire(node->endpoint()) : make_grpc_wire(node->endpoint())));
    return true;
  }

  bool restart(OpKind kind) {
    players_.clear();
    for (auto& node : nodes_) {
      if (kind == OpKind::kKill) {
        node->kill();
      } else if (!node->stop()) {
        result_.error = node->target().name + " does not stop";
        return false;
      }
      if (!start_player(node.get())) return false;
    }
    return true;
  }

  // Ends behind a barrier, whose comparison needs all players at rest.
  std::vector<Op> next_block(size_t count) {
    std::vector<Op> block;
    while (block.size() < std::min(count, kBlockOps)) {
      block.push_back(options_.script.empty()
                          ? generator_->next()
                          : options_.script[result_.history.size() + block.size()]);
      if (block.back().kind == OpKind::kBarrier || is_restart(block.back())) break;
    }
    return block;
  }

  std::vector<Op> last_block() {
    etcdserverpb::RangeRequest all;
    all.set_key(std::string(1, '\0'));
    all.set_range_end(std::string(1, '\0'));
    return {make_op(OpKind::kRange, all), make_op(OpKind::kHashKv, etcdserverpb::HashKVRequest()),
            make_barrier()};
  }

  void play_block(const std::vector<Op>& block) {
    std::vector<std::future<std::vector<Answer>>> running;
    for (auto& player : players_) {
      running.push_back(std::async(std::launch::async, [&block, p = player.get()] {
        std::vector<Answer> answers;
        for (const Op& op : block) answers.push_back(p->play(op));
        return answers;
      }));
    }
    std::vector<std::vector<Answer>> answers;
    for (auto& future : running) answers.push_back(future.get());
    for (size_t i = 0; i < block.size() && !enough(); ++i) {
      std::vector<Answer> row;
      for (auto& of_player : answers) row.push_back(of_player[i]);
      compare(block[i], std::move(row));
      result_.history.push_back(block[i]);
    }
    if (block.back().kind == OpKind::kBarrier && !enough()) compare_watchers();
    if (is_restart(block.back()) && !enough()) restart(block.back().kind);
  }

  void compare(const Op& op, std::vector<Answer> row) {
    Answer& oracle = row[0];
    generator_->observe_revision(oracle.revision());
    observe_txn(op, oracle);
    known_->observe(op, oracle);
    for (size_t i = 0; i < row.size(); ++i) KnownDifferences::settle_orders(op, &row[i]);
    for (size_t i = 1; i < row.size(); ++i) {
      Answer theirs = oracle;
      if (theirs.response) {
        theirs.response.reset(oracle.response->New());
        theirs.response->CopyFrom(*oracle.response);
      }
      known_->reconcile(op, row[i], &theirs);
      std::string want = theirs.text(), got = row[i].text();
      if (want == got) continue;
      result_.mismatches.push_back({result_.history.size(), players_[i]->name(),
                                    cut(to_text(op)) + "\n    etcd: " + cut(want) + "\n    " +
                                        players_[i]->name() + ": " + cut(got)});
      if (!nodes_[i]->running()) result_.mismatches.back().what += "\n    the server has ended";
    }
  }

  void observe_txn(const Op& op, const Answer& answer) {
    if (op.kind != OpKind::kTxn || !answer.status.ok()) return;
    int64_t puts = 0, deletions = 0;
    count_changes(static_cast<const etcdserverpb::TxnResponse&>(*answer.response), &puts,
                  &deletions);
    if (puts > 0 && deletions > 0) generator_->observe_put_after_delete(answer.revision());
  }

  // What is still on its way arrives; what is missing or too much shows when it does not become
  // equal.
  void compare_watchers() {
    auto deadline = std::chrono::steady_clock::now() + kBarrierBound;
    for (size_t i = 1; i < players_.size(); ++i) {
      Player::Transcripts want, got;
      for (;;) {
        want = players_[0]->transcripts();
        got = players_[i]->transcripts();
        drop_raced(&want, &got);
        if (want == got || std::chrono::steady_clock::now() > deadline) break;
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      }
      if (want != got) {
        result_.mismatches.push_back({result_.history.size() - 1, players_[i]->name(),
                                      difference(want, got, players_[i]->name())});
      }
      if (i == 1) {
        for (const auto& [id, lines] : want) result_.events += lines.size();
      }
    }
    for (auto& player : players_) player->drop_transcripts();
  }

  // etcd reads history for a new watcher in a loop that runs ten times a second; a compaction that
  // comes before cancels the watcher. Which of the two is first is no difference of behaviour: such
  // a watcher is compared up to that point and not any more.
  void drop_raced(Player::Transcripts* want, Player::Transcripts* got) {
    auto canceled_at = [](const std::vector<std::string>& lines) {
      size_t i = 0;
      while (i < lines.size() && !lines[i].starts_with("canceled: ")) ++i;
      return i;
    };
    for (const auto& [id, lines] : *want) {
      const std::vector<std::string> other =
          got->contains(id) ? got->at(id) : std::vector<std::string>();
      size_t at = canceled_at(lines);
      if (at == lines.size() || canceled_at(other) < other.size() || other.size() < at) continue;
      if (std::equal(lines.begin(), lines.begin() + static_cast<ptrdiff_t>(at), other.begin()))
        result_.raced_watchers += raced_.insert(id).second;
    }
    for (auto id : raced_) {
      want->erase(id);
      got->erase(id);
    }
  }

  static std::string difference(const Player::Transcripts& want, const Player::Transcripts& got,
                                const std::string& name) {
    Player::Transcripts both = want;
    both.insert(got.begin(), got.end());
    std::string out;
    for (const auto& [id, unused] : both) {
      auto a = want.contains(id) ? want.at(id) : std::vector<std::string>();
      auto b = got.contains(id) ? got.at(id) : std::vector<std::string>();
      if (a == b) continue;
      size_t i = 0;
      while (i < a.size() && i < b.size() && a[i] == b[i]) ++i;
      out += "watcher " + std::to_string(id) + ", at line " + std::to_string(i) + " of " +
             std::to_string(a.size()) + " and " + std::to_string(b.size()) +
             "\n    etcd: " + (i < a.size() ? cut(a[i]) : "nothing more") + "\n    " + name + ": " +
             (i < b.size() ? cut(b[i]) : "nothing more") + "\n";
    }
    return out;
  }

  const RunOptions& options_;
  std::set<Player::Transcripts::key_type> raced_;
  RunResult result_;
  std::vector<std::unique_ptr<testing::Node>> nodes_;
  std::vector<std::unique_ptr<Player>> players_;
  std::unique_ptr<KnownDifferences> known_;
  std::unique_ptr<Generator> generator_;
};

bool removable(const Op& op) { return op.kind != OpKind::kBarrier; }

}  // namespace

RunResult run(const RunOptions& options) { return Run(options).carry_out(); }

std::vector<Op> shrink(const RunOptions& options, const RunResult& result,
                       std::chrono::seconds budget) {
  auto deadline = std::chrono::steady_clock::now() + budget;
  RunOptions trial = options;
  trial.mismatches_max = 1;
  std::erase_if(trial.targets,
                [&](const auto& t) { return t.name != result.mismatches[0].target; });
  std::vector<Op> best(
      result.history.begin(),
      result.history.begin() + static_cast<ptrdiff_t>(result.mismatches[0].op) + 1);
  // Pieces of half the history, then of a quarter, and so on down to single operations.
  for (size_t piece = (best.size() + 1) / 2; piece >= 1; piece /= 2) {
    for (size_t from = 0; from < best.size();) {
      if (std::chrono::steady_clock::now() > deadline) return best;
      trial.script.clear();
      for (size_t i = 0; i < best.size(); ++i) {
        bool cut_out = i >= from && i < from + piece && removable(best[i]);
        if (!cut_out) trial.script.push_back(best[i]);
      }
      bool smaller = trial.script.size() < best.size() && !trial.script.empty();
      RunResult again = smaller ? run(trial) : RunResult();
      if (!again.mismatches.empty()) {
        again.history.resize(again.mismatches[0].op + 1);
        best = std::move(again.history);
      } else {
        from += piece;
      }
    }
  }
  return best;
}

}  // namespace mortise::differential
