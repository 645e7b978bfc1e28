// The ring-0 image: entry.S and its tables, written into a pool.
#ifndef REVENANT_KVM_RING0_IMAGE_H_
#define REVENANT_KVM_RING0_IMAGE_H_

#include <cstdint>

namespace revenant::ring0 {

// Guest virtual addresses of the stub's entries.
struct Entries {
  std::uint64_t syscall, syscall_compat, int80, resume;
};
Entries entries();

#ifdef REVENANT_BARE
// And where a machine without a hypervisor takes its interrupt, and goes on to leave with it.
struct BareEntries {
  std::uint64_t doorbell, leave;
};
BareEntries bare_entries();
#endif

// CTX_FEATURE_* that a CR4 gives programs.
std::uint32_t features_of(std::uint64_t cr4);

// Writes code, GDT, TSS, IDT and page tables into the pool and clears the context page and the XSAVE
// area. `features` is CTX_FEATURE_*; `physical` the pool's guest-physical address, a multiple of 4 GiB.
// Precondition: the pool has at least R0_END bytes.
void write_image(void* pool, std::uint32_t features, std::uint32_t cpu_number, std::uint64_t physical = 0);

}  // namespace revenant::ring0

#endif
