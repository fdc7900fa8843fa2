// A disk that fills up under a server: writes fail or the server stops, both with a clear line;
// once there is space again, a restarted server has everything that was acknowledged. Needs root,
// for a small file system of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "tests/lib/client.h"
#include "tests/lib/node.h"

namespace mortise::testing {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr size_t kValueBytes = 250 << 10;
constexpr int kPutsMax = 3000;

class SmallDisk {
 public:
  SmallDisk()
      : mounted_(::mount("tmpfs", dir_.path().c_str(), "tmpfs", 0, "size=400m") == 0),
        error_(errno) {}
  ~SmallDisk() {
    if (mounted_) ::umount2(dir_.path().c_str(), MNT_DETACH);
  }
  bool mounted() const { return mounted_; }
  std::string error() const { return std::strerror(error_); }
  const std::string& path() const { return dir_.path(); }

  // Leaves that many bytes free.
  void fill(size_t left) {
    struct statvfs stat {};
    ::statvfs(path().c_str(), &stat);
    size_t free = stat.f_bavail * stat.f_frsize;
    std::string block(1 << 20, 'b');
    std::ofstream file(ballast(), std::ios::binary);
    for (; free > left; free -= std::min(free, block.size())) {
      file.write(block.data(), static_cast<std::streamsize>(std::min(block.size(), free - left)));
    }
  }
  void free() { std::filesystem::remove(ballast()); }

 private:
  std::string ballast() const { return path() + "/ballast"; }
  TempDir dir_;
  bool mounted_;
  int error_;
};

class FullDiskTest : public ::testing::TestWithParam<std::string> {};

TEST_P(FullDiskTest, NothingAcknowledgedIsLost) {
  SmallDisk disk;
  if (!disk.mounted()) GTEST_SKIP() << "cannot mount a small file system: " << disk.error();
  Node node(mortise_target(GetParam()), {.data_dir = disk.path() + "/data"});
  ASSERT_EQ(node.start().message(), "");
  disk.fill(1 << 20);

  int acknowledged = 0;
  grpc::Status status;
  {
    Client client(node.endpoint());
    while (acknowledged < kPutsMax) {
      std::string number = std::to_string(acknowledged);
      status = client.put("k" + number, number + std::string(kValueBytes, 'v'));
      if (!status.ok()) break;
      ++acknowledged;
    }
  }
  ASSERT_LT(acknowledged, kPutsMax) << "the disk never became full";
  std::printf("%d puts, then %s; %s\n", acknowledged, status_text(status).c_str(),
              node.running() ? "it runs" : "it ended");
  EXPECT_THAT(node.log(), AnyOf(HasSubstr("No space left on device"), HasSubstr("no space")));

  disk.free();
  node.kill();
  ASSERT_EQ(node.start().message(), "");
  Client client(node.endpoint());
  for (int i = 0; i < acknowledged; ++i) {
    etcdserverpb::RangeRequest request;
    request.set_key("k" + std::to_string(i));
    etcdserverpb::RangeResponse response;
    status = client.range(request, &response);
    ASSERT_TRUE(status.ok()) << status_text(status);
    ASSERT_EQ(response.kvs_size(), 1) << "k" << i << " was acknowledged and is gone";
    ASSERT_EQ(response.kvs(0).value(), std::to_string(i) + std::string(kValueBytes, 'v'));
  }
  EXPECT_TRUE(client.put("again", "v").ok());
}

INSTANTIATE_TEST_SUITE_P(Backends, FullDiskTest, ::testing::Values("rocksdb", "lmdb"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace mortise::testing
