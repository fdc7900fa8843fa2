#include "host/config/url.h"

#include <gtest/gtest.h>

namespace mortise::config {
namespace {

TEST(Url, GoodForms) {
  const struct {
    const char* text;
    const char* scheme;
    const char* host;
    const char* port;
    const char* path;
    const char* printed;
  } kGood[] = {
      {"http://10.1.1.1:80", "http", "10.1.1.1", "80", "", "http://10.1.1.1:80"},
      {"https://localhost:2379", "https", "localhost", "2379", "", "https://localhost:2379"},
      {"HTTP://localhost:1", "http", "localhost", "1", "", "http://localhost:1"},
      {" http://localhost:1 ", "http", "localhost", "1", "", "http://localhost:1"},
      {"http://:2379", "http", "", "2379", "", "http://:2379"},
      {"http://localhost:", "http", "localhost", "", "", "http://localhost:"},
      {"http://[::1]:2379", "http", "::1", "2379", "", "http://[::1]:2379"},
      {"http://me:pw@10.0.0.1:1", "http", "10.0.0.1", "1", "", "http://me:pw@10.0.0.1:1"},
      {"http://<a>:1", "http", "<a>", "1", "", "http://<a>:1"},
      {"http://[fe80::1%25eth0]:1", "http", "fe80::1%25eth0", "1", "", "http://[fe80::1%25eth0]:1"},
      {"unix:///tmp/a.sock", "unix", "", "", "/tmp/a.sock", "unix:///tmp/a.sock"},
      {"unix://tmp/a.sock", "unix", "", "", "tmp/a.sock", "unix://tmp/a.sock"},
      {"unix://localhost:20000", "unix", "", "", "localhost:20000", "unix://localhost:20000"},
      {"unixs://localhost:20000", "unixs", "", "", "localhost:20000", "unixs://localhost:20000"},
      {"unix:/run/a.sock", "unix", "", "", "/run/a.sock", "unix:/run/a.sock"},
  };
  for (const auto& test : kGood) {
    const auto url = parse_url(test.text);
    ASSERT_TRUE(url.ok()) << test.text << ": " << url.status().message();
    EXPECT_EQ(url.value().scheme, test.scheme) << test.text;
    EXPECT_EQ(url.value().host, test.host) << test.text;
    EXPECT_EQ(url.value().port, test.port) << test.text;
    EXPECT_EQ(url.value().path, test.path) << test.text;
    EXPECT_EQ(url.value().text, test.printed) << test.text;
  }
}

TEST(Url, BadForms) {
  const struct {
    const char* text;
    const char* error;
  } kBad[] = {
      {"", "URL scheme must be http, https, unix, or unixs: "},
      {"somewhere", "URL scheme must be http, https, unix, or unixs: somewhere"},
      {"file://foo/bar", "URL scheme must be http, https, unix, or unixs: file://foo/bar"},
      {":2379", "parse \":2379\": missing protocol scheme"},
      {"127.0.0.1:2379",
       "parse \"127.0.0.1:2379\": first path segment in URL cannot contain colon"},
      {"localhost:2379", "URL scheme must be http, https, unix, or unixs: localhost:2379"},
      {"http://10.1.1.1", "URL address does not have the form \"host:port\": http://10.1.1.1"},
      {"http://::1:80", "parse \"http://::1:80\": invalid port \"::1:80\" after host"},
      {"http://[localhost]:1",
       "parse \"http://[localhost]:1\": invalid host: ParseAddr(\"localhost\"): unable to parse "
       "IP"},
      {"http://[::1]", "URL address does not have the form \"host:port\": http://[::1]"},
      {"http://[::1:80", "parse \"http://[::1:80\": missing ']' in host"},
      {"http://a:b", "parse \"http://a:b\": invalid port \":b\" after host"},
      {"http://a b:80", "parse \"http://a b:80\": invalid character \" \" in host name"},
      {"http://a:1/path", "URL must not contain a path: http://a:1/path"},
      {"http://a:1/", "URL must not contain a path: http://a:1/"},
  };
  for (const auto& test : kBad) {
    EXPECT_EQ(parse_url(test.text).status().message(), test.error) << test.text;
  }
}

TEST(Url, ListsAreSorted) {
  const auto urls = parse_urls({"http://b:1", " http://a:1"});
  ASSERT_TRUE(urls.ok());
  EXPECT_EQ(url_texts(urls.value()), (std::vector<std::string>{"http://a:1", "http://b:1"}));
}

TEST(Url, RoutableAddress) {
  const auto of = [](const std::vector<std::string>& texts) {
    return routable_address(parse_urls(texts).value());
  };
  EXPECT_EQ(of({"http://127.0.0.1:1", "http://[::1]:1", "http://0.0.0.0:1", "http://[::]:1",
                "http://localhost:1", "unix://10.0.0.1:1"}),
            "");
  EXPECT_EQ(of({"http://127.1.2.3:1", "http://10.0.0.2:1", "http://10.0.0.1:1"}), "10.0.0.1");
  EXPECT_EQ(of({"http://[2001:db8::1]:1", "http://a.example:1"}), "2001:db8::1");
}

TEST(Url, BindAndHostChecks) {
  for (const char* text :
       {"http://localhost:1", "http://0.0.0.0:1", "http://[::]:1", "unix://x:1"}) {
    EXPECT_TRUE(check_bind_urls({parse_url(text).value()}).ok()) << text;
  }
  for (const char* text : {"http://example.com:1", "http://:1", "https://127.0.0:1"}) {
    EXPECT_EQ(check_bind_urls({parse_url(text).value()}).message(),
              "expected IP in URL for binding (" + std::string(text) + ")");
  }
  EXPECT_TRUE(check_bind_urls({parse_url("http://127.0.0.1:65535").value()}).ok());
  EXPECT_EQ(check_bind_urls({parse_url("http://127.0.0.1:65536").value()}).message(),
            "listen tcp: address 65536: invalid port");
  EXPECT_EQ(check_bind_urls({parse_url("http://127.0.0.1:99999999999999").value()}).message(),
            "listen tcp: address 99999999999999: invalid port");
  EXPECT_TRUE(check_host_urls({parse_url("http://example.com:1").value()}).ok());
  EXPECT_EQ(check_host_urls({parse_url("http://:1").value()}).message(),
            "unexpected empty host (http://:1)");
}

}  // namespace
}  // namespace mortise::config
