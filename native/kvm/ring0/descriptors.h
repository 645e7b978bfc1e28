// Encoders of GDT, TSS, IDT and page-table entries. Pure: bytes in, bytes out.
#ifndef REVENANT_KVM_RING0_DESCRIPTORS_H_
#define REVENANT_KVM_RING0_DESCRIPTORS_H_

#include <cstdint>

#include "layout.h"

namespace revenant::ring0 {

// Intel SDM vol. 3, 3.4.5: access byte and flags nibble of a segment descriptor.
constexpr std::uint64_t segment(std::uint32_t limit, std::uint32_t access, std::uint32_t flags) {
  return (limit & 0xffffull) | std::uint64_t{access} << 40 | std::uint64_t{limit >> 16 & 0xf} << 48 |
         std::uint64_t{flags} << 52;
}

// First half of a 64-bit TSS descriptor (SDM vol. 3, 8.2.3), type 9 = available; the second half is
// base >> 32.
constexpr std::uint64_t tss_low(std::uint64_t base, std::uint32_t limit) {
  return (limit & 0xffffull) | (base & 0xffffff) << 16 | std::uint64_t{0x89} << 40 |
         (base >> 24 & 0xff) << 56;
}

struct Gate {
  std::uint64_t low, high;
};

// 64-bit interrupt gate (SDM vol. 3, 6.14.1). `dpl` 3 lets programs reach it by INT n.
constexpr Gate interrupt_gate(std::uint64_t handler, std::uint32_t ist, std::uint32_t dpl) {
  return {(handler & 0xffff) | std::uint64_t{SEL_KERNEL_CS} << 16 | std::uint64_t{ist} << 32 |
              std::uint64_t{0x8e | dpl << 5} << 40 | (handler >> 16 & 0xffff) << 48,
          handler >> 32};
}

constexpr std::uint64_t kPtePresent = 1, kPteWritable = 2, kPteUser = 4, kPteAccessed = 0x20,
                        kPteDirty = 0x40, kPteGlobal = 0x100, kPteNoExecute = 1ull << 63;

// Writes the GDT at `gdt` (CTX_GDT_SIZE bytes) with Linux's selectors; LSL of SEL_CPU_NUMBER gives
// `cpu_number` (Linux: arch/x86/include/asm/segment.h, vdso_encode_cpunode).
void write_gdt(void* gdt, std::uint64_t tss_base, std::uint32_t cpu_number);

// Writes the TSS: RSP0 at the end of the context page's `ss` slot, interrupt stacks, no I/O ports.
void write_tss(void* tss);

// Writes the IDT: gates 0 to 31 at `stubs` + 32 * vector, gate 0x80 at `int80`.
void write_idt(void* idt, std::uint64_t stubs, std::uint64_t int80);

// Writes boot PML4, PDPT, PD and PT of the upper half into the pool, which has the guest-physical address
// `physical`. User space is empty in them.
void write_page_tables(void* pool, std::uint64_t physical);

}  // namespace revenant::ring0

#endif
