// The host's services as a plugin meets them: through the C++ SDK, the C tables, and back.
#include "host/loader/host_services.h"

#include <gtest/gtest.h>

#include <future>

#include "mortise/sdk/host.h"

namespace mortise::loader {
namespace {

TEST(HostServices, LogLinesCarryThePlugin) {
  std::vector<std::string> lines;
  HostOptions options;
  options.plugin_name = "backend_x";
  options.log_enabled = [](mortise_log_level level) { return level >= MORTISE_LOG_INFO; };
  options.log = [&](mortise_log_level level, std::string_view message,
                    std::span<const LogField> fields) {
    std::string line = std::to_string(level) + " " + std::string(message);
    for (const LogField& f : fields) {
      line += " " + std::string(f.key) + (f.is_number ? "#" : "=") + std::string(f.value);
    }
    lines.push_back(line);
  };
  const HostObject object(options);
  const sdk::Host host(object.get());
  host.log(MORTISE_LOG_DEBUG, "unseen");
  host.log(MORTISE_LOG_WARN, "seen", {{"bytes", 12}, {"path", "/x"}});
  host.log(77, "an unknown level is info");
  EXPECT_EQ(lines, (std::vector<std::string>{"2 seen plugin=backend_x bytes#12 path=/x",
                                             "1 an unknown level is info plugin=backend_x"}));
}

TEST(HostServices, MetricsOfThePlugin) {
  MetricsRegistry registry;
  HostOptions options;
  options.plugin_name = "p";
  options.metrics = &registry;
  const HostObject object(options);
  const sdk::Host host(object.get());
  host.counter("mortise_things_total", "Things", {{"kind", "good"}}).add(3);
  host.gauge("etcd_like", "E").set(4);
  host.gauge("etcd_like", "E", {{"other", "labels"}}).set(5);
  std::string text;
  registry.write(text);
  EXPECT_NE(text.find("mortise_things_total{kind=\"good\",plugin=\"p\"} 3\n"), std::string::npos);
  EXPECT_NE(text.find("\netcd_like 4\n"), std::string::npos) << text;
}

TEST(HostServices, AbsentServicesAreHarmless) {
  const HostObject object{HostOptions{}};
  const sdk::Host host(object.get());
  host.log(MORTISE_LOG_ERROR, "to nobody");
  host.counter("mortise_x", "X").add(1);
  EXPECT_EQ(host.post([] {}).code, MORTISE_E_UNSUPPORTED);
  EXPECT_EQ(host.rpc(), nullptr);
}

TEST(HostServices, AddedServicesAreFound) {
  HostObject object{HostOptions{}};
  const mortise_host_rpc_v1 rpc{};
  int user = 0;
  object.add_service(MORTISE_HOST_RPC_ID, &rpc);
  object.set_user(&user);
  EXPECT_EQ(sdk::Host(object.get()).rpc(), &rpc);
  EXPECT_EQ(HostObject::of(object.get()).user(), &user);
}

TEST(HostServices, TasksAndTimersRunOnce) {
  Executor executor(2);
  HostOptions options;
  options.executor = &executor;
  const HostObject object(options);
  const sdk::Host host(object.get());
  std::promise<void> posted, timed;
  ASSERT_TRUE(host.post([&] { posted.set_value(); }).ok());
  sdk::Timer timer, never;
  ASSERT_TRUE(host.start_timer(
                      std::chrono::milliseconds(1), [&] { timed.set_value(); }, timer)
                  .ok());
  ASSERT_TRUE(host.start_timer(
                      std::chrono::hours(1), [] { FAIL(); }, never)
                  .ok());
  posted.get_future().wait();
  timed.get_future().wait();
  EXPECT_FALSE(timer.cancel());
  EXPECT_TRUE(never.cancel());
  EXPECT_FALSE(never.cancel());
  executor.stop();
  EXPECT_EQ(host.post([] {}).code, MORTISE_E_STOPPED);
  EXPECT_EQ(host.start_timer(
                    std::chrono::hours(1), [] {}, never)
                .code,
            MORTISE_E_STOPPED);
}

TEST(HostServices, AStatusGoesOutWithItsMessage) {
  mortise_error error{};
  error.struct_size = sizeof(error);
  EXPECT_EQ(to_abi(invalid("why"), &error), MORTISE_E_INVALID);
  EXPECT_STREQ(error.message, "why");
  EXPECT_EQ(to_abi(Status(StatusCode::kNoSpace, "full"), nullptr), MORTISE_E_NO_SPACE);
}

}  // namespace
}  // namespace mortise::loader
