// The program's memory as its own instructions would access it: through its page tables, with their rights.
// What the engine left for the processor to fault on faults here too.
#ifndef REVENANT_KVM_GUEST_PAGES_H_
#define REVENANT_KVM_GUEST_PAGES_H_

#include <cstdint>

#include "../completion/state.h"
#include "paging.h"

namespace revenant {

class GuestPages final : public completion::Memory {
 public:
  // `context`: the context page, of which CR3 and the debug registers are used. `pkru`: 0 without protection
  // keys. `physical`: the pool's guest-physical address.
  GuestPages(char* pool, std::uint64_t pool_bytes, const char* context, std::uint32_t pkru,
             std::uint64_t physical);

  bool read(std::uint64_t address, void* to, unsigned size, completion::MemoryFault& fault) override;
  bool write(std::uint64_t address, const void* from, unsigned size, completion::MemoryFault& fault) override;
  bool writable(std::uint64_t address, unsigned size, completion::MemoryFault& fault) override;

  // Up to `size` bytes that could be executed; returns how many.
  unsigned fetch(std::uint64_t address, std::uint8_t* to, unsigned size);

  // Of the last access that failed.
  std::uint32_t error_code() const { return error_code_; }
  // Data breakpoints (bits 0 to 3 of DR6) that were touched since the last call.
  std::uint32_t take_hits();
  // Whether an execution breakpoint is armed at the address.
  bool stops_at(std::uint64_t address) const;

 private:
  enum class Access { read, write, fetch };
  char* page(std::uint64_t address, Access access);
  char* walk(std::uint64_t address, Access access);
  template <class Each>
  bool each_page(std::uint64_t address, unsigned size, Access access, completion::MemoryFault& fault,
                 Each each);
  void note(std::uint64_t address, unsigned size, bool write);

  char* const pool_;
  const PageTables tables_;
  // Pages in which instructions are hidden, by their guest-physical address, to what the program has there.
  const PageTables originals_;
  const std::uint32_t pkru_;
  std::uint64_t dr7_, breakpoints_[4];
  std::uint32_t error_code_ = 0;
  std::uint32_t hits_ = 0;
  // What was found last, by kind of access: page tables do not change during a visit.
  struct Found {
    std::uint64_t page = ~0ull;
    char* at = nullptr;
  } found_[3];
};

}  // namespace revenant

#endif
