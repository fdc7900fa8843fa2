// Files that are whole, with a few bytes changed, must be read or refused: no crash, no endless
// walk. The seeds are fixed, so a failure comes again.
#include <gtest/gtest.h>

#include <random>

#include "host/bbolt/test_rows.h"

namespace mortise::bbolt {
namespace {

class Mutator {
 public:
  explicit Mutator(uint32_t seed) : random_(seed) {}

  std::string mutate(std::string image) {
    for (size_t n = 1 + below(4); n > 0; --n) change_one(&image);
    if (below(4) != 0) mend_checksums(&image);
    return image;
  }

 private:
  uint64_t below(uint64_t n) { return std::uniform_int_distribution<uint64_t>(0, n - 1)(random_); }

  // Numbers that are likely to matter: small ones, those near limits, and any.
  uint64_t number(size_t pages) {
    static constexpr uint64_t kEdges[] = {0,      1,      2,          15,         16,
                                          0x7fff, 0xffff, 0x7fffffff, 0xffffffff, UINT64_MAX};
    switch (below(4)) {
      case 0: return kEdges[below(std::size(kEdges))];
      case 1: return below(pages + 2);
      case 2: return below(5000);
      default: return random_();
    }
  }

  void change_one(std::string* image) {
    if (image->size() < 64) return;
    size_t pages = image->size() / kPageBytes + 1;
    size_t page = below(pages) * kPageBytes;
    // Mostly in a page's header and its elements.
    size_t offset = page + (below(4) == 0 ? below(kPageBytes) : below(80));
    switch (below(8)) {
      case 0: image->resize(below(image->size())); return;
      case 1: image->append(below(3 * kPageBytes), '\0'); return;
      case 2: return swap_pages(image, below(pages), below(pages));
      case 3: return put<uint8_t>(image, offset, number(pages));
      case 4: return put<uint16_t>(image, offset & ~size_t{1}, number(pages));
      case 5: return put<uint32_t>(image, offset & ~size_t{3}, number(pages));
      default: return put<uint64_t>(image, offset & ~size_t{7}, number(pages));
    }
  }
  template <typename T>
  static void put(std::string* image, size_t offset, uint64_t value) {
    T typed = static_cast<T>(value);
    if (offset + sizeof typed <= image->size()) {
      std::memcpy(image->data() + offset, &typed, sizeof typed);
    }
  }
  // Their ids stay in place, so that what points to them finds another page's content.
  static void swap_pages(std::string* image, size_t a, size_t b) {
    if (std::max(a, b) * kPageBytes + kPageBytes > image->size() || a == b) return;
    std::swap_ranges(image->begin() + static_cast<ptrdiff_t>(a * kPageBytes + 8),
                     image->begin() + static_cast<ptrdiff_t>((a + 1) * kPageBytes),
                     image->begin() + static_cast<ptrdiff_t>(b * kPageBytes + 8));
  }
  static void mend_checksums(std::string* image) {
    for (size_t at : {sizeof(PageHeader), kPageBytes + sizeof(PageHeader)}) {
      if (at + sizeof(Meta) > image->size()) return;
      auto meta = load<Meta>(image->data() + at);
      meta.checksum = meta_checksum(meta);
      std::memcpy(image->data() + at, &meta, sizeof meta);
    }
  }

  std::mt19937 random_;
};

std::vector<std::string> seeds() {
  std::vector<std::string> images = {write_image({}), write_image({{"b", {{"k", "v"}}}})};
  Rows many, large;
  for (int i = 100000; i < 100600; ++i) many[std::to_string(i)] = std::string(i % 90, 'v');
  for (int i = 0; i < 6; ++i) large[std::to_string(i)] = std::string(9000, 'v');
  images.push_back(write_image({{"key", many}, {"lease", {{"k", "v"}}}, {"meta", {}}}));
  images.push_back(write_image({{"key", large}, {"meta", many}}));
  // Three levels.
  Rows deep;
  for (int i = 0; i < 300; ++i) deep[std::string(1200, 'k') + std::to_string(i)] = "v";
  images.push_back(write_image({{"deep", deep}}));
  return images;
}

TEST(BboltFuzzTest, ChangedBytesAreReadOrRefused) {
  const char* setting = std::getenv("MORTISE_BBOLT_FUZZ_ROUNDS");
  const uint32_t rounds = setting != nullptr ? static_cast<uint32_t>(std::atoi(setting)) : 4000;
  std::vector<std::string> images = seeds();
  uint32_t refused = 0, opened = 0;
  for (uint32_t round = 0; round < rounds; ++round) {
    std::string image = Mutator(round).mutate(images[round % images.size()]);
    auto read = read_image(image);
    if (!read.ok()) {
      ++refused;
      EXPECT_FALSE(read.status().message().empty());
    }
    // The rows are walked without check(), too, as a restore does.
    MemorySource source(image);
    auto file = File::open(&source);
    if (!file.ok()) continue;
    ++opened;
    for (const char* name : {"b", "key", "lease", "meta", "deep"}) {
      auto cursor = file->find(name);
      if (!cursor.ok()) continue;
      Row row;
      std::string last;
      while (cursor->next(&row)) {
        ASSERT_LT(last, row.key) << "seed " << round;
        last = row.key;
      }
    }
  }
  // The mutations are neither all fatal nor all harmless.
  EXPECT_GT(refused, rounds / 4);
  EXPECT_GT(opened, rounds / 4);
}

}  // namespace
}  // namespace mortise::bbolt
