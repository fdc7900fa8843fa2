// The checked wrappers around a tiny backend and watch index that can be told to misbehave.
#include "host/loader/checked.h"

#include <gtest/gtest.h>

#include <cstring>

#include "host/loader/host_services.h"
#include "mortise/sdk/backend.h"
#include "mortise/sdk/watch.h"

namespace mortise::loader {
namespace {

using sdk::Status;

// Holds one pair, "k" = "value", in every keyspace.
class Store {
 public:
  class Cursor {
   public:
    Status seek(std::string_view, std::string_view) {
      done_ = false;
      return {};
    }
    Status next(std::string_view& key, std::string_view& value) {
      if (done_) return sdk::not_found();
      done_ = true;
      key = "k";
      value = "value";
      return {};
    }

   private:
    bool done_ = false;
  };
  class Reader {
   public:
    using Cursor = Store::Cursor;
    Status get(uint32_t, std::string_view, std::string_view& value) {
      value = "value";
      return {};
    }
    Status cursor_open(uint32_t, uint32_t, std::unique_ptr<Cursor>& out) {
      out = std::make_unique<Cursor>();
      return {};
    }
  };
  static Status open(sdk::Host, const std::string&, std::string_view config,
                     std::unique_ptr<Store>& out) {
    if (config == "throw") throw std::runtime_error("thrown inside");
    out = std::make_unique<Store>();
    return {};
  }
  Status commit(const mortise_commit_request& r) {
    return r.applied_term == 666 ? sdk::internal_error("a disk") : Status();
  }
  Status sync(uint64_t& index) {
    index = 0;
    return {};
  }
  Status applied(uint64_t& index, uint64_t& term) {
    index = term = 0;
    return {};
  }
  Status reader_open(std::unique_ptr<Reader>& out) {
    out = std::make_unique<Reader>();
    return {};
  }
  Status size(mortise_store_size& out) {
    out.in_use_bytes = 1;
    return {};
  }
  Status reclaim() { return sdk::not_found(); }
};

class CheckedBackend : public testing::Test {
 protected:
  CheckedBackend() {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EQ(t_->store_open(host_.get(), "/", {}, &store_, nullptr), MORTISE_OK);
    EXPECT_EQ(t_->reader_open(store_, &reader_, nullptr), MORTISE_OK);
    EXPECT_EQ(t_->cursor_open(reader_, 0, 0, &cursor_, nullptr), MORTISE_OK);
  }
  ~CheckedBackend() override {
    if (cursor_ != nullptr) t_->cursor_close(cursor_);
    if (reader_ != nullptr) t_->reader_close(reader_);
    if (store_ != nullptr) t_->store_close(store_);
  }
  mortise_status commit(uint64_t index, uint64_t term) {
    mortise_commit_request request{};
    request.struct_size = sizeof(request);
    request.applied_index = index;
    request.applied_term = term;
    return t_->commit(store_, &request, nullptr);
  }

  static constexpr mortise_backend_v1 kTable = sdk::backend_table<Store>();
  HostObject host_{HostOptions{}};
  const mortise_backend_v1* t_ = checked_backend(&kTable);
  mortise_backend* store_ = nullptr;
  mortise_reader* reader_ = nullptr;
  mortise_cursor* cursor_ = nullptr;
};

TEST_F(CheckedBackend, GoodUseGoesThrough) {
  EXPECT_EQ(checked_backend(&kTable), t_);
  EXPECT_EQ(commit(1, 1), MORTISE_OK);
  mortise_bytes key{}, value{};
  EXPECT_EQ(t_->cursor_seek(cursor_, {}, {}, nullptr), MORTISE_OK);
  EXPECT_EQ(t_->cursor_next(cursor_, &key, &value, nullptr), MORTISE_OK);
  EXPECT_EQ(sdk::view(key), "k");
  EXPECT_EQ(t_->cursor_next(cursor_, &key, &value, nullptr), MORTISE_E_NOT_FOUND);
  EXPECT_EQ(t_->checkpoint, nullptr);
}

#ifndef __SANITIZE_ADDRESS__
TEST_F(CheckedBackend, SpansArePoisonedWhenTheyEnd) {
  const mortise_bytes key = sdk::bytes("k");
  mortise_bytes first{}, second{};
  ASSERT_EQ(t_->get(reader_, 0, key, &first, nullptr), MORTISE_OK);
  EXPECT_EQ(sdk::view(first), "value");
  ASSERT_EQ(t_->get(reader_, 0, key, &second, nullptr), MORTISE_OK);
  EXPECT_EQ(sdk::view(first), std::string(5, '\xDB'));
  EXPECT_EQ(sdk::view(second), "value");
}
#endif

TEST_F(CheckedBackend, BreachesOfTheHostAbort) {
  mortise_bytes key{}, value{};
  EXPECT_DEATH(t_->cursor_next(cursor_, &key, &value, nullptr), "before cursor_seek");
  EXPECT_DEATH(t_->reader_close(reader_), "open cursors");
  EXPECT_DEATH(t_->store_close(store_), "open readers");
  EXPECT_DEATH(t_->get(reader_, 16, sdk::bytes("k"), &value, nullptr), "keyspace 16");
  EXPECT_DEATH(t_->get(reader_, 0, {}, &value, nullptr), "a key of 0 bytes");
  EXPECT_DEATH(
      {
        commit(5, 1);
        commit(4, 1);
      },
      "goes back from 5 to 4");
  EXPECT_DEATH(
      {
        commit(5, 666);
        commit(6, 1);
      },
      "after a commit that failed");
  t_->cursor_close(cursor_);
  EXPECT_DEATH(t_->cursor_close(cursor_), "not open");
  EXPECT_DEATH(t_->cursor_seek(cursor_, {}, {}, nullptr), "not open");
  cursor_ = nullptr;
}

TEST_F(CheckedBackend, BreachesOfThePluginAbort) {
  mortise_store_size size{};
  size.struct_size = sizeof(size);
  EXPECT_DEATH(t_->size(store_, &size, nullptr), "more bytes in use");
  EXPECT_DEATH(t_->reclaim(store_, nullptr), "reclaim returned status 1");
  uint64_t index = 0;
  EXPECT_DEATH(
      {
        commit(9, 1);
        t_->sync(store_, &index, nullptr);
      },
      "sync\\(\\) answers 0");
}

TEST_F(CheckedBackend, NoExceptionLeavesAPlugin) {
  mortise_error error{};
  error.struct_size = sizeof(error);
  mortise_backend* out = store_;
  EXPECT_EQ(t_->store_open(host_.get(), "/", sdk::bytes("throw"), &out, &error),
            MORTISE_E_INTERNAL);
  EXPECT_EQ(out, nullptr);
  EXPECT_STREQ(error.message, "thrown inside");
}

// Reports every watcher for every event; and one that is not there for the key "bad".
class Index {
 public:
  static Status create(sdk::Host, std::string_view, std::unique_ptr<Index>& out) {
    out = std::make_unique<Index>();
    return {};
  }
  Status add(uint64_t watcher, std::string_view, std::string_view) {
    watcher_ = watcher;
    return {};
  }
  void remove(uint64_t) {}
  void match(std::span<const mortise_bytes> keys, sdk::MatchSink sink) {
    for (uint32_t i = 0; i < keys.size(); ++i) {
      sink(sdk::view(keys[i]) == "bad" ? watcher_ + 1 : watcher_, i);
      if (sdk::view(keys[i]) == "twice") sink(watcher_, i);
    }
  }

 private:
  uint64_t watcher_ = 0;
};

mortise_transport_v1 transport_table() {
  mortise_transport_v1 t{};
  t.struct_size = sizeof t;
  t.create = [](const mortise_host*, mortise_bytes, mortise_transport** out, mortise_error*) {
    *out = reinterpret_cast<mortise_transport*>(new char);
    return static_cast<mortise_status>(MORTISE_OK);
  };
  t.start = [](mortise_transport*, mortise_error*) {
    return static_cast<mortise_status>(MORTISE_OK);
  };
  t.drain = [](mortise_transport*, uint64_t) {};
  t.destroy = [](mortise_transport* self) { delete reinterpret_cast<char*>(self); };
  t.answers_begin = t.answers_end = [](mortise_transport*) {};
  return t;
}

// A thread of the host answers for all transports at once.
TEST(CheckedTransport, AnswersOfSeveralTransports) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  static const mortise_transport_v1 original = transport_table();
  const mortise_transport_v1* table = checked_transport(&original);
  mortise_transport* both[2] = {};
  for (mortise_transport*& one : both) {
    ASSERT_EQ(table->create(nullptr, {}, &one, nullptr), MORTISE_OK);
    ASSERT_EQ(table->start(one, nullptr), MORTISE_OK);
  }
  for (mortise_transport* one : both) table->answers_begin(one);
  EXPECT_DEATH(table->answers_begin(both[0]), "answers_begin\\(\\) within another");
  for (mortise_transport* one : both) table->answers_end(one);
  EXPECT_DEATH(table->answers_end(both[1]), "without its answers_begin");
  for (mortise_transport* one : both) {
    table->drain(one, 0);
    table->destroy(one);
  }
}

TEST(CheckedWatch, Breaches) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  static constexpr mortise_watch_v1 kTable = sdk::watch_table<Index>();
  const mortise_watch_v1* t = checked_watch(&kTable);
  const HostObject host{HostOptions{}};
  mortise_watch* index = nullptr;
  ASSERT_EQ(t->create(host.get(), {}, &index, nullptr), MORTISE_OK);
  ASSERT_EQ(t->add(index, 7, sdk::bytes("a"), {}, nullptr), MORTISE_OK);
  int matches = 0;
  const auto sink = [](void* context, uint64_t, uint32_t) { ++*static_cast<int*>(context); };
  const mortise_bytes keys[] = {sdk::bytes("a"), sdk::bytes("b")};
  t->match(index, keys, 2, +sink, &matches);
  EXPECT_EQ(matches, 2);
  const mortise_bytes bad[] = {sdk::bytes("bad")};
  EXPECT_DEATH(t->match(index, bad, 1, +sink, &matches), "watcher 8, not in the index");
  const mortise_bytes twice[] = {sdk::bytes("twice")};
  EXPECT_DEATH(t->match(index, twice, 1, +sink, &matches), "do not ascend");
  EXPECT_DEATH(t->add(index, 7, sdk::bytes("b"), {}, nullptr), "in the index already");
  t->destroy(index);
  EXPECT_DEATH(t->destroy(index), "does not exist");
}

}  // namespace
}  // namespace mortise::loader
