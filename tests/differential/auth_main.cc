// mortise-differential-auth: random histories of users, roles, permissions and of what users then
// do, played to an etcd and to this server on each backend: the same decisions, in the same words.
// Exit 0: all equal.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <random>

#include "tests/lib/client.h"
#include "tests/lib/node.h"

namespace mortise::differential {
namespace {

namespace pb = ::etcdserverpb;
using std::string_literals::operator""s;
using testing::status_text;

constexpr int kUsers = 4;
constexpr int kRoles = 4;

// Calls in somebody's name, of one server.
class Server {
 public:
  explicit Server(const testing::Target& target) : node_(target, options(target)) {}

  Status start() {
    MORTISE_RETURN_IF_ERROR(node_.start());
    client_ = std::make_unique<testing::Client>(node_.endpoint());
    return Status();
  }
  const std::string& name() const { return node_.target().name; }
  testing::Client& client() { return *client_; }

  template <typename Stub, typename Request, typename Response>
  std::string call(Stub& stub,
                   grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                   const Request& request, const std::string& user) {
    for (int attempt = 0;; ++attempt) {
      Response response;
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + testing::kCallBound);
      auto token = tokens_.find(user);
      if (token != tokens_.end()) context.AddMetadata("token", token->second);
      grpc::Status status = (stub.*method)(&context, request, &response);
      // What a client library does by itself.
      bool is_old = status.error_message() == "etcdserver: revision of auth store is old";
      if (is_old && attempt < 20) continue;
      if (!status.ok()) return status_text(status);
      return "OK " + text_of(&response);
    }
  }
  bool knows(const std::string& user) const { return tokens_.contains(user); }
  std::string login(const std::string& user, const std::string& password) {
    pb::AuthenticateRequest request;
    request.set_name(user);
    request.set_password(password);
    pb::AuthenticateResponse response;
    grpc::Status status =
        client_->call(client_->auth(), &pb::Auth::Stub::Authenticate, request, &response);
    if (status.ok()) tokens_[user] = response.token();
    return status_text(status);
  }

 private:
  static testing::NodeOptions options(const testing::Target& target) {
    testing::NodeOptions options;
    options.in_memory = true;
    options.flags = {"--heartbeat-interval=10", "--election-timeout=100", "--bcrypt-cost=4"};
    if (!target.is_etcd()) options.flags.push_back("--auth-plugin=rbac");
    return options;
  }
  // Without what differs by nature.
  template <typename Response>
  static std::string text_of(Response* response) {
    auto* header = response->mutable_header();
    header->clear_cluster_id();
    header->clear_member_id();
    header->clear_raft_term();
    return response->ShortDebugString();
  }

  testing::Node node_;
  std::unique_ptr<testing::Client> client_;
  std::map<std::string, std::string> tokens_;
};

// One step: a line that says what is done, and how to do it to a server.
struct Step {
  std::string text;
  std::function<std::string(Server&)> play;
};

class Histories {
 public:
  explicit Histories(uint64_t seed) : random_(seed) {}

  std::vector<Step> begin() {
    std::vector<Step> steps;
    steps.push_back(user_add("root", "rootpw", "nobody"));
    steps.push_back(role_add("root", "nobody"));
    steps.push_back(grant_role("root", "root", "nobody"));
    for (int i = 0; i < 40; ++i) steps.push_back(manage("nobody"));
    // Once more, as root may have been deleted: what follows needs authentication.
    steps.push_back(user_add("root", "rootpw", "nobody"));
    steps.push_back(role_add("root", "nobody"));
    steps.push_back(grant_role("root", "root", "nobody"));
    steps.push_back(make<pb::AuthEnableRequest>("enable", &testing::Client::auth,
                                                &pb::Auth::Stub::AuthEnable, {}, "nobody"));
    steps.push_back(login("root", "rootpw"));
    for (int i = 0; i < kUsers; ++i) steps.push_back(login(user(i), "pw"));
    return steps;
  }
  Step next() {
    int draw = static_cast<int>(random_() % 100);
    if (draw < 12) return manage("root");
    if (draw < 16) return manage(anybody());
    if (draw < 22) return login(user(pick(kUsers)), chance(85) ? "pw" : "wrong");
    if (draw < 24) return login("root", "rootpw");
    return operation(anybody());
  }

 private:
  uint64_t below(uint64_t bound) { return random_() % bound; }
  int pick(int bound) { return static_cast<int>(below(static_cast<uint64_t>(bound))); }
  bool chance(int percent) { return pick(100) < percent; }
  static std::string user(int i) { return "u" + std::to_string(i); }
  static std::string role(int i) { return "r" + std::to_string(i); }
  std::string anybody() {
    int draw = pick(20);
    if (draw == 0) return "root";
    if (draw == 1) return "nobody";
    return user(pick(kUsers));
  }
  std::string key() {
    static const std::vector<std::string> kKeys = {"a", "a1", "a2", "b", "b\xff", "c", "k/1", "z"};
    return kKeys[below(kKeys.size())];
  }
  std::string range_end(const std::string& key) {
    switch (pick(6)) {
      case 0: return "\0"s;
      case 1: return key + "\0"s;
      case 2:
      case 3: {
        // What etcd says of a range that ends before it begins depends on the shape of its tree.
        std::string end = this->key();
        return end <= key ? "" : end;
      }
      default: return "";
    }
  }

  template <typename Request, typename Stub, typename Method>
  Step make(const std::string& what, Stub& (testing::Client::*stub)(), Method method,
            const Request& request, const std::string& as) {
    Step step;
    step.text = as + ": " + what + " " + request.ShortDebugString();
    step.play = [=](Server& server) {
      return server.call((server.client().*stub)(), method, request, as);
    };
    return step;
  }
  Step login(const std::string& name, const std::string& password) {
    return {"login " + name + " " + password,
            [=](Server& server) { return server.login(name, password); }};
  }
  Step user_add(const std::string& name, const std::string& password, const std::string& as) {
    pb::AuthUserAddRequest request;
    request.set_name(name);
    request.set_password(password);
    return make("user add", &testing::Client::auth, &pb::Auth::Stub::UserAdd, request, as);
  }
  Step role_add(const std::string& name, const std::string& as) {
    pb::AuthRoleAddRequest request;
    request.set_name(name);
    return make("role add", &testing::Client::auth, &pb::Auth::Stub::RoleAdd, request, as);
  }
  Step grant_role(const std::string& name, const std::string& role, const std::string& as) {
    pb::AuthUserGrantRoleRequest request;
    request.set_user(name);
    request.set_role(role);
    return make("grant role", &testing::Client::auth, &pb::Auth::Stub::UserGrantRole, request, as);
  }
  Step permission(const std::string& as) {
    std::string from = key();
    std::string end = range_end(from);
    std::string name = role(pick(kRoles));
    if (chance(35)) {
      pb::AuthRoleRevokePermissionRequest request;
      request.set_role(name);
      request.set_key(from);
      request.set_range_end(end);
      return make("revoke permission", &testing::Client::auth,
                  &pb::Auth::Stub::RoleRevokePermission, request, as);
    }
    pb::AuthRoleGrantPermissionRequest request;
    request.set_name(name);
    request.mutable_perm()->set_permtype(static_cast<authpb::Permission::Type>(pick(3)));
    request.mutable_perm()->set_key(from);
    request.mutable_perm()->set_range_end(end);
    return make("grant permission", &testing::Client::auth, &pb::Auth::Stub::RoleGrantPermission,
                request, as);
  }
  Step manage(const std::string& as) {
    using Stub = pb::Auth::Stub;
    auto auth = &testing::Client::auth;
    switch (pick(14)) {
      case 0:
      case 1: return user_add(user(pick(kUsers)), "pw", as);
      case 2:
      case 3: return role_add(role(pick(kRoles)), as);
      case 4:
      case 5: return grant_role(user(pick(kUsers)), chance(3) ? "root" : role(pick(kRoles)), as);
      case 6: {
        pb::AuthUserRevokeRoleRequest request;
        request.set_name(chance(4) ? "root" : user(pick(kUsers)));
        request.set_role(chance(10) ? "root" : role(pick(kRoles)));
        return make("revoke role", auth, &Stub::UserRevokeRole, request, as);
      }
      case 7: {
        if (chance(60)) return permission(as);
        pb::AuthUserDeleteRequest request;
        request.set_name(chance(10) ? "root" : user(pick(kUsers)));
        return make("user delete", auth, &Stub::UserDelete, request, as);
      }
      case 8: {
        if (chance(60)) return permission(as);
        pb::AuthRoleDeleteRequest request;
        request.set_role(chance(10) ? "root" : role(pick(kRoles)));
        return make("role delete", auth, &Stub::RoleDelete, request, as);
      }
      case 9: {
        pb::AuthUserGetRequest request;
        request.set_name(chance(10) ? "root" : user(pick(kUsers)));
        return make("user get", auth, &Stub::UserGet, request, as);
      }
      case 10: {
        pb::AuthRoleGetRequest request;
        request.set_role(role(pick(kRoles)));  // Of root, etcd 3.4 shows no permission.
        return make("role get", auth, &Stub::RoleGet, request, as);
      }
      case 11:
        return chance(50) ? make("user list", auth, &Stub::UserList, pb::AuthUserListRequest(), as)
                          : make("role list", auth, &Stub::RoleList, pb::AuthRoleListRequest(), as);
      default: return permission(as);
    }
  }

  pb::RangeRequest range() {
    pb::RangeRequest request;
    request.set_key(key());
    request.set_range_end(range_end(request.key()));
    request.set_serializable(chance(30));
    return request;
  }
  pb::PutRequest put() {
    pb::PutRequest request;
    request.set_key(key());
    request.set_value("v" + std::to_string(below(5)));
    request.set_prev_kv(chance(30));
    if (chance(25)) request.set_lease(1 + static_cast<int64_t>(below(4)));
    return request;
  }
  pb::DeleteRangeRequest deletion() {
    pb::DeleteRangeRequest request;
    request.set_key(key());
    request.set_range_end(range_end(request.key()));
    request.set_prev_kv(chance(30));
    return request;
  }
  pb::TxnRequest txn() {
    pb::TxnRequest request;
    if (chance(60)) {
      pb::Compare* compare = request.add_compare();
      compare->set_key(key());
      compare->set_target(pb::Compare::VERSION);
      compare->set_result(pb::Compare::GREATER);
      compare->set_version(0);
      compare->set_range_end(range_end(compare->key()));
    }
    // What puts in txns need has been another thing in etcd 3.4: GHSA-x35m-3gp4-4fh5; and so has
    // what inner txns need: GHSA-rfx7-8w68-q57q.
    pb::RequestOp* first = chance(50) ? request.add_success() : request.add_failure();
    *first->mutable_request_put() = put();
    first->mutable_request_put()->clear_prev_kv();
    first->mutable_request_put()->clear_lease();
    pb::RequestOp* second = chance(50) ? request.add_success() : request.add_failure();
    *second->mutable_request_range() = range();
    return request;
  }
  Step operation(const std::string& as) {
    using KV = pb::KV::Stub;
    using Lease = pb::Lease::Stub;
    switch (pick(12)) {
      case 0:
      case 1:
      case 2: return make("range", &testing::Client::kv, &KV::Range, range(), as);
      case 3:
      case 4:
      case 5: return make("put", &testing::Client::kv, &KV::Put, put(), as);
      case 6:
      case 7: return make("delete", &testing::Client::kv, &KV::DeleteRange, deletion(), as);
      case 8:
      case 9: return make("txn", &testing::Client::kv, &KV::Txn, txn(), as);
      case 10: {
        pb::LeaseRevokeRequest request;
        request.set_id(1 + static_cast<int64_t>(below(4)));
        Step step = make("lease revoke", &testing::Client::lease, &Lease::LeaseRevoke, request, as);
        // Who has no token was not asked by etcd 3.4: GHSA-q8m4-xhhv-38mg.
        step.play = [=](Server& server) {
          return server.call(server.client().lease(), &Lease::LeaseRevoke, request,
                             server.knows(as) ? as : "root");
        };
        return step;
      }
      default: {
        pb::LeaseGrantRequest request;
        request.set_id(1 + static_cast<int64_t>(below(4)));
        request.set_ttl(10000);
        return make("lease grant", &testing::Client::lease, &Lease::LeaseGrant, request, "root");
      }
    }
  }

  std::mt19937_64 random_;
};

struct Arguments {
  std::string etcd = "/usr/bin/etcd";
  std::vector<std::string> backends = {"rocksdb", "lmdb"};
  std::vector<uint64_t> seeds = {1};
  size_t steps = 1500;
};

bool run_seed(const Arguments& arguments, uint64_t seed) {
  std::vector<std::unique_ptr<Server>> servers;
  servers.push_back(std::make_unique<Server>(testing::etcd_target(arguments.etcd)));
  for (const std::string& backend : arguments.backends) {
    servers.push_back(std::make_unique<Server>(testing::mortise_target(backend)));
  }
  for (auto& server : servers) {
    if (Status status = server->start(); !status.ok()) {
      std::printf("seed %lu: cannot run: %s\n", seed, status.message().c_str());
      return false;
    }
  }
  Histories histories(seed);
  std::vector<Step> steps = histories.begin();
  while (steps.size() < arguments.steps) steps.push_back(histories.next());
  std::map<std::string, size_t> answers;
  for (size_t i = 0; i < steps.size(); ++i) {
    std::string want = steps[i].play(*servers[0]);
    ++answers[want.substr(0, want.find(want.starts_with("OK") ? ' ' : '\0'))];
    for (size_t s = 1; s < servers.size(); ++s) {
      std::string got = steps[i].play(*servers[s]);
      if (want == got) continue;
      std::printf("MISMATCH seed %lu, step %zu, %s\n    %s\n    etcd: %s\n    %s: %s\n", seed, i,
                  servers[s]->name().c_str(), steps[i].text.c_str(), want.c_str(),
                  servers[s]->name().c_str(), got.c_str());
      return false;
    }
  }
  std::printf("seed %lu: %zu steps, all equal:", seed, steps.size());
  for (const auto& [answer, count] : answers) std::printf(" [%s] %zu", answer.c_str(), count);
  std::printf("\n");
  std::fflush(stdout);
  return true;
}

}  // namespace
}  // namespace mortise::differential

int main(int argc, char** argv) {
  mortise::differential::Arguments arguments;
  CLI::App app("Compares this server's decisions with those of an etcd");
  app.add_option("--etcd", arguments.etcd, "The oracle's binary")->capture_default_str();
  app.add_option("--backends", arguments.backends, "Comma separated")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--seeds", arguments.seeds, "Comma separated")->delimiter(',');
  app.add_option("--steps", arguments.steps, "Steps for each seed")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  bool equal = true;
  for (uint64_t seed : arguments.seeds) {
    equal = mortise::differential::run_seed(arguments, seed) && equal;
  }
  return equal ? 0 : 1;
}
