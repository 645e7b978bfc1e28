// The memory that samples of instructions work on: six pages at a fixed address, the last of them read-only,
// nothing around them. On silicon they are mapped there; the software sees the same bytes through
// ArenaMemory.
#pragma once

#include <cstdint>
#include <cstring>

#include "../../../native/completion/state.h"

namespace revenant::completion_test {

constexpr std::uint64_t kArenaAddress = 0x10000000;
constexpr unsigned kPage = 4096;
constexpr unsigned kArenaBytes = 6 * kPage;
constexpr std::uint64_t kReadOnlyAddress = kArenaAddress + 5 * kPage;

// Where the instruction and its stack are. Samples may name these addresses, but not access them.
constexpr std::uint64_t kCodeAddress = 0x20000000;
constexpr std::uint64_t kInstructionAddress = kCodeAddress + 0x400;
constexpr unsigned kCodeBytes = 3 * kPage;
constexpr std::uint64_t kStackPointer = kCodeAddress + 2 * kPage;

// The arena as the software's memory.
class ArenaMemory final : public completion::Memory {
 public:
  explicit ArenaMemory(std::uint8_t* bytes) : bytes_(bytes) {}

  bool read(std::uint64_t address, void* to, unsigned size, completion::MemoryFault& fault) override {
    if (!inside(address, size, kArenaAddress + kArenaBytes, false, fault)) return false;
    std::memcpy(to, bytes_ + (address - kArenaAddress), size);
    return true;
  }

  bool write(std::uint64_t address, const void* from, unsigned size,
             completion::MemoryFault& fault) override {
    if (!writable(address, size, fault)) return false;
    std::memcpy(bytes_ + (address - kArenaAddress), from, size);
    return true;
  }

  bool writable(std::uint64_t address, unsigned size, completion::MemoryFault& fault) override {
    return inside(address, size, kReadOnlyAddress, true, fault);
  }

 private:
  static bool inside(std::uint64_t address, unsigned size, std::uint64_t end, bool write,
                     completion::MemoryFault& fault) {
    for (unsigned i = 0; i < size; i++) {
      const std::uint64_t at = address + i;
      if (at >= kArenaAddress && at < end) continue;
      fault = {at, write};
      return false;
    }
    return true;
  }

  std::uint8_t* bytes_;
};

}  // namespace revenant::completion_test
