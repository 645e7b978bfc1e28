// What of the program's address space is mapped in the sandbox, as a processor's TLB would know it: a page's
// entry is the page-table entry by which it was mapped. Tables as the processor's own, of 512 entries and
// four levels.
#ifndef REVENANT_PROCESS_SHADOW_H_
#define REVENANT_PROCESS_SHADOW_H_

#include <cstdint>

#include "../kvm/paging.h"

namespace revenant::process {

constexpr std::uint64_t kUserEnd = 0x7fff'ffff'f000;  // TASK_SIZE

// What of an effective entry decides how a page is mapped; the rest is the engine's or the processor's
// bookkeeping.
constexpr std::uint64_t mapping_of(std::uint64_t leaf, std::uint64_t rights) {
  return PageTables::effective(leaf, rights) & (kFrame | kPresent | kWritable | kUser | kNoExecute);
}

class Shadow {
 public:
  // Takes memory of zeros, which stays of zeros where it is not used. [base, end): the sandbox itself.
  Shadow(std::uint64_t memory, std::uint64_t bytes, std::uint64_t base, std::uint64_t end);

  // The entry of a page, 0 if it is not mapped. Null where there is no memory left for it: drop() and ask
  // again.
  std::uint64_t* entry(std::uint64_t address);

  // Unmaps what the tables do not have, or have otherwise.
  void follow(const PageTables& tables);

  // Unmaps one page, if it is mapped.
  void unmap_page(std::uint64_t page);

  // Unmaps everything.
  void drop();

  // To be called after a mapping was made of `count` pages of one table that lie side by side in the pool:
  // `first` is the entry of the first, `value` what it is to hold.
  void mapped(std::uint64_t* first, int count, std::uint64_t value);
  // How many the kernel has at most.
  std::uint64_t mappings() const { return mappings_; }

 private:
  static constexpr int kMaskWords = kTableEntries / 64;

  std::uint64_t* take_upper();
  std::uint64_t* mask_of(const std::uint64_t* entry, int& index) const;

  std::uint64_t* addresses_;  // of each leaf's first page
  std::uint64_t* masks_;      // of each leaf's entries that are not 0: kMaskWords
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
