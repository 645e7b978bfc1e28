// Approximations as straight lines: what a processor gives for each of the 2^23 mantissas of a single,
// measured.
#pragma once

#include <cstdint>

namespace revenant::completion {

struct ApproximationLine {
  std::int32_t base;
  std::int32_t slope;
};

// The mantissa's first bits are the line's index, the bits after those are x: ((base - slope * x) >> shift)
// << unit, in units of 2^-17 above 1/2. Instructions on doubles use the same lines, for the first 23 bits of
// the mantissa. With 14 bits a mantissa of 0 that has an exact answer is not on the lines.
struct Approximation {
  const ApproximationLine* lines;
  std::uint8_t index_bits;
  std::uint8_t offset_bits;
  std::uint8_t shift;
  std::uint8_t unit;
};

}  // namespace revenant::completion
