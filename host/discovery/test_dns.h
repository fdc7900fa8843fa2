// A name server on loopback, for tests: it knows the SRV records that it was given, answers that
// there is no other name, and runs on a thread of its own until it is destroyed.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "host/discovery/dns.h"

namespace mortise::discovery {

class TestDns {
 public:
  // Records by name, such as "_etcd-server._tcp.example.test".
  using Zone = std::map<std::string, std::vector<SrvRecord>>;

  explicit TestDns(Zone zone) : zone_(std::move(zone)) {
    fd_ = socket(AF_INET, SOCK_DGRAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~TestDns() {
    stopped_ = true;
    thread_.join();
    close(fd_);
  }
  TestDns(const TestDns&) = delete;
  TestDns& operator=(const TestDns&) = delete;

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  static constexpr size_t kHeaderBytes = 12;
  static constexpr int kPollMs = 20;

  static void put16(std::string* out, unsigned value) {
    out->push_back(static_cast<char>(value >> 8));
    out->push_back(static_cast<char>(value));
  }
  static void put_name(std::string* out, const std::string& name) {
    for (size_t begin = 0; begin < name.size();) {
      const size_t end = std::min(name.find('.', begin), name.size());
      out->push_back(static_cast<char>(end - begin));
      out->append(name, begin, end - begin);
      begin = end + 1;
    }
    out->push_back('\0');
  }

  void serve() {
    while (!stopped_) {
      pollfd wait{fd_, POLLIN, 0};
      if (poll(&wait, 1, kPollMs) <= 0) continue;
      char query[512];
      sockaddr_in from{};
      socklen_t from_size = sizeof from;
      const ssize_t size =
          recvfrom(fd_, query, sizeof query, 0, reinterpret_cast<sockaddr*>(&from), &from_size);
      if (size <= static_cast<ssize_t>(kHeaderBytes)) continue;
      const std::string answer = answer_to(std::string(query, static_cast<size_t>(size)));
      sendto(fd_, answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&from), from_size);
    }
  }

  std::string answer_to(const std::string& query) const {
    std::string name;
    size_t at = kHeaderBytes;
    while (at < query.size() && query[at] != 0) {
      const auto length = static_cast<size_t>(query[at]);
      name += (name.empty() ? "" : ".") + query.substr(at + 1, length);
      at += 1 + length;
    }
    const std::string question = query.substr(kHeaderBytes, at + 5 - kHeaderBytes);
    const auto found = zone_.find(name);
    const size_t count = found == zone_.end() ? 0 : found->second.size();
    std::string out = query.substr(0, 2);
    put16(&out, found == zone_.end() ? 0x8583 : 0x8580);  // An answer; no such name.
    put16(&out, 1);
    put16(&out, static_cast<unsigned>(count));
    put16(&out, 0);
    put16(&out, 0);
    out += question;
    for (size_t i = 0; i < count; ++i) {
      const SrvRecord& record = found->second[i];
      std::string data;
      put16(&data, record.priority);
      put16(&data, record.weight);
      put16(&data, record.port);
      put_name(&data, record.target);
      put16(&out, 0xc000 + kHeaderBytes);  // The name of the question.
      put16(&out, 33);                     // SRV
      put16(&out, 1);
      out.append("\0\0\0\x3c", 4);
      put16(&out, static_cast<unsigned>(data.size()));
      out += data;
    }
    return out;
  }

  const Zone zone_;
  int fd_ = -1;
  uint16_t port_ = 0;
  std::atomic<bool> stopped_{false};
  std::thread thread_;
};

}  // namespace mortise::discovery
