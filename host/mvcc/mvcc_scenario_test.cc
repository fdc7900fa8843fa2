// Runs testdata/*.txt: commands against a store and its leases, each with its full output. A case
// is a line with a command, a line `----`, and the output up to an empty line. With --rewrite (or
// MORTISE_REWRITE=1) the files are written anew with the outputs as they are; the difference is
// then to be read. Lines with # are comments. Bytes that are not printable stand as \xHH, in
// commands too.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "host/mvcc/compactor.h"
#include "host/mvcc/hash.h"
#include "host/mvcc/test_model.h"
#include "host/mvcc/writer.h"

namespace mortise::mvcc {
namespace {

namespace pb = ::etcdserverpb;
using testing::escape;
using testing::TestStore;
using testing::unescape;

bool rewrite = false;

std::string describe(const mvccpb::KeyValue& kv) {
  std::string out = escape(kv.key());
  if (!kv.value().empty()) out += "=" + escape(kv.value());
  out += " create " + std::to_string(kv.create_revision()) + " mod " +
         std::to_string(kv.mod_revision()) + " version " + std::to_string(kv.version());
  if (kv.lease() != 0) out += " lease " + std::to_string(kv.lease());
  return out;
}

std::string describe(const pb::RangeResponse& r) {
  std::string out = "count " + std::to_string(r.count()) + (r.more() ? " more" : "") + "\n";
  for (const auto& kv : r.kvs()) out += "  " + describe(kv) + "\n";
  return out;
}
std::string describe(const pb::PutResponse& r) {
  return r.has_prev_kv() ? "put\n  before " + describe(r.prev_kv()) + "\n" : "put\n";
}
std::string describe(const pb::DeleteRangeResponse& r) {
  std::string out = "deleted " + std::to_string(r.deleted()) + "\n";
  for (const auto& kv : r.prev_kvs()) out += "  before " + describe(kv) + "\n";
  return out;
}

class Scenario {
 public:
  Scenario() { MORTISE_CHECK(writer_.open().ok(), "open"); }

  std::string run(const std::string& line) {
    std::vector<std::string> words;
    std::istringstream in(line);
    for (std::string word; in >> word;) words.push_back(word);
    std::string name = words[0];
    words.erase(words.begin());
    if (name == "put") return put(words);
    if (name == "del") return del(words);
    if (name == "txn") return txn(words);
    if (name == "range") return range(words);
    if (name == "grant") return grant(std::stoll(words.at(0)));
    if (name == "revoke") return revoke(std::stoll(words.at(0)));
    if (name == "compact") return compact(std::stoll(words.at(0)));
    if (name == "commit") return commit();
    if (name == "remove") return remove();
    if (name == "hash") return hash(words.empty() ? 0 : std::stoll(words.at(0)));
    if (name == "rows") return rows(words.at(0));
    return "unknown command " + name + "\n";
  }

 private:
  // Words with a '=' and known words set fields; the others are the key and the range end or value.
  struct Words {
    explicit Words(const std::vector<std::string>& words) {
      for (const std::string& word : words) {
        size_t equals = word.find('=');
        if (equals == std::string::npos) {
          plain.push_back(word == "\"\"" ? "" : unescape(word));
        } else {
          options[word.substr(0, equals)] = word.substr(equals + 1);
        }
      }
    }
    std::string at(size_t i) const { return i < plain.size() ? plain[i] : ""; }
    int64_t number(const std::string& name) const {
      auto it = options.find(name);
      return it == options.end() ? 0 : std::stoll(it->second);
    }
    std::vector<std::string> plain;
    std::map<std::string, std::string> options;
  };

  static pb::PutRequest put_request(const Words& w) {
    pb::PutRequest r;
    r.set_key(w.at(0));
    r.set_value(w.at(1));
    r.set_lease(w.number("lease"));
    r.set_prev_kv(w.number("prev") != 0);
    r.set_ignore_value(w.number("ignore_value") != 0);
    r.set_ignore_lease(w.number("ignore_lease") != 0);
    return r;
  }
  static pb::DeleteRangeRequest delete_request(const Words& w) {
    pb::DeleteRangeRequest r;
    r.set_key(w.at(0));
    r.set_range_end(w.at(1));
    r.set_prev_kv(w.number("prev") != 0);
    return r;
  }
  static pb::RangeRequest range_request(const Words& w) {
    pb::RangeRequest r;
    r.set_key(w.at(0));
    r.set_range_end(w.at(1));
    r.set_revision(w.number("rev"));
    r.set_limit(w.number("limit"));
    r.set_sort_order(static_cast<pb::RangeRequest::SortOrder>(w.number("order")));
    r.set_sort_target(static_cast<pb::RangeRequest::SortTarget>(w.number("target")));
    r.set_keys_only(w.number("keys_only") != 0);
    r.set_count_only(w.number("count_only") != 0);
    r.set_min_mod_revision(w.number("min_mod"));
    r.set_max_mod_revision(w.number("max_mod"));
    r.set_min_create_revision(w.number("min_create"));
    r.set_max_create_revision(w.number("max_create"));
    return r;
  }

  template <typename Response>
  static Response parse(const Outcome& outcome) {
    Response response;
    EXPECT_TRUE(response.ParseFromString(std::string(outcome.body.view())));
    return response;
  }
  static std::string answer(const Outcome& outcome, const std::string& text) {
    if (!outcome.rpc.ok()) return "error: " + outcome.rpc.message() + "\n";
    return "revision " + std::to_string(outcome.revision) + ": " + text;
  }
  template <typename Decoded, typename Response, typename Request>
  std::string call(Status (Writer::*operation)(const Decoded&, bool, Outcome*),
                   const Request& request) {
    std::string bytes = request.SerializeAsString();
    Decoded decoded;
    EXPECT_TRUE(wire::decode(bytes, &decoded));
    Outcome outcome;
    EXPECT_TRUE((writer_.*operation)(decoded, true, &outcome).ok());
    return answer(outcome, outcome.rpc.ok() ? describe(parse<Response>(outcome)) : "");
  }

  std::string put(const std::vector<std::string>& words) {
    return call<wire::PutRequest, pb::PutResponse>(&Writer::put, put_request(Words(words)));
  }
  std::string del(const std::vector<std::string>& words) {
    return call<wire::DeleteRangeRequest, pb::DeleteRangeResponse>(&Writer::delete_range,
                                                                   delete_request(Words(words)));
  }

  // txn [if KEY TARGET OP OPERAND]... then OP... else OP...; an op is in parentheses: ( put a 1 )
  std::string txn(const std::vector<std::string>& words) {
    size_t at = 0;
    return call<wire::TxnRequest, pb::TxnResponse>(&Writer::txn, parse_txn(words, &at));
  }
  static pb::TxnRequest parse_txn(const std::vector<std::string>& words, size_t* at) {
    pb::TxnRequest txn;
    bool success = true;
    while (*at < words.size() && words[*at] != ")") {
      std::string word = words[(*at)++];
      if (word == "then" || word == "else") {
        success = word == "then";
      } else if (word == "if") {
        *txn.add_compare() = parse_compare(words, at);
      } else if (word == "(") {
        *(success ? txn.add_success() : txn.add_failure()) = parse_op(words, at);
      } else {
        ADD_FAILURE() << "unexpected word in a txn: " << word;
      }
    }
    return txn;
  }
  static pb::Compare parse_compare(const std::vector<std::string>& words, size_t* at) {
    pb::Compare c;
    c.set_key(unescape(words.at((*at)++)));
    if (size_t dots = c.key().find(".."); dots != std::string::npos) {
      c.set_range_end(c.key().substr(dots + 2));
      c.set_key(c.key().substr(0, dots));
    }
    std::string target = words.at((*at)++), op = words.at((*at)++), operand = words.at((*at)++);
    c.set_result(op == "is"      ? pb::Compare::EQUAL
                 : op == "not"   ? pb::Compare::NOT_EQUAL
                 : op == "above" ? pb::Compare::GREATER
                                 : pb::Compare::LESS);
    auto number = [&] { return std::stoll(operand); };
    if (target == "version") c.set_target(pb::Compare::VERSION), c.set_version(number());
    if (target == "create") c.set_target(pb::Compare::CREATE), c.set_create_revision(number());
    if (target == "mod") c.set_target(pb::Compare::MOD), c.set_mod_revision(number());
    if (target == "lease") c.set_target(pb::Compare::LEASE), c.set_lease(number());
    if (target == "value") c.set_target(pb::Compare::VALUE), c.set_value(unescape(operand));
    return c;
  }
  static pb::RequestOp parse_op(const std::vector<std::string>& words, size_t* at) {
    pb::RequestOp op;
    std::string name = words.at((*at)++);
    if (name == "txn") {
      *op.mutable_request_txn() = parse_txn(words, at);
    } else {
      std::vector<std::string> own;
      while (words.at(*at) != ")") own.push_back(words[(*at)++]);
      if (name == "put") *op.mutable_request_put() = put_request(Words(own));
      if (name == "del") *op.mutable_request_delete_range() = delete_request(Words(own));
      if (name == "range") *op.mutable_request_range() = range_request(Words(own));
    }
    ++*at;
    return op;
  }
  static std::string describe(const pb::TxnResponse& r) {
    std::string out = r.succeeded() ? "then\n" : "else\n";
    for (const auto& op : r.responses()) {
      std::string text;
      if (op.has_response_range()) text = describe_inner(op.response_range());
      if (op.has_response_put()) text = describe_inner(op.response_put());
      if (op.has_response_delete_range()) text = describe_inner(op.response_delete_range());
      if (op.has_response_txn()) text = "txn " + describe(op.response_txn());
      std::istringstream lines(text);
      for (std::string line; std::getline(lines, line);) out += "  " + line + "\n";
    }
    return out;
  }
  template <typename Response>
  static std::string describe_inner(const Response& r) {
    return "revision " + std::to_string(r.header().revision()) + ": " + mvcc::describe(r);
  }
  template <typename Response>
  static std::string describe(const Response& r) {
    return mvcc::describe(r);
  }

  // Of the committed store.
  std::string range(const std::vector<std::string>& words) {
    View view = View::open(*store_.get()).value();
    StoredBlockCounts counts(&view.reader());
    ReadContext context{&view.reader(), nullptr, &counts, view.state().revision,
                        view.state().compacted};
    std::string bytes = range_request(Words(words)).SerializeAsString();
    wire::RangeRequest decoded;
    EXPECT_TRUE(wire::decode(bytes, &decoded));
    Outcome outcome;
    RangeResult result;
    EXPECT_TRUE(mvcc::range(context, decoded, &outcome.body, &result).ok());
    append_range_tail(result, &outcome.body);
    outcome.rpc = result.rpc;
    outcome.revision = context.revision;
    return answer(outcome, result.rpc.ok() ? describe(parse<pb::RangeResponse>(outcome)) : "");
  }

  std::string grant(int64_t id) {
    leases_.insert(id);
    return "ok\n";
  }
  std::string revoke(int64_t id) {
    Outcome outcome;
    EXPECT_TRUE(writer_.revoke_lease(id, &outcome).ok());
    leases_.erase(id);
    return answer(outcome, "revoked\n");
  }
  std::string compact(int64_t revision) {
    RpcStatus rpc = writer_.compact(revision);
    return rpc.ok() ? "ok\n" : "error: " + rpc.message() + "\n";
  }
  std::string commit() {
    std::shared_ptr<EventBatch> batch;
    EXPECT_TRUE(writer_.commit(++applied_, 1, &batch).ok());
    std::string out = "revisions " + std::to_string(batch->first_revision) + " to " +
                      std::to_string(batch->last_revision) + "\n";
    for (const Event& event : batch->events) {
      mvccpb::KeyValue kv;
      EXPECT_TRUE(kv.ParseFromString(std::string(event.key_value)));
      out += "  " + std::to_string(event.revision.main) + "." + std::to_string(event.revision.sub);
      out += event.is_delete ? " delete " : event.is_create ? " create " : " modify ";
      out += event.is_delete ? escape(event.key) : describe(kv);
      if (!event.prev_kv.empty()) {
        mvccpb::KeyValue before;
        EXPECT_TRUE(before.ParseFromString(std::string(event.prev_kv)));
        out +=
            ", before " + escape(before.value()) + " mod " + std::to_string(before.mod_revision());
      }
      out += "\n";
    }
    return out;
  }
  std::string remove() {
    auto reader = store_.get()->reader().value();
    int64_t previous = finished_compaction(reader).value();
    int64_t compacted = read_state(reader).value().compacted;
    CompactionOptions options;
    options.pause = [] { return true; };
    ScanResult scan;
    Status status = find_removals(
        *store_.get(), previous, compacted, options,
        [&](std::unique_ptr<Removal> r) {
          EXPECT_TRUE(store_.get()->commit(r->batch, applied_, 1).ok());
        },
        &scan);
    EXPECT_TRUE(status.ok()) << status.message();
    return "from " + std::to_string(previous) + " to " + std::to_string(compacted) + ": removed " +
           std::to_string(scan.removed) + "\n";
  }
  std::string hash(int64_t revision) {
    View view = View::open(*store_.get()).value();
    HashKvResult result;
    EXPECT_TRUE(hash_kv(view, revision, &result).ok());
    if (!result.rpc.ok()) return "error: " + result.rpc.message() + "\n";
    return "hash " + std::to_string(result.hash) + " of " + std::to_string(result.hash_revision) +
           ", compacted " + std::to_string(result.compact_revision) + "\n";
  }
  std::string rows(const std::string& keyspace) {
    std::string out;
    if (keyspace == "revisions") {
      for (const auto& [key, value] : store_.rows(store::kRevisions)) {
        Revision revision;
        bool tombstone;
        mvccpb::KeyValue kv;
        EXPECT_TRUE(decode_revision(key, &revision, &tombstone) && kv.ParseFromString(value));
        out += std::to_string(revision.main) + "." + std::to_string(revision.sub) +
               (tombstone ? " tombstone " + escape(kv.key()) : " " + describe(kv)) + "\n";
      }
    } else if (keyspace == "key_history") {
      for (const auto& [key, value] : store_.rows(store::kKeyHistory)) {
        out += escape(key) + " -> " + escape(value) + "\n";
      }
    } else if (keyspace == "lease_keys") {
      for (const auto& [key, value] : store_.rows(store::kLeaseKeys)) {
        out += std::to_string(static_cast<int64_t>(get_u64_be(key.data()))) + " " +
               escape(key.substr(8)) + "\n";
      }
    } else {
      return "unknown keyspace\n";
    }
    return out.empty() ? "none\n" : out;
  }

  TestStore store_;
  std::set<int64_t> leases_;
  Writer writer_{store_.get(), [this](int64_t id) { return leases_.contains(id); },
                 [] { return true; }};
  uint64_t applied_ = 0;
};

std::string play(std::istream& in) {
  Scenario scenario;
  std::string out, line;
  while (std::getline(in, line)) {
    out += line + "\n";
    if (line.empty() || line[0] == '#') continue;
    out += "----\n" + scenario.run(line);
    if (!std::getline(in, line) || line != "----") {
      if (!rewrite) ADD_FAILURE() << "no ---- behind a command";
      if (line.empty()) out += "\n";
      continue;
    }
    while (std::getline(in, line) && !line.empty()) {
    }
    if (!in.eof()) out += "\n";
  }
  return out;
}

TEST(Scenario, Testdata) {
  std::vector<std::filesystem::path> files;
  for (const auto& file : std::filesystem::directory_iterator("testdata")) {
    if (file.path().extension() == ".txt") files.push_back(file.path());
  }
  std::sort(files.begin(), files.end());
  EXPECT_FALSE(files.empty());
  for (const auto& file : files) {
    SCOPED_TRACE(file.string());
    std::ifstream in(file);
    std::stringstream text;
    text << in.rdbuf();
    std::string got = play(text);
    if (rewrite) {
      std::ofstream(file) << got;
    } else {
      EXPECT_EQ(got, text.str());
    }
  }
}

}  // namespace
}  // namespace mortise::mvcc

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  const char* environment = std::getenv("MORTISE_REWRITE");
  mortise::mvcc::rewrite = environment != nullptr && std::string_view(environment) == "1";
  for (int i = 1; i < argc; ++i) mortise::mvcc::rewrite |= std::string_view(argv[i]) == "--rewrite";
  return RUN_ALL_TESTS();
}
