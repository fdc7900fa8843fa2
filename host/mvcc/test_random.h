// Random key-value requests from a seed, over a small set of keys with NULs and prefixes of each
// other.
#pragma once

#include <algorithm>
#include <random>
#include <string>

#include "host/mvcc/test_model.h"

namespace mortise::testing {

struct RandomOptions {
  size_t key_bytes_max = 3;
  int64_t old_reads_percent = 30;  // How many of the reads name a revision.
};

class RandomRequests {
 public:
  RandomRequests(uint64_t seed, const Model* model, RandomOptions options)
      : random_(seed), model_(model), options_(options) {}

  uint64_t below(uint64_t n) { return random_() % n; }
  bool percent(uint64_t p) { return below(100) < p; }
  std::string key() {
    static const char kAlphabet[] = {'\0', '\1', 'a', 'b', '\xff'};
    std::string key(1 + below(options_.key_bytes_max), '\0');
    for (char& c : key) c = kAlphabet[below(5)];
    return key;
  }
  std::string range_end(const std::string& key) {
    switch (below(8)) {
      case 0: return std::string(1, '\0');
      case 1:
      case 2:
      case 3: return "";
      case 4: return key + '\0';
      case 5: return key + "\xff\xff";
      default: return this->key();  // Often at or below the key.
    }
  }
  int64_t revision() {
    int64_t low = std::max<int64_t>(model_->compacted() - 2, -3);
    return low + static_cast<int64_t>(below(static_cast<uint64_t>(model_->revision() - low + 3)));
  }
  int64_t lease() {
    if (model_->leases().empty() || percent(5)) return static_cast<int64_t>(below(3)) - 1 + 1000;
    auto it = model_->leases().begin();
    std::advance(it, below(model_->leases().size()));
    return *it;
  }
  pb::RangeRequest range() {
    pb::RangeRequest r;
    r.set_key(key());
    r.set_range_end(percent(85) ? range_end(r.key()) : std::string(1, '\0'));
    if (percent(40)) r.set_limit(static_cast<int64_t>(below(6)) - 1);
    if (percent(static_cast<uint64_t>(options_.old_reads_percent))) r.set_revision(revision());
    if (percent(40)) r.set_sort_order(static_cast<pb::RangeRequest::SortOrder>(below(3)));
    if (percent(40)) r.set_sort_target(static_cast<pb::RangeRequest::SortTarget>(below(5)));
    r.set_keys_only(percent(20));
    r.set_count_only(percent(20));
    if (percent(10)) r.set_min_mod_revision(revision());
    if (percent(10)) r.set_max_mod_revision(revision());
    if (percent(10)) r.set_min_create_revision(revision());
    if (percent(10)) r.set_max_create_revision(revision());
    return r;
  }
  pb::PutRequest put() {
    pb::PutRequest r;
    r.set_key(key());
    r.set_ignore_value(percent(8));
    if (!r.ignore_value()) r.set_value(std::string(below(4), static_cast<char>('p' + below(4))));
    r.set_ignore_lease(percent(8));
    if (!r.ignore_lease() && percent(30)) r.set_lease(lease());
    r.set_prev_kv(percent(50));
    return r;
  }
  pb::DeleteRangeRequest delete_range() {
    pb::DeleteRangeRequest r;
    r.set_key(key());
    // Whole ranges are rarer, so that keys remain.
    if (percent(40)) r.set_range_end(r.key() + "\xff");
    if (percent(10)) r.set_range_end(range_end(r.key()));
    r.set_prev_kv(percent(50));
    return r;
  }
  pb::Compare compare() {
    pb::Compare c;
    c.set_key(key());
    if (percent(30)) c.set_range_end(range_end(c.key()));
    c.set_result(static_cast<pb::Compare::CompareResult>(below(4)));
    c.set_target(static_cast<pb::Compare::CompareTarget>(below(5)));
    auto it = model_->current().find(c.key());
    KeyValue kv = it == model_->current().end() ? KeyValue() : it->second;
    // Mostly the operand of the target, sometimes another's or none.
    uint64_t operand = percent(80) ? static_cast<uint64_t>(c.target()) : below(6);
    auto near = [&](int64_t v) {
      return static_cast<int64_t>(static_cast<uint64_t>(v) + below(3) - 1);
    };
    if (operand == pb::Compare::VERSION) c.set_version(near(kv.version()));
    if (operand == pb::Compare::CREATE) c.set_create_revision(near(kv.create_revision()));
    if (operand == pb::Compare::MOD) c.set_mod_revision(near(kv.mod_revision()));
    if (operand == pb::Compare::VALUE) c.set_value(percent(60) ? kv.value() : "q");
    if (operand == pb::Compare::LEASE) c.set_lease(near(kv.lease()));
    return c;
  }
  pb::TxnRequest txn(int depth = 0) {
    pb::TxnRequest t;
    for (uint64_t n = below(3); n > 0; --n) *t.add_compare() = compare();
    for (uint64_t n = below(5); n > 0; --n) fill(t.add_success(), depth);
    for (uint64_t n = below(5); n > 0; --n) fill(t.add_failure(), depth);
    return t;
  }

 private:
  void fill(pb::RequestOp* op, int depth) {
    switch (below(depth < 3 ? 5 : 4)) {
      case 0: *op->mutable_request_range() = range(); break;
      case 1:
      case 2: *op->mutable_request_put() = put(); break;
      case 3: *op->mutable_request_delete_range() = delete_range(); break;
      default: *op->mutable_request_txn() = txn(depth + 1); break;
    }
  }
  std::mt19937_64 random_;
  const Model* model_;
  RandomOptions options_;
};

}  // namespace mortise::testing
