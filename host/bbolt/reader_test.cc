#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>

#include "host/bbolt/test_rows.h"

namespace mortise::bbolt {
namespace {

template <typename T>
void store(std::string* image, size_t offset, const T& value) {
  std::memcpy(image->data() + offset, &value, sizeof value);
}

// Changes both meta pages and makes their checksums fit.
template <typename Change>
void change_metas(std::string* image, Change change) {
  for (size_t id : {0, 1}) {
    size_t at = id * kPageBytes + sizeof(PageHeader);
    auto meta = load<Meta>(image->data() + at);
    change(&meta);
    meta.checksum = meta_checksum(meta);
    store(image, at, meta);
  }
}

std::string problem(const std::string& image) {
  auto read = read_image(image);
  return read.ok() ? "" : read.status().message();
}

// Leaves 3 to 8 with two rows each, branch 9, the root's leaf 10.
Buckets example() {
  Rows rows;
  for (char c = 'a'; c < 'a' + 12; ++c) rows[std::string(1, c)] = std::string(1500, c);
  return {{"bucket", rows}};
}
constexpr size_t kExampleBranch = 9 * kPageBytes;

TEST(BboltReaderTest, Example) {
  EXPECT_EQ(describe_pages(write_image(example())),
            "0 meta 0+0\n1 meta 0+0\n2 freelist 0+0\n3 leaf 2+0\n4 leaf 2+0\n5 leaf 2+0\n"
            "6 leaf 2+0\n7 leaf 2+0\n8 leaf 2+0\n9 branch 6+0\n10 leaf 1+0\n");
  EXPECT_EQ(problem(write_image(example())), "");
}

TEST(BboltReaderTest, TheNewerMetaPageThatIsWholeIsTaken) {
  std::string image = write_image(example());
  auto txid = [&] {
    MemorySource source(image);
    return File::open(&source).value().txid();
  };
  EXPECT_EQ(txid(), 2u);
  image[kPageBytes + 16 + 8] ^= 1;  // The older one.
  EXPECT_EQ(txid(), 2u);
  image = write_image(example());
  image[16 + 8] ^= 1;
  EXPECT_EQ(txid(), 1u);
  image[kPageBytes + 16] ^= 1;
  EXPECT_EQ(problem(image), "bbolt page 0: the checksum does not fit");
  image[16] ^= 1;
  EXPECT_EQ(problem(image), "bbolt page 0: not a bbolt file");
  EXPECT_EQ(problem(""), "bbolt page 0: the file is too short");
}

TEST(BboltReaderTest, PagesOfOtherSizes) {
  // The same four pages, each on a page of 16 KiB.
  std::string small = write_image({{"b", {{"k", "v"}}}});
  std::string image;
  for (size_t id = 0; id < 4; ++id) {
    image += small.substr(id * kPageBytes, kPageBytes);
    image.resize((id + 1) * 16384);
  }
  for (size_t at : {size_t{16}, size_t{16384 + 16}}) {
    auto meta = load<Meta>(image.data() + at);
    meta.page_bytes = 16384;
    meta.checksum = meta_checksum(meta);
    store(&image, at, meta);
  }
  EXPECT_EQ(problem(image), "");
  image[16] ^= 1;  // The size is found on the second page, wherever that is.
  EXPECT_EQ(problem(image), "");
}

TEST(BboltReaderTest, WithoutAListOfFreePages) {
  std::string image = write_image(example());
  change_metas(&image, [](Meta* meta) { meta->freelist = kNoFreelist; });
  EXPECT_EQ(problem(image), "");  // Page 2 is free then.
}

TEST(BboltReaderTest, FreePages) {
  std::string image = write_image(example());
  image.resize(image.size() + 2 * kPageBytes);
  change_metas(&image, [](Meta* meta) { meta->page_count += 2; });
  EXPECT_EQ(problem(image), "bbolt page 11: is neither used nor free");
  store(&image, 2 * kPageBytes, PageHeader{2, kFreelist, 2, 0});
  store(&image, 2 * kPageBytes + 16, uint64_t{12});
  store(&image, 2 * kPageBytes + 24, uint64_t{11});
  EXPECT_EQ(problem(image), "");
  store(&image, 2 * kPageBytes + 24, uint64_t{12});
  EXPECT_EQ(problem(image), "bbolt page 12: is both used and free, or free twice");
  store(&image, 2 * kPageBytes + 24, uint64_t{3});
  EXPECT_EQ(problem(image), "bbolt page 3: is both used and free, or free twice");
  store(&image, 2 * kPageBytes + 24, uint64_t{13});
  EXPECT_EQ(problem(image), "bbolt page 2: names page 13 as free");
  store(&image, 2 * kPageBytes, PageHeader{2, kFreelist, 0xffff, 0});
  store(&image, 2 * kPageBytes + 16, uint64_t{1} << 61);
  EXPECT_EQ(problem(image), "bbolt page 2: names more free pages than it holds");
  change_metas(&image, [](Meta* meta) { meta->freelist = 3; });
  EXPECT_EQ(problem(image), "bbolt page 3: is not a list of free pages");
}

TEST(BboltReaderTest, DamagedMeta) {
  std::string good = write_image(example());
  std::string image = good;
  change_metas(&image, [](Meta* meta) { meta->version = 3; });
  EXPECT_EQ(problem(image), "bbolt page 0: version 3 of the format is not known");
  change_metas(&image, [](Meta* meta) { meta->version = 2, meta->page_bytes = 4095; });
  EXPECT_EQ(problem(image), "bbolt page 0: a page size of 4095 bytes");
  image = good;
  change_metas(&image, [](Meta* meta) { meta->page_count = 12; });
  EXPECT_EQ(problem(image), "the bbolt file has 11 pages of the 12 that it should have");
  for (uint64_t root : {uint64_t{0}, uint64_t{1}, uint64_t{11}, UINT64_MAX}) {
    image = good;
    change_metas(&image, [&](Meta* meta) { meta->root.root = root; });
    EXPECT_EQ(problem(image),
              "bbolt page " + std::to_string(root) + ": is referenced and does not exist");
  }
  change_metas(&image, [](Meta* meta) { meta->root.root = 2; });
  EXPECT_EQ(problem(image), "bbolt page 2: is the root and neither a branch nor a leaf");
  EXPECT_EQ(problem(good.substr(0, good.size() - 1)),
            "the bbolt file has 10 pages of the 11 that it should have");
}

TEST(BboltReaderTest, DamagedPages) {
  std::string good = write_image(example());
  auto after = [&](size_t offset, auto value) {
    std::string image = good;
    store(&image, offset, value);
    return problem(image);
  };
  size_t leaf = 3 * kPageBytes;
  EXPECT_EQ(after(leaf, uint64_t{4}), "bbolt page 3: says that it is page 4");
  EXPECT_EQ(after(leaf + 8, uint16_t{kFreelist}), "bbolt page 3: is neither a branch nor a leaf");
  EXPECT_EQ(after(leaf + 10, uint16_t{300}), "bbolt page 3: 300 elements do not fit the page");
  EXPECT_EQ(after(leaf + 12, uint32_t{8}), "bbolt page 3: overflows the file");
  EXPECT_EQ(after(leaf + 12, UINT32_MAX), "bbolt page 3: overflows the file");
  EXPECT_EQ(after(leaf + 12, uint32_t{1}), "bbolt page 4: is referenced more than once");
  EXPECT_EQ(after(leaf + 16, uint32_t{2}), "bbolt page 3: element 0 has unknown flags");
  EXPECT_EQ(after(leaf + 20, UINT32_MAX), "bbolt page 3: element 0 points out of the page");
  EXPECT_EQ(after(leaf + 20, uint32_t{16}), "bbolt page 3: element 0 points out of the page");
  EXPECT_EQ(after(leaf + 24, uint32_t{0}), "bbolt page 3: element 0 has a key of 0 bytes");
  EXPECT_EQ(after(leaf + 24, UINT32_MAX), "bbolt page 3: element 0 has a key of 4294967295 bytes");
  EXPECT_EQ(after(leaf + 28, UINT32_MAX), "bbolt page 3: element 0 points out of the page");
  EXPECT_EQ(after(leaf + 48, 'b'), "bbolt page 3: element 1 is out of order");
  EXPECT_EQ(after(leaf + 48, 'A'), "bbolt page 3: has keys that belong to another page");
  EXPECT_EQ(after(leaf + 48 + 1501, 'x'), "bbolt page 3: has keys that belong to another page");
}

TEST(BboltReaderTest, DamagedBranches) {
  std::string good = write_image(example());
  auto child = [&](size_t i, uint64_t id) {
    std::string image = good;
    store(&image, kExampleBranch + 16 + i * 16 + 8, id);
    return problem(image);
  };
  EXPECT_EQ(child(0, 0), "bbolt page 0: is referenced and does not exist");
  EXPECT_EQ(child(0, 99), "bbolt page 99: is referenced and does not exist");
  EXPECT_EQ(child(0, 9), "bbolt page 9: is referenced more than once");  // A cycle.
  EXPECT_EQ(child(1, 3), "bbolt page 3: is referenced more than once");
  EXPECT_EQ(child(0, 4), "bbolt page 4: has keys that belong to another page");
  EXPECT_EQ(child(5, 2), "bbolt page 2: is neither a branch nor a leaf");
  std::string image = good;
  store(&image, kExampleBranch + 10, uint16_t{0});
  EXPECT_EQ(problem(image), "bbolt page 9: is a branch without children");
  store(&image, kExampleBranch + 10, uint16_t{5});
  EXPECT_EQ(problem(image), "bbolt page 8: is neither used nor free");
}

TEST(BboltReaderTest, ATreeThatIsTooDeep) {
  // Each branch has one child, the next page.
  std::string image = write_image({{"bucket", {{"k", std::string(2000, 'v')}}}});
  ASSERT_EQ(describe_pages(image),
            "0 meta 0+0\n1 meta 0+0\n2 freelist 0+0\n3 leaf 1+0\n4 leaf 1+0\n");
  constexpr size_t kRootElement = 4 * kPageBytes + 16;
  store(&image, kRootElement + 16 + 6, uint64_t{5});
  for (uint64_t id = 5; id < 80; ++id) {
    std::string page(kPageBytes, '\0');
    store(&page, 0, PageHeader{id, kBranch, 1, 0});
    store(&page, 16, BranchElement{16, 1, id == 79 ? 3 : id + 1});
    page[32] = 'k';
    image += page;
  }
  change_metas(&image, [](Meta* meta) { meta->page_count = 80; });
  EXPECT_EQ(problem(image), "bbolt page 69: lies too deep");
}

TEST(BboltReaderTest, DamagedInlineBuckets) {
  std::string good = write_image({{"b", {{"k", "v"}}}});
  // The root's element, and the bucket's value behind the key.
  constexpr size_t kElement = 3 * kPageBytes + 16, kValue = kElement + 16 + 1;
  auto after = [&](size_t offset, auto value) {
    std::string image = good;
    store(&image, offset, value);
    return problem(image);
  };
  EXPECT_EQ(after(kElement + 12, uint32_t{15}), "a bucket of a bbolt file has a value of 15 bytes");
  EXPECT_EQ(after(kElement + 12, uint32_t{31}), "bbolt page 0: has no room for its header");
  EXPECT_EQ(after(kValue, uint64_t{3}), "bbolt page 3: is referenced more than once");
  EXPECT_EQ(after(kValue + 16 + 8, uint16_t{kBranch}),
            "a bucket that a bbolt file keeps in its row is not a leaf");
  EXPECT_EQ(after(kValue + 16 + 10, uint16_t{3}), "bbolt page 0: 3 elements do not fit the page");
}

TEST(BboltReaderTest, FindsBucketsByName) {
  std::string image = write_image({{"a", {{"k", "1"}}}, {"c", {{"k", "2"}}}});
  MemorySource source(image);
  File file = File::open(&source).value();
  EXPECT_EQ(file.find("b").status().code(), StatusCode::kNotFound);
  auto c = file.find("c");
  Row row;
  ASSERT_TRUE(c->next(&row));
  EXPECT_EQ(row.value, "2");
  EXPECT_FALSE(c->next(&row));
  EXPECT_TRUE(c->status().ok());
}

TEST(BboltReaderTest, FromAFile) {
  std::string path = (std::filesystem::temp_directory_path() / "mortise-bbolt-XXXXXX").string();
  int fd = ::mkstemp(path.data());
  ASSERT_GE(fd, 0);
  std::string image = write_image(example()) + "behind the file's end";
  ASSERT_EQ(::write(fd, image.data(), image.size()), static_cast<ssize_t>(image.size()));
  ::close(fd);
  {
    auto source = FileSource::open(path);
    ASSERT_TRUE(source.ok());
    File file = File::open(source->get()).value();
    EXPECT_EQ(file.size(), 11 * kPageBytes);
    EXPECT_TRUE(file.check().ok());
    auto cursor = file.find("bucket");
    Row row;
    size_t rows = 0;
    while (cursor->next(&row)) rows += row.value == std::string(1500, row.key[0]) ? 1 : 0;
    EXPECT_EQ(rows, 12u);
    // Cut short while it is open.
    std::filesystem::resize_file(path, 5 * kPageBytes);
    EXPECT_EQ(file.check().message(), path + " became shorter while it was read");
  }
  std::filesystem::remove(path);
  EXPECT_EQ(FileSource::open(path).status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace mortise::bbolt
