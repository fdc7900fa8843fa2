#include "host/discovery/srv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/discovery/test_dns.h"

namespace mortise::discovery {
namespace {

using ::testing::HasSubstr;

TEST(Dns, RecordsByPriorityAndWeight) {
  TestDns dns(
      {{"_s._tcp.example.test",
        {{20, 0, 4, "d.test"}, {10, 1, 3, "c.test"}, {10, 5, 1, "a.test"}, {10, 5, 2, "b.test"}}}});
  auto records = lookup_srv("_s._tcp.example.test", dns.address());
  ASSERT_TRUE(records.ok()) << records.status().message();
  ASSERT_EQ(records->size(), 4u);
  const std::vector<std::string> wanted = {"a.test", "b.test", "c.test", "d.test"};
  for (size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_EQ((*records)[i].target, wanted[i]);
    EXPECT_EQ((*records)[i].port, i + 1);
  }
}

TEST(Dns, NoSuchName) {
  TestDns dns({});
  EXPECT_EQ(lookup_srv("_s._tcp.example.test", dns.address()).status().message(),
            "lookup _s._tcp.example.test on " + dns.address() + ": no such host");
  EXPECT_EQ(lookup_srv("_s._tcp.example.test", "nowhere").status().message(),
            "\"nowhere\" is no IPv4 address of a name server");
}

TEST(Dns, Addresses) {
  EXPECT_EQ(lookup_address("127.0.0.1").value(), "127.0.0.1");
  EXPECT_EQ(lookup_address("::1").value(), "::1");
  EXPECT_EQ(lookup_address("a..b").status().message(), "lookup a..b: no such host");
}

class Srv : public ::testing::Test {
 protected:
  Srv() {
    options_.domain = "example.test";
    options_.name = "me";
    options_.peer_urls = config::parse_urls({"http://10.0.0.2:2380"}).value();
    options_.log = [](peer::LogLevel, std::string_view, const peer::LogFields&,
                      std::source_location) {};
    options_.lookup = [this](const std::string& name) -> Result<std::vector<SrvRecord>> {
      const auto found = zone_.find(name);
      if (found == zone_.end()) return invalid("lookup " + name + ": no such host");
      return found->second;
    };
    // "h2.test" has the address 10.0.0.2.
    options_.address = [](const std::string& host) -> Result<std::string> {
      if (host.starts_with("10.")) return host;
      if (host.starts_with("h")) return "10.0.0." + host.substr(1, 1);
      return invalid("lookup " + host + ": no such host");
    };
  }
  std::string members() {
    auto found = srv_members(options_);
    return found.ok() ? *found : "error: " + found.status().message();
  }

  TestDns::Zone zone_;
  SrvOptions options_;
};

TEST_F(Srv, OwnAddressHasTheOwnName) {
  zone_["_etcd-server._tcp.example.test"] = {
      {0, 0, 2380, "h1.test"}, {0, 0, 2380, "h2.test"}, {0, 0, 2381, "h2.test"}};
  EXPECT_EQ(members(), "0=http://h1.test:2380,me=http://h2.test:2380,1=http://h2.test:2381");
}

TEST_F(Srv, BothServicesWithASuffix) {
  options_.service_suffix = "blue";
  options_.peer_urls = config::parse_urls({"https://10.0.0.2:2380"}).value();
  zone_["_etcd-server._tcp.example.test"] = {{0, 0, 1, "h9.test"}};
  zone_["_etcd-server-ssl-blue._tcp.example.test"] = {{0, 0, 2380, "h2.test"}};
  zone_["_etcd-server-blue._tcp.example.test"] = {{0, 0, 2380, "h3.test"}};
  EXPECT_EQ(members(), "me=https://h2.test:2380,0=http://h3.test:2380");
}

TEST_F(Srv, NeitherServiceIsThere) {
  EXPECT_EQ(members(),
            "error: error querying DNS SRV records for _etcd-server-ssl lookup "
            "_etcd-server-ssl._tcp.example.test: no such host\n"
            "error querying DNS SRV records for _etcd-server lookup "
            "_etcd-server._tcp.example.test: no such host");
}

TEST_F(Srv, NotAmongTheRecords) {
  zone_["_etcd-server._tcp.example.test"] = {{0, 0, 2380, "h1.test"}};
  EXPECT_EQ(members(), "error: cannot find local etcd member \"me\" in SRV records");
}

TEST_F(Srv, TheWrongScheme) {
  zone_["_etcd-server-ssl._tcp.example.test"] = {{0, 0, 2380, "h2.test"}};
  EXPECT_THAT(members(), HasSubstr("bootstrap at https://h2.test:2380 from DNS for etcd-server-ssl "
                                   "has scheme mismatch with expected peer http://10.0.0.2:2380"));
}

TEST_F(Srv, ATargetWithoutAnAddressIsLeftOut) {
  zone_["_etcd-server._tcp.example.test"] = {{0, 0, 2380, "x.test"}, {0, 0, 2380, "h2.test"}};
  EXPECT_EQ(members(), "me=http://h2.test:2380");
}

}  // namespace
}  // namespace mortise::discovery
