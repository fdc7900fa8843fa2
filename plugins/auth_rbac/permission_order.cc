#include "plugins/auth_rbac/permission_order.h"

#include <bit>
#include <cstdint>
#include <utility>

namespace mortise::auth_rbac {
namespace {

constexpr int kInsertionMax = 12;      // Ranges this short are sorted by insertion.
constexpr int kNintherMin = 50;        // Ranges this long get their pivot from nine elements.
constexpr int kShiftMin = 50;          // Shorter ranges are not worth a few shifts.
constexpr int kShiftStepsMax = 5;      // How many shifts are tried before partitioning.
constexpr int kPivotSwapsMax = 4 * 3;  // As many swaps as a descending range needs.

enum class Hint { kUnknown, kIncreasing, kDecreasing };

class Sorter {
 public:
  explicit Sorter(std::vector<Permission>& list) : list_(list) {}

  void sort() {
    const int size = static_cast<int>(list_.size());
    quick(0, size, std::bit_width(static_cast<unsigned>(size)));
  }

 private:
  bool less(int i, int j) const { return at(i).key < at(j).key; }
  void swap(int i, int j) { std::swap(at(i), at(j)); }
  Permission& at(int i) const { return list_[static_cast<size_t>(i)]; }

  void quick(int a, int b, int limit);
  void insertion(int a, int b);
  void heap(int a, int b);
  void sift_down(int low, int high, int first);
  void break_patterns(int a, int b);
  void reverse(int a, int b);
  bool partial_insertion(int a, int b);
  int partition(int a, int b, int pivot, bool& already);
  int partition_equal(int a, int b, int pivot);
  int choose_pivot(int a, int b, Hint& hint) const;
  int median(int a, int b, int c, int& swaps) const;
  void order(int& a, int& b, int& swaps) const;

  std::vector<Permission>& list_;
};

void Sorter::insertion(int a, int b) {
  for (int i = a + 1; i < b; ++i) {
    for (int j = i; j > a && less(j, j - 1); --j) swap(j, j - 1);
  }
}

void Sorter::sift_down(int low, int high, int first) {
  int root = low;
  for (;;) {
    int child = 2 * root + 1;
    if (child >= high) return;
    if (child + 1 < high && less(first + child, first + child + 1)) ++child;
    if (!less(first + root, first + child)) return;
    swap(first + root, first + child);
    root = child;
  }
}

void Sorter::heap(int a, int b) {
  const int size = b - a;
  for (int i = (size - 1) / 2; i >= 0; --i) sift_down(i, size, a);
  for (int i = size - 1; i >= 0; --i) {
    swap(a, a + i);
    sift_down(0, i, a);
  }
}

void Sorter::break_patterns(int a, int b) {
  const int length = b - a;
  if (length < 8) return;
  auto random = static_cast<uint64_t>(length);
  const uint64_t modulus = uint64_t{1} << std::bit_width(static_cast<unsigned>(length));
  const int middle = a + (length / 4) * 2;
  for (int i = 0; i < 3; ++i) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    int other = static_cast<int>(random & (modulus - 1));
    if (other >= length) other -= length;
    swap(middle - 1 + i, a + other);
  }
}

void Sorter::reverse(int a, int b) {
  for (int i = a, j = b - 1; i < j; ++i, --j) swap(i, j);
}

// Sorts a range in which at most a few elements are out of place; false if it is another.
bool Sorter::partial_insertion(int a, int b) {
  int i = a + 1;
  for (int step = 0; step < kShiftStepsMax; ++step) {
    while (i < b && !less(i, i - 1)) ++i;
    if (i == b) return true;
    if (b - a < kShiftMin) return false;
    swap(i, i - 1);
    if (i - a >= 2) {
      for (int j = i - 1; j >= 1 && less(j, j - 1); --j) swap(j, j - 1);
    }
    if (b - i >= 2) {
      for (int j = i + 1; j < b && less(j, j - 1); ++j) swap(j, j - 1);
    }
  }
  return false;
}

int Sorter::partition(int a, int b, int pivot, bool& already) {
  swap(a, pivot);
  int i = a + 1;
  int j = b - 1;
  already = true;
  for (;;) {
    while (i <= j && less(i, a)) ++i;
    while (i <= j && !less(j, a)) --j;
    if (i > j) break;
    already = false;
    swap(i++, j--);
  }
  swap(j, a);
  return j;
}

int Sorter::partition_equal(int a, int b, int pivot) {
  swap(a, pivot);
  int i = a + 1;
  int j = b - 1;
  for (;;) {
    while (i <= j && !less(a, i)) ++i;
    while (i <= j && less(a, j)) --j;
    if (i > j) return i;
    swap(i++, j--);
  }
}

void Sorter::order(int& a, int& b, int& swaps) const {
  if (!less(b, a)) return;
  ++swaps;
  std::swap(a, b);
}

int Sorter::median(int a, int b, int c, int& swaps) const {
  order(a, b, swaps);
  order(b, c, swaps);
  order(a, b, swaps);
  return b;
}

int Sorter::choose_pivot(int a, int b, Hint& hint) const {
  const int length = b - a;
  int swaps = 0;
  int i = a + length / 4 * 1;
  int j = a + length / 4 * 2;
  int k = a + length / 4 * 3;
  if (length >= 8) {
    if (length >= kNintherMin) {
      i = median(i - 1, i, i + 1, swaps);
      j = median(j - 1, j, j + 1, swaps);
      k = median(k - 1, k, k + 1, swaps);
    }
    j = median(i, j, k, swaps);
  }
  hint = swaps == 0                ? Hint::kIncreasing
         : swaps == kPivotSwapsMax ? Hint::kDecreasing
                                   : Hint::kUnknown;
  return j;
}

void Sorter::quick(int a, int b, int limit) {
  bool balanced = true;
  bool partitioned = true;
  for (;;) {
    const int length = b - a;
    if (length <= kInsertionMax) return insertion(a, b);
    if (limit == 0) return heap(a, b);
    if (!balanced) {
      break_patterns(a, b);
      --limit;
    }
    Hint hint{};
    int pivot = choose_pivot(a, b, hint);
    if (hint == Hint::kDecreasing) {
      reverse(a, b);
      pivot = (b - 1) - (pivot - a);
      hint = Hint::kIncreasing;
    }
    if (balanced && partitioned && hint == Hint::kIncreasing && partial_insertion(a, b)) return;
    if (a > 0 && !less(a - 1, pivot)) {
      a = partition_equal(a, b, pivot);
      continue;
    }
    const int middle = partition(a, b, pivot, partitioned);
    const int left = middle - a;
    const int right = b - middle;
    balanced = std::min(left, right) >= length / 8;
    if (left < right) {
      quick(a, middle, limit);
      a = middle + 1;
    } else {
      quick(middle + 1, b, limit);
      b = middle;
    }
  }
}

}  // namespace

void sort_permissions(std::vector<Permission>& permissions) { Sorter(permissions).sort(); }

}  // namespace mortise::auth_rbac
