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

// CTX_FEATURE_* that a CR4 gives programs.
std::uint32_t features_of(std::uint64_t cr4);

// Writes code, GDT, TSS, IDT and page tables into the pool and clears the context page and the XSAVE
// area. `features` is CTX_FEATURE_*. Precondition: the pool has at least R0_END bytes.
void write_image(void* pool, std::uint32_t features, std::uint32_t cpu_number);

}  // namespace revenant::ring0

#endif
