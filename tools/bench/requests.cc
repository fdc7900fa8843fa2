#include <algorithm>
#include <cstring>

#include "tools/bench/unary.h"

namespace mortise::bench {
namespace {

// Values that do not compress: slices of one random block, so that making one is a copy.
class ValueSource {
 public:
  ValueSource(size_t size, uint64_t seed) : size_(size), random_(seed) {
    block_.resize(size + kSlackBytes);
    for (size_t i = 0; i < block_.size(); i += sizeof(uint64_t)) {
      const uint64_t word = random_.next();
      std::memcpy(&block_[i], &word, std::min(sizeof word, block_.size() - i));
    }
  }
  void assign(std::string* out) { out->assign(block_, random_.below(kSlackBytes), size_); }

 private:
  static constexpr size_t kSlackBytes = 1 << 16;

  size_t size_;
  Random random_;
  std::string block_;
};

uint64_t thread_seed(const Options& options, int thread) {
  return options.seed * 1000003 + static_cast<uint64_t>(thread);
}

class CommandRequests : public RequestMaker {
 public:
  CommandRequests(const Options& options, int thread)
      : options_(options),
        picker_(options.distribution, options.key_space, options.zipf_exponent,
                thread_seed(options, thread)),
        random_(~thread_seed(options, thread)),
        values_(static_cast<size_t>(options.value_size), random_.next()) {
    write_key(options.key_prefix, 0, options.key_size, &first_key_);
    write_key(options.key_prefix, options.key_space - 1, options.key_size, &space_end_);
    space_end_.push_back('\0');
  }

  void make(uint64_t sequence, Request* request) override {
    switch (options_.command) {
      case Command::kRange: return make_range(sequence, request);
      case Command::kTxnPut: return make_txn(sequence, request);
      case Command::kMixed:
        if (random_.unit() < options_.read_ratio) return make_range(sequence, request);
        break;
      case Command::kPut:
      case Command::kWatch:
      case Command::kLeaseKeepAlive: break;
    }
    make_put(sequence, request);
  }

 private:
  void make_put(uint64_t sequence, Request* request) {
    request->rpc = Rpc::kPut;
    request->key = picker_.pick(sequence);
    fill_put(request->key, &request->put);
    if (options_.command == Command::kWatch) {
      const uint64_t now = now_ns();
      std::memcpy(request->put.mutable_value()->data(), &now, sizeof now);
    }
  }

  void make_range(uint64_t sequence, Request* request) {
    request->rpc = Rpc::kRange;
    auto& range = request->range;
    if (options_.prefix_range) {
      range.set_key(first_key_);
      range.set_range_end(space_end_);
    } else {
      write_key(options_.key_prefix, picker_.pick(sequence), options_.key_size,
                range.mutable_key());
      if (options_.range_limit > 0) range.set_range_end(space_end_);
    }
    range.set_limit(options_.range_limit);
    range.set_revision(options_.revision);
    range.set_serializable(options_.serializable);
    range.set_keys_only(options_.keys_only);
    range.set_count_only(options_.count_only);
  }

  // Neighbouring keys, because a transaction may put a key only once.
  void make_txn(uint64_t sequence, Request* request) {
    request->rpc = Rpc::kTxn;
    const auto ops = static_cast<uint64_t>(options_.txn_ops);
    const bool in_order = options_.distribution == Distribution::kSequential;
    const uint64_t first = picker_.pick(in_order ? sequence * ops : sequence);
    request->txn.clear_success();
    for (uint64_t i = 0; i < ops; ++i) {
      fill_put((first + i) % options_.key_space, request->txn.add_success()->mutable_request_put());
    }
  }

  void fill_put(uint64_t key, etcdserverpb::PutRequest* put) {
    write_key(options_.key_prefix, key, options_.key_size, put->mutable_key());
    values_.assign(put->mutable_value());
  }

  const Options& options_;
  KeyPicker picker_;
  Random random_;
  ValueSource values_;
  std::string first_key_;
  std::string space_end_;
};

class PreloadRequests : public RequestMaker {
 public:
  PreloadRequests(const Options& options, int thread)
      : options_(options),
        values_(static_cast<size_t>(options.value_size), thread_seed(options, thread) ^ 1) {}

  void make(uint64_t sequence, Request* request) override {
    if (options_.preload_batch == 1) {
      request->rpc = Rpc::kPut;
      request->key = sequence;
      return fill_put(sequence, &request->put);
    }
    request->rpc = Rpc::kTxn;
    request->txn.clear_success();
    const auto batch = static_cast<uint64_t>(options_.preload_batch);
    const uint64_t end = std::min((sequence + 1) * batch, options_.preload);
    for (uint64_t key = sequence * batch; key < end; ++key) {
      fill_put(key, request->txn.add_success()->mutable_request_put());
    }
  }

 private:
  void fill_put(uint64_t key, etcdserverpb::PutRequest* put) {
    write_key(options_.key_prefix, key, options_.key_size, put->mutable_key());
    values_.assign(put->mutable_value());
  }

  const Options& options_;
  ValueSource values_;
};

class LeaseRequests : public RequestMaker {
 public:
  LeaseRequests(Rpc rpc, int64_t first_id, int64_t ttl_s)
      : rpc_(rpc), first_id_(first_id), ttl_s_(ttl_s) {}

  void make(uint64_t sequence, Request* request) override {
    const int64_t id = first_id_ + static_cast<int64_t>(sequence);
    request->rpc = rpc_;
    request->grant.set_id(id);
    request->grant.set_ttl(ttl_s_);
    request->revoke.set_id(id);
  }

 private:
  Rpc rpc_;
  int64_t first_id_;
  int64_t ttl_s_;
};

}  // namespace

std::unique_ptr<RequestMaker> make_command_requests(const Options& options, int thread) {
  return std::make_unique<CommandRequests>(options, thread);
}

std::unique_ptr<RequestMaker> make_preload_requests(const Options& options, int thread) {
  return std::make_unique<PreloadRequests>(options, thread);
}

uint64_t preload_request_count(const Options& options) {
  const auto batch = static_cast<uint64_t>(options.preload_batch);
  return (options.preload + batch - 1) / batch;
}

std::unique_ptr<RequestMaker> make_lease_requests(Rpc rpc, int64_t first_id, int64_t ttl_s) {
  return std::make_unique<LeaseRequests>(rpc, first_id, ttl_s);
}

}  // namespace mortise::bench
