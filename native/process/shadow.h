// What of the program's address space is mapped in the sandbox, as a processor's TLB would know it: a page's
// entry is the page-table entry by which it was mapped. Tables as the processor's own, of 512 entries and
// four levels.
#ifndef REVENANT_PROCESS_SHADOW_H_
#define REVENANT_PROCESS_SHADOW_H_

#include <cstdint>

namespace revenant::process {

constexpr std::uint64_t kPageSize = 4096;
constexpr std::uint64_t kPresent = 1, kWritable = 2, kUser = 4, kNoExecute = 1ull << 63;
constexpr std::uint64_t kFrame = 0x000f'ffff'ffff'f000;
// What decides how a page is mapped: everything else of an entry is the engine's or the processor's
// bookkeeping.
constexpr std::uint64_t kMappingBits = kFrame | kPresent | kWritable | kUser | kNoExecute;
constexpr std::uint64_t kUserEnd = 0x7fff'ffff'f000;  // TASK_SIZE

// The guest's page tables, in the pool.
struct PageTables {
  const char* pool;
  std::uint64_t pool_bytes;
  std::uint64_t root;

  // The table of `level` (1: leaves) that covers an address, with the rights of the levels above in `rights`;
  // or null.
  const std::uint64_t* table(std::uint64_t address, int level, std::uint64_t& rights) const {
    std::uint64_t at = root & kFrame;
    rights = kPresent | kWritable | kUser;
    for (int above = 4;; above--) {
      if (at + kPageSize > pool_bytes) return nullptr;
      const auto* const entries = reinterpret_cast<const std::uint64_t*>(pool + at);
      if (above == level) return entries;
      const std::uint64_t entry = entries[(address >> (12 + 9 * (above - 1))) & 511];
      if (!(entry & kPresent)) return nullptr;
      rights = (rights & (entry | ~(kWritable | kUser))) | ((rights | entry) & kNoExecute);
      at = entry & kFrame;
    }
  }

  // An entry of a table of leaves as it counts, with the rights of the levels above; 0: there is no page.
  static std::uint64_t effective(std::uint64_t entry, std::uint64_t rights) {
    if (!(entry & kPresent)) return 0;
    return ((entry & (rights | ~(kWritable | kUser))) | (rights & kNoExecute)) & kMappingBits;
  }
};

class Shadow {
 public:
  // Takes memory of zeros, which stays of zeros where it is not used. [base, end): the sandbox itself.
  Shadow(std::uint64_t memory, std::uint64_t bytes, std::uint64_t base, std::uint64_t end);

  // The entry of a page, 0 if it is not mapped. Null where there is no memory left for it: drop() and ask
  // again.
  std::uint64_t* entry(std::uint64_t address);

  // Unmaps what the tables do not have, or have otherwise.
  void follow(const PageTables& tables);

  // Unmaps everything.
  void drop();

  // To be called after a mapping was made.
  void mapped() { mappings_++; }
  // How many the kernel has at most.
  std::uint64_t mappings() const { return mappings_; }

 private:
  std::uint64_t* take_upper();

  std::uint64_t* addresses_;  // of each leaf's first page
  char* leaves_;
  char* upper_;  // tables of higher levels lie from here on; more are taken below
  char* end_;
  std::uint64_t base_, limit_;
  std::uint64_t leaf_count_ = 0;
  std::uint64_t mappings_ = 0;
  std::uint64_t* root_ = nullptr;
};

}  // namespace revenant::process

#endif
