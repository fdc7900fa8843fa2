// Random operations, compared with an oracle: another backend through the same table, or a
// std::map.
#include <deque>
#include <memory>

#include "tests/conformance/check.h"

namespace mortise::conformance {
namespace {

// Answers what a view should give.
class OracleView {
 public:
  virtual ~OracleView() = default;
  virtual bool get(uint32_t keyspace, const std::string& key, std::string& value) = 0;
  virtual Pairs scan(uint32_t keyspace, const std::string& lower, const std::string& upper,
                     uint32_t flags) = 0;
};

class Oracle {
 public:
  virtual ~Oracle() = default;
  virtual void commit(const std::vector<Op>& ops, uint64_t index) = 0;
  virtual std::unique_ptr<OracleView> view() = 0;
};

class MapView : public OracleView {
 public:
  explicit MapView(Model model) : model_(std::move(model)) {}
  bool get(uint32_t keyspace, const std::string& key, std::string& value) override {
    const auto it = model_.maps[keyspace].find(key);
    if (it == model_.maps[keyspace].end()) return false;
    value = it->second;
    return true;
  }
  Pairs scan(uint32_t keyspace, const std::string& lower, const std::string& upper,
             uint32_t flags) override {
    return model_.scan(keyspace, lower, upper, flags);
  }

 private:
  Model model_;
};

class MapOracle : public Oracle {
 public:
  void commit(const std::vector<Op>& ops, uint64_t) override { model_.apply(ops); }
  std::unique_ptr<OracleView> view() override { return std::make_unique<MapView>(model_); }

 private:
  Model model_;
};

class BackendView : public OracleView {
 public:
  BackendView(Context& c, Reader reader) : c_(c), reader_(std::move(reader)) {}
  bool get(uint32_t keyspace, const std::string& key, std::string& value) override {
    const Outcome outcome = reader_.get(keyspace, key, value);
    if (outcome.status == MORTISE_E_NOT_FOUND) return false;
    return c_.good(outcome, "get of the oracle");
  }
  Pairs scan(uint32_t keyspace, const std::string& lower, const std::string& upper,
             uint32_t flags) override {
    Pairs pairs;
    c_.good(reader_.scan(keyspace, lower, upper, flags, pairs), "scan of the oracle");
    return pairs;
  }

 private:
  Context& c_;
  Reader reader_;
};

class BackendOracle : public Oracle {
 public:
  BackendOracle(Context& c, const std::string& name) : c_(c) {
    const Options& options = c.options();
    c.good(Store::open(options.oracle, options.host, c.fresh_directory(name), "{}", store_),
           "store_open of the oracle");
  }
  void commit(const std::vector<Op>& ops, uint64_t index) override {
    c_.good(store_.commit(ops, index), "commit of the oracle");
  }
  std::unique_ptr<OracleView> view() override {
    Reader reader;
    c_.good(store_.reader(reader), "reader_open of the oracle");
    return std::make_unique<BackendView>(c_, std::move(reader));
  }

 private:
  Context& c_;
  Store store_;
};

// One run: a store and its oracle, and views of both that stay open for a while.
class RandomRun {
 public:
  RandomRun(Context& c, uint64_t seed) : c_(c), random_(seed), seed_(seed) {
    if (c.options().oracle != nullptr) {
      oracle_ = std::make_unique<BackendOracle>(c, "oracle" + std::to_string(seed));
    } else {
      oracle_ = std::make_unique<MapOracle>();
    }
    directory_ = c.fresh_directory("store" + std::to_string(seed));
    for (int i = 0; i < 300; ++i) keys_.push_back(make_key());
  }

  void run(int operations) {
    if (!c_.good(c_.open(directory_, store_), "store_open")) return;
    while (done_ < operations && !c_.failed()) {
      step();
      ++steps_;
    }
    views_.clear();
    if (!c_.failed()) open_view();
    for (uint32_t k = 0; k < kKeyspaces && !c_.failed(); ++k)
      compare_scan(views_.back(), k, "", "");
    views_.clear();
  }
  std::string where() const {
    return " (seed " + std::to_string(seed_) + ", step " + std::to_string(steps_) + ")";
  }

 private:
  static constexpr uint32_t kKeyspaces = 3;
  struct View {
    Reader reader;
    std::unique_ptr<OracleView> oracle;
  };

  uint64_t below(uint64_t bound) { return random_() % bound; }
  std::string make_key() {
    static const char kAlphabet[] = {'a', 'b', '\0', '\xff'};
    std::string key;
    const size_t size = 1 + below(below(10) == 0 ? 700 : 6);
    const char repeated = kAlphabet[below(4)];
    for (size_t i = 0; i < size; ++i) key += size > 20 ? repeated : kAlphabet[below(4)];
    return key + static_cast<char>('0' + below(3));
  }
  const std::string& key() { return keys_[below(keys_.size())]; }
  uint32_t keyspace() { return static_cast<uint32_t>(below(kKeyspaces)); }

  Op operation() {
    switch (below(12)) {
      case 0:
      case 1:
      case 2: return del(keyspace(), key());
      case 3: {
        std::string from = key(), to = below(8) == 0 ? "" : key();
        // A range of half the keys would leave little to compare.
        if (to.empty() || to > from + "b") to = from + "b";
        return del_range(keyspace(), std::move(from), below(60) == 0 ? "" : std::move(to));
      }
      default: {
        const size_t size = below(40) == 0 ? below(20000) : below(60);
        return put(keyspace(), key(), random_bytes(random_, size));
      }
    }
  }

  void commit() {
    std::vector<Op> ops;
    const size_t count = below(20) == 0 ? below(400) : below(12);
    for (size_t i = 0; i < count; ++i) ops.push_back(operation());
    ++index_;
    done_ += static_cast<int>(count);
    if (!c_.good(store_.commit(ops, index_, below(100) == 0), "commit" + where())) return;
    oracle_->commit(ops, index_);
  }

  void open_view() {
    View view;
    if (!c_.good(store_.reader(view.reader), "reader_open" + where())) return;
    view.oracle = oracle_->view();
    views_.push_back(std::move(view));
    if (views_.size() > 6) views_.pop_front();
  }

  void compare_get(View& view) {
    ++done_;
    const uint32_t k = keyspace();
    const std::string& name = key();
    std::string found, wanted;
    const Outcome outcome = view.reader.get(k, name, found);
    const bool there = view.oracle->get(k, name, wanted);
    if (!c_.answers(outcome, there ? MORTISE_OK : MORTISE_E_NOT_FOUND,
                    "get " + show(name) + where())) {
      return;
    }
    if (there && found != wanted) {
      c_.fail("get " + show(name) + ": wanted " + show(wanted) + ", found " + show(found) +
              where());
    }
  }

  void compare_scan(View& view, uint32_t k, const std::string& lower, const std::string& upper) {
    ++done_;
    const auto flags = static_cast<uint32_t>(below(8));
    Pairs found;
    const std::string what =
        "scan [" + show(lower) + ", " + show(upper) + ") flags " + std::to_string(flags) + where();
    if (!c_.good(view.reader.scan(k, lower, upper, flags, found), what)) return;
    c_.equal(found, view.oracle->scan(k, lower, upper, flags), what);
  }

  void reopen() {
    views_.clear();
    uint64_t durable = 0;
    if (!c_.good(store_.sync(durable), "sync" + where())) return;
    store_.close();
    if (!c_.good(c_.open(directory_, store_), "store_open" + where())) return;
    c_.position(store_, index_, index_ == 0 ? 0 : 1, "after reopen" + where());
  }

  void step() {
    const uint64_t dice = below(1000);
    uint64_t durable = 0;
    if (dice < 400) {
      commit();
    } else if (dice < 480 || views_.empty()) {
      open_view();
    } else if (dice < 985) {
      View& view = views_[below(views_.size())];
      if (dice < 850) return compare_get(view);
      compare_scan(view, keyspace(), below(5) == 0 ? "" : key(), below(5) == 0 ? "" : key());
    } else if (dice < 996) {
      c_.good(store_.sync(durable), "sync" + where());
    } else if (dice < 998) {
      c_.good(store_.reclaim(), "reclaim" + where());
    } else {
      reopen();
    }
  }

  Context& c_;
  std::mt19937_64 random_;
  uint64_t seed_;
  std::unique_ptr<Oracle> oracle_;
  std::string directory_;
  Store store_;
  std::deque<View> views_;
  std::vector<std::string> keys_;
  uint64_t index_ = 0;
  int done_ = 0;
  int steps_ = 0;
};

void random_operations(Context& c) {
  const int seeds = c.options().quick ? 2 : 4;
  const int operations = c.options().quick ? 6000 : 15000;
  for (int i = 0; i < seeds && !c.failed(); ++i) {
    RandomRun(c, c.options().seed + static_cast<uint64_t>(i)).run(operations);
  }
}

}  // namespace

const std::vector<Check>& random_checks() {
  static const std::vector<Check> kChecks = {{"random_operations", random_operations}};
  return kChecks;
}

}  // namespace mortise::conformance
