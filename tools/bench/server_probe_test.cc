#include "tools/bench/server_probe.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

namespace mortise::bench {
namespace {

TEST(ServerProbe, ParsesStatWithAnAwkwardName) {
  ServerSample sample;
  const std::string text =
      "12 (a) b (c) S 1 12 12 0 -1 4194560 100 0 0 0 250 50 7 8 20 0 5 0 100 1000 50";
  ASSERT_TRUE(parse_proc_stat(text, 100, &sample).ok());
  EXPECT_DOUBLE_EQ(sample.user_s, 2.5);
  EXPECT_DOUBLE_EQ(sample.system_s, 0.5);
  EXPECT_DOUBLE_EQ(sample.cpu_s(), 3.0);
}

TEST(ServerProbe, ParsesStatus) {
  ServerSample sample;
  ASSERT_TRUE(parse_proc_status("Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n", &sample).ok());
  EXPECT_EQ(sample.rss_bytes, 1024u * 1024);
  EXPECT_EQ(sample.rss_peak_bytes, 2048u * 1024);
}

TEST(ServerProbe, RefusesBrokenText) {
  ServerSample sample;
  EXPECT_EQ(parse_proc_stat("", 100, &sample).code(), StatusCode::kInvalid);
  EXPECT_EQ(parse_proc_stat("1 (x) S 1 2", 100, &sample).code(), StatusCode::kInvalid);
  EXPECT_EQ(parse_proc_status("Name:\tx\n", &sample).code(), StatusCode::kInvalid);
}

TEST(ServerProbe, ReadsALivingProcess) {
  const auto sample = sample_server(getpid());
  ASSERT_TRUE(sample.ok()) << sample.status().message();
  EXPECT_GT(sample.value().rss_bytes, 0u);
  EXPECT_GE(sample.value().rss_peak_bytes, sample.value().rss_bytes);
}

TEST(ServerProbe, AddsUpSeveral) {
  const auto one = sample_servers({getpid()});
  const auto two = sample_servers({getpid(), getpid()});
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_GT(two.value().rss_bytes, one.value().rss_bytes * 3 / 2);
  EXPECT_FALSE(sample_servers({getpid(), 1 << 23}).ok());
}

TEST(ServerProbe, NoSuchProcess) {
  // The largest process number is below this on every Linux.
  EXPECT_EQ(sample_server(1 << 23).status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace mortise::bench
