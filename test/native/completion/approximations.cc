#include "approximations.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <vector>

namespace revenant::completion_test {
namespace {

// An instruction and how to describe its results: so many bits of offset in a segment, a line's shift, and
// the lowest bit of the result that is not always 0.
struct Kind {
  std::uint32_t (*execute)(std::uint32_t);
  int offset_bits;
  int shift;
  int unit;
  bool exact_at_zero;  // the mantissa 0 is a case of its own
};

#define INSTRUCTION(name, text)                                                       \
  std::uint32_t name(std::uint32_t bits) {                                            \
    std::uint32_t result;                                                             \
    __asm__("vmovd %1, %%xmm0\n\t" text " %%xmm0, %%xmm0, %%xmm0\n\tvmovd %%xmm0, %0" \
            : "=r"(result)                                                            \
            : "r"(bits)                                                               \
            : "xmm0");                                                                \
    return result;                                                                    \
  }
INSTRUCTION(reciprocal14, "vrcp14ss")
INSTRUCTION(root14, "vrsqrt14ss")
INSTRUCTION(reciprocal, "vrcpss")
INSTRUCTION(root, "vrsqrtss")

// A line (base - slope * x) >> shift through all of `points`, if there is one.
bool line(const std::vector<std::int64_t>& points, int shift, std::int64_t& base, std::int64_t& slope) {
  const auto last = static_cast<std::int64_t>(points.size()) - 1;
  const std::int64_t middle = (points.front() - points.back()) * (1 << shift) / last;
  for (slope = middle - middle / 4 - 4; slope <= middle + middle / 4 + 4; slope++) {
    std::int64_t low = INT64_MIN, high = INT64_MAX;
    for (std::int64_t x = 0; x <= last; x++) {
      const std::int64_t point = points[static_cast<std::size_t>(x)];
      low = std::max(low, point * (1 << shift) + slope * x);
      high = std::min(high, (point + 1) * (1 << shift) + slope * x);
    }
    base = low;
    if (low < high) return true;
  }
  return false;
}

// One table: the biased exponent to measure at, and how many segments.
bool print_table(const char* name, const Kind& kind, std::uint32_t exponent, unsigned segments) {
  const auto width = (1u << 23) / segments;
  const auto step = width >> kind.offset_bits;
  std::printf("constexpr ApproximationLine %s[] = {\n   ", name);
  for (unsigned segment = 0; segment < segments; segment++) {
    std::vector<std::int64_t> points;
    for (unsigned x = 0; x < 1u << kind.offset_bits; x++) {
      const std::uint32_t first = exponent << 23 | (segment * width + x * step);
      const std::uint32_t result = kind.execute(first + 1);
      for (unsigned i = 1; i < step; i++)
        if (kind.execute(first + i) != result) return false;
      const bool special = kind.exact_at_zero && (first & 0x7fffff) == 0;
      if (!special && kind.execute(first) != result) return false;
      if ((result & ((1u << kind.unit) - 1)) != 0) return false;
      points.push_back((static_cast<std::int64_t>(result) - 0x3f000000) >> kind.unit);
    }
    std::int64_t base, slope;
    if (!line(points, kind.shift, base, slope)) return false;
    std::printf(" {%lld, %lld},%s", static_cast<long long>(base), static_cast<long long>(slope),
                segment % 6 == 5 && segment + 1 != segments ? "\n   " : "");
  }
  std::printf("\n};\n");
  return true;
}

}  // namespace

bool print_approximations() {
  constexpr Kind reciprocals14 = {reciprocal14, 10, 9, 7, true}, roots14 = {root14, 10, 9, 7, true};
  constexpr Kind reciprocals = {reciprocal, 4, 6, 11, false}, even_roots = {root, 3, 4, 11, false};
  constexpr Kind odd_roots = {root, 4, 6, 11, false};
  return print_table("kZenReciprocal", reciprocals14, 127, 64) &&
         print_table("kZenRootEven", roots14, 127, 32) && print_table("kZenRootOdd", roots14, 128, 32) &&
         print_table("kZenShortReciprocal", reciprocals, 127, 256) &&
         print_table("kZenShortRootEven", even_roots, 127, 512) &&
         print_table("kZenShortRootOdd", odd_roots, 128, 256);
}

}  // namespace revenant::completion_test
