// 64 bytes seen as elements of any width. The host is little-endian, as the registers are.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace revenant::completion {

static_assert(std::endian::native == std::endian::little, "elements are read from the registers' bytes");

// An index beyond the end wraps around.
struct alignas(64) Vector {
  std::uint8_t bytes[64];

  template <class T>
  T get(unsigned index) const {
    T value;
    std::memcpy(&value, bytes + (index * sizeof(T) & 63), sizeof(T));
    return value;
  }

  template <class T>
  void set(unsigned index, T value) {
    std::memcpy(bytes + (index * sizeof(T) & 63), &value, sizeof(T));
  }
};

}  // namespace revenant::completion
