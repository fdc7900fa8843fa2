#include "tools/bench/options.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace mortise::bench {
namespace {

Result<std::optional<Options>> parse(std::vector<const char*> args) {
  args.insert(args.begin(), "mortise-bench");
  return parse_options(static_cast<int>(args.size()), args.data());
}

Options parsed(std::vector<const char*> args) {
  auto result = parse(std::move(args));
  EXPECT_TRUE(result.ok()) << result.status().message();
  return result.ok() && result.value() ? *result.value() : Options();
}

std::string error_of(std::vector<const char*> args) {
  const auto result = parse(std::move(args));
  if (result.ok()) return "";
  EXPECT_EQ(result.status().code(), StatusCode::kInvalid);
  return result.status().message();
}

TEST(Options, Put) {
  const Options o = parsed({"put", "--endpoints", "a:1,b:2", "--clients=100", "--conns=10",
                            "--total", "5", "--key-size=12", "--key-space-size=1000",
                            "--distribution", "zipf", "--val-size=256"});
  EXPECT_EQ(o.command, Command::kPut);
  EXPECT_EQ(o.command_name, "put");
  EXPECT_EQ(o.endpoints, (std::vector<std::string>{"a:1", "b:2"}));
  EXPECT_EQ(o.clients, 100);
  EXPECT_EQ(o.conns, 10);
  EXPECT_EQ(o.total, 5u);
  EXPECT_EQ(o.distribution, Distribution::kZipf);
}

TEST(Options, EveryCommandHasItsOwn) {
  EXPECT_EQ(parsed({"range", "--serializable", "--range-limit=5", "--rev=3"}).range_limit, 5);
  EXPECT_EQ(parsed({"txn-put", "--key-space-size=9", "--txn-ops=3"}).txn_ops, 3);
  EXPECT_EQ(parsed({"watch", "--watchers=7", "--watch-put-rate=50"}).rate, 50);
  EXPECT_EQ(parsed({"lease-keepalive", "--leases=4"}).leases, 4);
  EXPECT_EQ(parsed({"mixed", "--read-ratio=0.9", "--duration=2"}).duration_s, 2);
}

TEST(Options, Refusals) {
  EXPECT_NE(error_of({}), "");
  EXPECT_NE(error_of({"steal"}), "");
  EXPECT_NE(error_of({"put", "--unknown"}), "");
  EXPECT_NE(error_of({"put", "--range-limit=5"}), "");
  EXPECT_NE(error_of({"put", "--total=0"}), "");
  EXPECT_NE(error_of({"put", "--total=5", "--duration=5"}), "");
  EXPECT_NE(error_of({"put", "--distribution=lucky"}), "");
  EXPECT_NE(error_of({"range", "--serializable", "--linearizable"}), "");
  EXPECT_NE(error_of({"mixed", "--read-ratio=1.5"}), "");
  EXPECT_NE(error_of({"watch", "--val-size=7"}), "");
  EXPECT_NE(error_of({"put", "--cert=x"}), "");
  EXPECT_NE(error_of({"put", "--threads=2"}), "");
  EXPECT_EQ(error_of({"put", "--key-size=3", "--key-space-size=1001"}),
            "--key-size 3 is too small: the prefix and 1001 keys need 4 bytes");
  EXPECT_EQ(error_of({"put", "--preload=2"}), "--preload 2 is more than --key-space-size 1");
  EXPECT_NE(error_of({"txn-put", "--txn-ops=2"}), "");
}

}  // namespace
}  // namespace mortise::bench
