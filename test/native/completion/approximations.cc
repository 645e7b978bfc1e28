#include "approximations.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <vector>

namespace revenant::completion_test {
namespace {

constexpr int kOffsetBits = 10;
constexpr int kShift = 9;

std::uint32_t approximation(bool root, std::uint32_t bits) {
  std::uint32_t result;
  if (root) {
    __asm__("vmovd %1, %%xmm0\n\tvrsqrt14ss %%xmm0, %%xmm0, %%xmm0\n\tvmovd %%xmm0, %0"
            : "=r"(result)
            : "r"(bits)
            : "xmm0");
  } else {
    __asm__("vmovd %1, %%xmm0\n\tvrcp14ss %%xmm0, %%xmm0, %%xmm0\n\tvmovd %%xmm0, %0"
            : "=r"(result)
            : "r"(bits)
            : "xmm0");
  }
  return result;
}

// A line (base - slope * x) >> kShift through all of `points`, if there is one.
bool line(const std::vector<std::int64_t>& points, std::int64_t& base, std::int64_t& slope) {
  const auto last = static_cast<std::int64_t>(points.size()) - 1;
  const std::int64_t middle = (points.front() - points.back()) * (1 << kShift) / last;
  for (slope = middle - middle / 8 - 2; slope <= middle + middle / 8 + 2; slope++) {
    std::int64_t low = INT64_MIN, high = INT64_MAX;
    for (std::int64_t x = 0; x <= last; x++) {
      const std::int64_t point = points[static_cast<std::size_t>(x)];
      low = std::max(low, point * (1 << kShift) + slope * x);
      high = std::min(high, (point + 1) * (1 << kShift) + slope * x);
    }
    base = low;
    if (low < high) return true;
  }
  return false;
}

// One table: the biased exponent to measure at, and how many segments.
bool print_table(const char* name, bool root, std::uint32_t exponent, unsigned segments) {
  const auto width = (1u << 23) / segments;
  const auto step = width >> kOffsetBits;
  std::printf("constexpr ApproximationLine %s[] = {\n   ", name);
  for (unsigned segment = 0; segment < segments; segment++) {
    std::vector<std::int64_t> points;
    for (unsigned x = 0; x < 1u << kOffsetBits; x++) {
      const std::uint32_t first = exponent << 23 | (segment * width + x * step);
      // The mantissa 0 is a case of its own.
      const std::uint32_t result = approximation(root, first + 1);
      for (unsigned i = 1; i < step; i++)
        if (approximation(root, first + i) != result) return false;
      if ((first & 0x7fffff) != 0 && approximation(root, first) != result) return false;
      if ((result & 0x7f) != 0) return false;
      points.push_back((static_cast<std::int64_t>(result) - 0x3f000000) >> 7);
    }
    std::int64_t base, slope;
    if (!line(points, base, slope)) return false;
    std::printf(" {%lld, %lld},%s", static_cast<long long>(base), static_cast<long long>(slope),
                segment % 6 == 5 && segment + 1 != segments ? "\n   " : "");
  }
  std::printf("\n};\n");
  return true;
}

}  // namespace

bool print_approximations() {
  return print_table("kZenReciprocal", false, 127, 64) && print_table("kZenRootEven", true, 127, 32) &&
         print_table("kZenRootOdd", true, 128, 32);
}

}  // namespace revenant::completion_test
