// The suite has to notice broken backends: each test here breaks one function of the memory
// backend.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstring>
#include <filesystem>

#include "host/loader/host_services.h"
#include "host/loader/loader.h"
#include "tests/conformance/suite.h"

namespace mortise::conformance {
namespace {

const mortise_backend_v1* good_table() {
  static const mortise_backend_v1* table = [] {
    const std::string path =
        std::string(::getenv("MORTISE_BUILD_DIR")) + "/plugins/backend_memory.so";
    return loader::backend(*loader::load(path, {}, "").value()).value();
  }();
  return table;
}

// Runs the checks whose name contains `filter`, and returns the lines.
std::string run(const mortise_backend_v1& table, const std::string& filter, Totals& totals) {
  std::string pattern = testing::TempDir() + "mortise-conformance.XXXXXX";
  EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
  const loader::HostObject host{loader::HostOptions{}};
  std::string lines;
  Options options;
  options.host = host.get();
  options.directory = pattern;
  options.quick = true;
  options.filter = filter;
  options.print = [&](const std::string& line) { lines += line + "\n"; };
  totals = run_backend_suite(&table, options);
  std::filesystem::remove_all(pattern);
  return lines;
}

void expect_caught(const mortise_backend_v1& broken, const std::string& filter) {
  Totals totals;
  const std::string lines = run(broken, filter, totals);
  EXPECT_GT(totals.failed, 0) << lines;
  const std::string good_lines = run(*good_table(), filter, totals);
  EXPECT_EQ(totals.failed, 0) << good_lines;
  EXPECT_GT(totals.passed, 0) << good_lines;
}

TEST(ConformanceSuite, CatchesOkWithoutAReader) {
  mortise_backend_v1 broken = *good_table();
  broken.reader_open = [](mortise_backend*, mortise_reader** out, mortise_error*) {
    *out = nullptr;
    return mortise_status{MORTISE_OK};
  };
  expect_caught(broken, "order_of_bytes");
}

TEST(ConformanceSuite, CatchesAValueInABufferThatAllReadersShare) {
  mortise_backend_v1 broken = *good_table();
  broken.get = [](mortise_reader* reader, uint32_t keyspace, mortise_bytes key,
                  mortise_bytes* value, mortise_error* error) {
    static char buffer[64];
    const mortise_status status = good_table()->get(reader, keyspace, key, value, error);
    if (status == MORTISE_OK && value->size <= sizeof(buffer)) {
      std::memcpy(buffer, value->data, value->size);
      value->data = reinterpret_cast<const uint8_t*>(buffer);
    }
    return status;
  };
  expect_caught(broken, "spans_stay");
}

TEST(ConformanceSuite, CatchesACommitInSteps) {
  mortise_backend_v1 broken = *good_table();
  broken.commit = [](mortise_backend* self, const mortise_commit_request* request,
                     mortise_error* error) {
    mortise_commit_request one = *request;
    for (size_t i = 0; i < request->op_count; ++i) {
      one.ops = request->ops + i;
      one.op_count = 1;
      const mortise_status status = good_table()->commit(self, &one, error);
      if (status != MORTISE_OK) return status;
    }
    return mortise_status{MORTISE_OK};
  };
  expect_caught(broken, "refused_commits");
  expect_caught(broken, "stable_beside_writer");
}

TEST(ConformanceSuite, CatchesASyncThatDoesNothing) {
  mortise_backend_v1 broken = *good_table();
  broken.sync = [](mortise_backend* self, uint64_t* index, mortise_error* error) {
    uint64_t term = 0;
    return good_table()->applied(self, index, &term, error);
  };
  expect_caught(broken, "reopen");
  expect_caught(broken, "close_without_sync");
}

TEST(ConformanceSuite, CatchesALostUpperBound) {
  mortise_backend_v1 broken = *good_table();
  broken.cursor_seek = [](mortise_cursor* cursor, mortise_bytes lower, mortise_bytes,
                          mortise_error* error) {
    return good_table()->cursor_seek(cursor, lower, mortise_bytes{nullptr, 0}, error);
  };
  expect_caught(broken, "iteration_bounds");
  expect_caught(broken, "random_operations");
}

TEST(ConformanceSuite, CatchesACheckpointOfNothing) {
  mortise_backend_v1 broken = *good_table();
  broken.checkpoint = [](mortise_backend*, const char* path, mortise_error*) {
    std::filesystem::create_directory(path);
    return mortise_status{MORTISE_OK};
  };
  expect_caught(broken, "checkpoint");
}

TEST(ConformanceSuite, CatchesAForgottenPosition) {
  mortise_backend_v1 broken = *good_table();
  broken.commit = [](mortise_backend* self, const mortise_commit_request* request,
                     mortise_error* error) {
    if (request->op_count == 0) return mortise_status{MORTISE_OK};
    return good_table()->commit(self, request, error);
  };
  expect_caught(broken, "applied_position");
}

}  // namespace
}  // namespace mortise::conformance
