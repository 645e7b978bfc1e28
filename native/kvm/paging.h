// The program's page tables, as the processor reads them (SDM vol. 3, 4.5 to 4.7): four levels, pages of 4
// KiB.
#ifndef REVENANT_KVM_PAGING_H_
#define REVENANT_KVM_PAGING_H_

#include <cstdint>

namespace revenant {

inline constexpr std::uint64_t kPageSize = 4096;
inline constexpr int kPageBits = 12, kTableBits = 9, kTableEntries = 1 << kTableBits;

// Bits of an entry.
inline constexpr std::uint64_t kPresent = 1, kWritable = 2, kUser = 4, kNoExecute = 1ull << 63;
// The engine's: a copy in which instructions are hidden (src/engine/mm/originals.ts).
inline constexpr std::uint64_t kHides = 1 << 10;
inline constexpr std::uint64_t kFrame = 0x000f'ffff'ffff'f000;

// Bits of a page fault's error code.
inline constexpr std::uint32_t kFaultPresent = 1, kFaultWrite = 2, kFaultUser = 4, kFaultFetch = 16,
                               kFaultKey = 32;

// Of an address in the table of a level; 1: leaves.
constexpr unsigned table_index(std::uint64_t address, int level) {
  return static_cast<unsigned>(address >> (kPageBits + kTableBits * (level - 1))) & (kTableEntries - 1);
}

struct PageTables {
  const char* pool;
  std::uint64_t pool_bytes;
  std::uint64_t root;          // as in CR3
  std::uint64_t physical = 0;  // the pool's guest-physical address

  // An entry, read once: somebody may change it meanwhile.
  static std::uint64_t read(const std::uint64_t* entry) { return __atomic_load_n(entry, __ATOMIC_RELAXED); }

  // The table of leaves that covers an address, with the rights of the levels above as bits of an entry;
  // null: there is none.
  const std::uint64_t* leaves(std::uint64_t address, std::uint64_t& rights) const {
    std::uint64_t at = offset(root);
    rights = kPresent | kWritable | kUser;
    for (int level = 4;; level--) {
      if (at > pool_bytes - kPageSize) return nullptr;
      const auto* const entries = reinterpret_cast<const std::uint64_t*>(pool + at);
      if (level == 1) return entries;
      const std::uint64_t entry = read(entries + table_index(address, level));
      if (!(entry & kPresent)) return nullptr;
      rights = (rights & (entry | ~(kWritable | kUser))) | ((rights | entry) & kNoExecute);
      at = offset(entry);
    }
  }

  // Where in the pool the page of an entry is; outside of it if the entry is wrong.
  std::uint64_t offset(std::uint64_t entry) const { return (entry & kFrame) - physical; }

  // A leaf with the rights of the levels above; 0: there is no page.
  static constexpr std::uint64_t effective(std::uint64_t leaf, std::uint64_t rights) {
    if (!(leaf & kPresent)) return 0;
    return (leaf & (rights | ~(kWritable | kUser))) | (rights & kNoExecute);
  }

  // What an access (kFaultWrite, kFaultFetch or 0, for a read) by the program to the page of an effective
  // entry raises: the error code, or 0.
  static constexpr std::uint32_t fault(std::uint64_t entry, std::uint32_t access) {
    if (entry == 0) return access | kFaultUser;
    const bool allowed = (entry & kUser) && (!(access & kFaultWrite) || entry & kWritable) &&
                         (!(access & kFaultFetch) || !(entry & kNoExecute));
    return allowed ? 0 : access | kFaultUser | kFaultPresent;
  }
};

}  // namespace revenant

#endif
