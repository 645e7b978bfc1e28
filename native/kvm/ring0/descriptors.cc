#include "descriptors.h"

#include <cstring>

namespace revenant::ring0 {
namespace {

void put64(void* base, std::uint64_t offset, std::uint64_t value) {
  std::memcpy(static_cast<char*>(base) + offset, &value, sizeof value);
}

// Interrupt stacks are consecutive in the stack page.
constexpr std::uint64_t stack_top(int ist) {
  return R0_BASE + R0_STACKS + IST_STACK_SIZE * std::uint64_t(ist);
}
static_assert(IST_STACK_SIZE * IST_FAULT <= 0x1000 && IST_STACK_SIZE % 16 == 0);
static_assert((CTX_REGISTER(REG_SS + 1)) % 16 == 0);
// A staged call's store that faults pushes its frame, aligned, below the registers.
static_assert((CTX_REGISTERS & ~0xf) - 6 * 8 >= CTX_GO + 4);
static_assert(CTX_REGISTER(REG_COUNT) <= CTX_GDT && CTX_IDT + 16 * CTX_IDT_COUNT <= 0x1000);

constexpr std::uint32_t ist_of(int vector) {
  switch (vector) {
    case 1:
      return IST_DEBUG;
    case 2:
      return IST_NMI;
    case 8:
      return IST_DOUBLE_FAULT;
    case 18:
      return IST_MACHINE_CHECK;
    case 11:
    case 12:
    case 13:
      return IST_FAULT;
    default:
      return 0;
  }
}

}  // namespace

void write_gdt(void* gdt, std::uint64_t tss_base, std::uint32_t cpu_number) {
  // Access: present, DPL, code or data, already accessed (the page is not written then).
  constexpr std::uint32_t kernel_code = 0x9b, kernel_data = 0x93, user_code = 0xfb, user_data = 0xf3;
  // The CPU number's: read-only, expand-down, as Linux has it, which LAR shows.
  constexpr std::uint32_t user_read_only = 0xf5;
  constexpr std::uint32_t flat64 = 0xa, flat32 = 0xc;  // granularity with L or D/B
  std::memset(gdt, 0, CTX_GDT_SIZE);
  put64(gdt, SEL_KERNEL_CS, segment(0xfffff, kernel_code, flat64));
  put64(gdt, SEL_KERNEL_SS, segment(0xfffff, kernel_data, flat32));
  put64(gdt, SEL_USER32_CS & ~7, segment(0xfffff, user_code, flat32));
  put64(gdt, SEL_USER_SS & ~7, segment(0xfffff, user_data, flat32));
  put64(gdt, SEL_USER_CS & ~7, segment(0xfffff, user_code, flat64));
  put64(gdt, SEL_TSS, tss_low(tss_base, CTX_TSS_SIZE - 1));
  put64(gdt, SEL_TSS + 8, tss_base >> 32);
  put64(gdt, SEL_CPU_NUMBER & ~7, segment(cpu_number & 0xfffff, user_read_only, 0x4));
}

void write_tss(void* tss) {
  constexpr std::uint64_t rsp0 = 4, ist1 = 0x24, io_map_base = 0x66;  // SDM vol. 3, figure 8-11
  std::memset(tss, 0, CTX_TSS_SIZE);
  put64(tss, rsp0, R0_BASE + R0_CONTEXT + CTX_REGISTER(REG_SS + 1));
  for (int ist = IST_DEBUG; ist <= IST_FAULT; ist++) {
    put64(tss, ist1 + 8 * (static_cast<std::uint64_t>(ist) - 1), stack_top(ist));
  }
  // An I/O map that begins at or past the limit denies every port (SDM vol. 1, 19.5.2).
  const std::uint16_t behind_limit = CTX_TSS_SIZE;
  std::memcpy(static_cast<char*>(tss) + io_map_base, &behind_limit, sizeof behind_limit);
}

void write_idt(void* idt, std::uint64_t stubs, std::uint64_t int80) {
  std::memset(idt, 0, 16 * CTX_IDT_COUNT);
  const auto put_gate = [&](int vector, Gate gate) {
    put64(idt, 16 * static_cast<std::uint64_t>(vector), gate.low);
    put64(idt, 16 * static_cast<std::uint64_t>(vector) + 8, gate.high);
  };
  for (int vector = 0; vector < 32; vector++) {
    const bool by_program = vector == 3 || vector == 4;  // INT3, INTO
    put_gate(vector, interrupt_gate(stubs + 32 * static_cast<std::uint64_t>(vector), ist_of(vector),
                                    by_program ? 3 : 0));
  }
  put_gate(0x80, interrupt_gate(int80, 0, 3));
}

void write_page_tables(void* pool, std::uint64_t physical) {
  constexpr std::uint64_t table = kPtePresent | kPteWritable | kPteAccessed;
  constexpr std::uint64_t leaf = kPtePresent | kPteAccessed | kPteDirty | kPteGlobal;
  std::memset(static_cast<char*>(pool) + R0_PML4, 0, R0_PT + 0x1000 - R0_PML4);
  put64(pool, R0_PML4 + 8 * R0_PML4_SLOT, physical | R0_PDPT | table);
  put64(pool, R0_PDPT + 8 * R0_PDPT_SLOT, physical | R0_PD | table);
  put64(pool, R0_PD, physical | R0_PT | table);
  // The control block and the page tables stay out of reach.
  for (std::uint64_t gpa = R0_CODE; gpa < R0_END; gpa += 0x1000) {
    if (gpa >= R0_PML4 && gpa < R0_XSTATE) continue;
    const bool code = gpa < R0_CODE + R0_CODE_SIZE;
    put64(pool, R0_PT + gpa / 0x1000 * 8, physical | gpa | leaf | (code ? 0 : kPteWritable | kPteNoExecute));
  }
}

}  // namespace revenant::ring0
