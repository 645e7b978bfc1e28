// The tests' generator of numbers: its sequence is part of the recorded answers, so it must not change.
#pragma once

#include <cstdint>

namespace revenant::completion_test {

// xoshiro256** (Blackman and Vigna), seeded by splitmix64.
class Random {
 public:
  explicit Random(std::uint64_t seed) {
    for (std::uint64_t& word : state_) {
      seed += 0x9e3779b97f4a7c15;
      word = mixed(seed);
    }
  }

  static std::uint64_t mixed(std::uint64_t z) {
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }

  std::uint64_t next() {
    const std::uint64_t result = rotated(state_[1] * 5, 7) * 9;
    const std::uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = rotated(state_[3], 45);
    return result;
  }

  // 0 to `end` - 1.
  unsigned below(unsigned end) { return static_cast<unsigned>((next() >> 32) * end >> 32); }

  bool one_in(unsigned n) { return below(n) == 0; }

 private:
  static std::uint64_t rotated(std::uint64_t x, int n) { return x << n | x >> (64 - n); }

  std::uint64_t state_[4];
};

}  // namespace revenant::completion_test
