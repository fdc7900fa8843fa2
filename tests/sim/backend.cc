#include "tests/sim/backend.h"

#include <cstdlib>
#include <filesystem>

#include "host/loader/loader.h"

namespace mortise::sim {
namespace {

namespace fs = std::filesystem;

const mortise_backend_v1* memory() {
  static const mortise_backend_v1* const table = [] {
    const char* build = std::getenv("MORTISE_BUILD_DIR");
    MORTISE_CHECK(build != nullptr, "MORTISE_BUILD_DIR is not set");
    auto plugin = loader::load("memory", {std::string(build) + "/plugins"}, "backend_");
    MORTISE_CHECK(plugin.ok(), plugin.status().message());
    return loader::backend(**plugin).value();
  }();
  return table;
}

const mortise_host* host() {
  static const loader::HostObject object{loader::HostOptions{}};
  return object.get();
}

// The plugin wants an empty directory and puts a lock file there; the directory goes at once.
mortise_backend* open_memory() {
  std::string dir = (fs::temp_directory_path() / "mortise-sim-XXXXXX").string();
  MORTISE_CHECK(mkdtemp(dir.data()) != nullptr, "no temporary directory");
  mortise_backend* out = nullptr;
  const mortise_status status =
      memory()->store_open(host(), dir.c_str(), {nullptr, 0}, &out, nullptr);
  MORTISE_CHECK(status == MORTISE_OK, "the memory backend does not open");
  std::error_code ignored;
  fs::remove_all(dir, ignored);
  return out;
}

struct Commit {
  struct Op {
    mortise_op_kind kind;
    uint32_t keyspace;
    std::string key;
    std::string value;
  };
  std::vector<Op> ops;
  uint64_t index = 0;
  uint64_t term = 0;
};

void apply(mortise_backend* to, const Commit& commit, uint64_t index, uint64_t term) {
  std::vector<mortise_write_op> ops;
  ops.reserve(commit.ops.size());
  for (const Commit::Op& op : commit.ops) {
    ops.push_back({op.kind, op.keyspace, store::bytes(op.key), store::bytes(op.value)});
  }
  mortise_commit_request request{};
  request.struct_size = sizeof request;
  request.applied_index = index;
  request.applied_term = term;
  request.ops = ops.data();
  request.op_count = ops.size();
  const mortise_status status = memory()->commit(to, &request, nullptr);
  MORTISE_CHECK(status == MORTISE_OK, "the memory backend refuses a commit");
}

// All pairs that the reader sees.
Commit contents(mortise_reader* reader) {
  Commit out;
  for (uint32_t keyspace = 0; keyspace < MORTISE_KEYSPACE_COUNT_MAX; ++keyspace) {
    mortise_cursor* cursor = nullptr;
    mortise_status status = memory()->cursor_open(reader, keyspace, 0, &cursor, nullptr);
    MORTISE_CHECK(status == MORTISE_OK, "no cursor");
    status = memory()->cursor_seek(cursor, {nullptr, 0}, {nullptr, 0}, nullptr);
    MORTISE_CHECK(status == MORTISE_OK, "no seek");
    mortise_bytes key, value;
    while (memory()->cursor_next(cursor, &key, &value, nullptr) == MORTISE_OK) {
      out.ops.push_back({MORTISE_OP_PUT, keyspace, std::string(store::view(key)),
                         std::string(store::view(value))});
    }
    memory()->cursor_close(cursor);
  }
  return out;
}

}  // namespace

struct BackendDisk::Image {
  mortise_backend* inner = open_memory();
  mortise_reader* durable = nullptr;  // The state that the last sync covers.
  uint64_t durable_index = 0;
  uint64_t durable_term = 0;
  std::deque<Commit> since;  // The commits after it.
  bool is_open = false;

  Image() { sync(); }
  ~Image() {
    memory()->reader_close(durable);
    memory()->store_close(inner);
  }
  void sync() {
    if (durable != nullptr) memory()->reader_close(durable);
    (void)memory()->reader_open(inner, &durable, nullptr);
    (void)memory()->applied(inner, &durable_index, &durable_term, nullptr);
    since.clear();
  }
  // Only the first `kept` commits since the last sync took place.
  void go_back(size_t kept, bool lose_applied_index) {
    if (kept == since.size() && !lose_applied_index) return;
    since.resize(kept);
    mortise_backend* fresh = open_memory();
    apply(fresh, contents(durable), durable_index, durable_term);
    uint64_t index = durable_index, term = durable_term;
    for (size_t i = 0; i < kept; ++i) {
      const bool lost = lose_applied_index && i + 1 == kept;
      if (!lost) index = since[i].index;
      if (!lost) term = since[i].term;
      apply(fresh, since[i], index, term);
    }
    memory()->reader_close(durable);
    memory()->store_close(inner);
    inner = fresh;
    durable = nullptr;
    sync();
  }
};

namespace {

// The plugin's handle is an image of ours; readers and cursors are the plugin's own.
BackendDisk::Image* opening = nullptr;
BackendDisk::Image* image(mortise_backend* self) {
  return reinterpret_cast<BackendDisk::Image*>(self);
}

mortise_status store_open(const mortise_host*, const char*, mortise_bytes, mortise_backend** out,
                          mortise_error*) {
  MORTISE_CHECK(!opening->is_open, "a store is opened twice");
  opening->is_open = true;
  *out = reinterpret_cast<mortise_backend*>(opening);
  return MORTISE_OK;
}

void store_close(mortise_backend* self) { image(self)->is_open = false; }

mortise_status sync_store(mortise_backend* self, uint64_t* index, mortise_error*) {
  image(self)->sync();
  *index = image(self)->durable_index;
  return MORTISE_OK;
}

mortise_status commit(mortise_backend* self, const mortise_commit_request* request,
                      mortise_error* error) {
  mortise_commit_request unsynced = *request;
  unsynced.sync = 0;
  const mortise_status status = memory()->commit(image(self)->inner, &unsynced, error);
  if (status != MORTISE_OK) return status;
  Commit copy;
  copy.index = request->applied_index;
  copy.term = request->applied_term;
  for (size_t i = 0; i < request->op_count; ++i) {
    const mortise_write_op& op = request->ops[i];
    copy.ops.push_back({op.kind, op.keyspace, std::string(store::view(op.key)),
                        std::string(store::view(op.value))});
  }
  image(self)->since.push_back(std::move(copy));
  if (request->sync != 0) image(self)->sync();
  return MORTISE_OK;
}

mortise_status applied(mortise_backend* self, uint64_t* index, uint64_t* term,
                       mortise_error* error) {
  return memory()->applied(image(self)->inner, index, term, error);
}

mortise_status reader_open(mortise_backend* self, mortise_reader** out, mortise_error* error) {
  return memory()->reader_open(image(self)->inner, out, error);
}

mortise_status size(mortise_backend* self, mortise_store_size* out, mortise_error* error) {
  return memory()->size(image(self)->inner, out, error);
}

mortise_status reclaim(mortise_backend*, mortise_error*) { return MORTISE_OK; }

const mortise_backend_v1* table() {
  static const mortise_backend_v1 ours = [] {
    mortise_backend_v1 out = *memory();
    out.store_open = store_open;
    out.store_close = store_close;
    out.commit = commit;
    out.sync = sync_store;
    out.applied = applied;
    out.reader_open = reader_open;
    out.size = size;
    out.reclaim = reclaim;
    out.checkpoint = nullptr;
    out.replace = nullptr;
    return out;
  }();
  return &ours;
}

}  // namespace

BackendDisk::BackendDisk(Random random) : random_(random) {}
BackendDisk::~BackendDisk() = default;

std::unique_ptr<store::Store> BackendDisk::open(const std::string& name) {
  std::unique_ptr<Image>& found = images_[name];
  if (!found) found = std::make_unique<Image>();
  opening = found.get();
  auto opened = store::Store::open(table(), host(), name, "{}");
  opening = nullptr;
  return std::move(opened).value();
}

void BackendDisk::remove(const std::string& name) {
  const auto found = images_.find(name);
  if (found == images_.end()) return;
  MORTISE_CHECK(!found->second->is_open, "an open store is removed");
  images_.erase(found);
}

std::vector<std::string> BackendDisk::names() const {
  std::vector<std::string> out;
  for (const auto& [name, image] : images_) out.push_back(name);
  return out;
}

void BackendDisk::crash() {
  for (auto& [name, image] : images_) {
    MORTISE_CHECK(!image->is_open, "a crash with an open store");
    const size_t commits = image->since.size();
    // All or nothing as often as something in between.
    size_t kept = random_.below(commits + 1);
    if (random_.percent(25)) kept = 0;
    if (random_.percent(33)) kept = commits;
    image->go_back(kept, lose_applied_index_ && kept > 0);
  }
}

}  // namespace mortise::sim
