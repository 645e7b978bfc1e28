#include "approximations.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <vector>

#include <cpuid.h>

namespace revenant::completion_test {
namespace {

// An instruction, and the lowest bit of its results that is not always 0.
struct Kind {
  std::uint32_t (*execute)(std::uint32_t);
  int unit;
  bool exact_at_zero;  // the mantissa 0 is a separate case
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

// The results at each mantissa, in units above 1/2; empty where they are not multiples.
std::vector<std::int64_t> results_of(const Kind& kind, std::uint32_t exponent) {
  std::vector<std::int64_t> results(1u << 23);
  for (std::uint32_t mantissa = 0; mantissa < 1u << 23; mantissa++) {
    const bool special = kind.exact_at_zero && mantissa == 0;
    const std::uint32_t result = kind.execute(exponent << 23 | (special ? 1 : mantissa));
    if ((result & ((1u << kind.unit) - 1)) != 0) return {};
    results[mantissa] = (static_cast<std::int64_t>(result) - 0x3f000000) >> kind.unit;
  }
  return results;
}

struct Line {
  std::int64_t base, slope;
};

// Lines for 2^segment_bits segments of steps that are `step` mantissas wide; empty where there are none.
std::vector<Line> lines_of(const std::vector<std::int64_t>& results, int segment_bits, int offset_bits,
                           int shift) {
  std::vector<Line> lines;
  for (std::size_t segment = 0; segment < std::size_t{1} << segment_bits; segment++) {
    std::vector<std::int64_t> points;
    for (std::size_t x = 0; x < std::size_t{1} << offset_bits; x++)
      points.push_back(results[(segment << offset_bits | x) << (23 - segment_bits - offset_bits)]);
    Line found;
    if (!line(points, shift, found.base, found.slope)) return {};
    lines.push_back(found);
  }
  return lines;
}

// One table: the fewest segments of straight lines that give all results at a biased exponent.
bool print_table(const char* vendor, const char* name, const Kind& kind, std::uint32_t exponent) {
  const std::vector<std::int64_t> results = results_of(kind, exponent);
  if (results.empty()) return false;
  int step_bits = 0;
  const auto steps = [&results](int bits) {
    for (std::size_t at = 0; at < results.size(); at++)
      if (results[at] != results[at >> bits << bits]) return false;
    return true;
  };
  while (step_bits < 16 && steps(step_bits + 1)) step_bits++;
  for (int segment_bits = 4; segment_bits < 23 - step_bits; segment_bits++) {
    const int offset_bits = 23 - step_bits - segment_bits;
    for (int shift = 0; shift <= 12; shift++) {
      const std::vector<Line> lines = lines_of(results, segment_bits, offset_bits, shift);
      if (lines.empty()) continue;
      std::printf("constexpr ApproximationLine k%s%sLines[] = {\n", vendor, name);
      for (const Line& each : lines)
        std::printf("{%lld, %lld},", static_cast<long long>(each.base), static_cast<long long>(each.slope));
      std::printf("\n};\nconstexpr Approximation k%s%s = {k%s%sLines, %d, %d, %d, %d};\n", vendor, name,
                  vendor, name, segment_bits, offset_bits, shift, kind.unit - 7);
      return true;
    }
  }
  return false;
}

}  // namespace

bool print_approximations() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  __get_cpuid(0, &eax, &ebx, &ecx, &edx);
  const char* const vendor = ebx == signature_INTEL_ebx ? "Intel" : "Zen";
  constexpr Kind reciprocals14 = {reciprocal14, 7, true}, roots14 = {root14, 7, true};
  constexpr Kind reciprocals = {reciprocal, 11, false}, roots = {root, 11, false};
  return print_table(vendor, "Reciprocal", reciprocals14, 127) &&
         print_table(vendor, "RootEven", roots14, 127) && print_table(vendor, "RootOdd", roots14, 128) &&
         print_table(vendor, "ShortReciprocal", reciprocals, 127) &&
         print_table(vendor, "ShortRootEven", roots, 127) && print_table(vendor, "ShortRootOdd", roots, 128);
}

}  // namespace revenant::completion_test
