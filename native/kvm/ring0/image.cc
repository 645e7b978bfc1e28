#include "image.h"

#include <cstring>

#include "descriptors.h"
#include "layout.h"

// entry.S
extern "C" const char ring0_start[], ring0_end[], ring0_syscall[], ring0_syscall_compat[], ring0_int80[],
    ring0_resume[];

namespace revenant::ring0 {
namespace {

std::uint64_t in_guest(const char* symbol) {
  return R0_BASE + R0_CODE + static_cast<std::uint64_t>(symbol - ring0_start);
}

}  // namespace

Entries entries() {
  return {in_guest(ring0_syscall), in_guest(ring0_syscall_compat), in_guest(ring0_int80),
          in_guest(ring0_resume)};
}

#ifdef REVENANT_BARE

extern "C" const char ring0_doorbell[], ring0_leave[];

BareEntries bare_entries() { return {in_guest(ring0_doorbell), in_guest(ring0_leave)}; }

#endif

std::uint32_t features_of(std::uint64_t cr4) {
  constexpr std::uint64_t kFsgsbase = 1 << 16, kOsxsave = 1 << 18;
  return (cr4 & kFsgsbase ? CTX_FEATURE_FSGSBASE : 0u) | (cr4 & kOsxsave ? CTX_FEATURE_XSAVE : 0u);
}

void write_image(void* pool, std::uint32_t features, std::uint32_t cpu_number, std::uint64_t physical) {
  char* const bytes = static_cast<char*>(pool);
  char* const context = bytes + R0_CONTEXT;
  const auto code_size = static_cast<std::size_t>(ring0_end - ring0_start);
  static_assert(R0_CODE + R0_CODE_SIZE == R0_CONTEXT);
  std::memset(bytes + R0_CODE, 0xcc, R0_CODE_SIZE);
  std::memcpy(bytes + R0_CODE, ring0_start, code_size);  // at most R0_CODE_SIZE: entry.S

  std::memset(context, 0, 0x1000);
  std::memcpy(context + CTX_FEATURES, &features, sizeof features);
  const std::uint64_t boot_cr3 = physical + R0_PML4;
  std::memcpy(context + CTX_CR3, &boot_cr3, sizeof boot_cr3);
  write_gdt(context + CTX_GDT, R0_BASE + R0_CONTEXT + CTX_TSS, cpu_number);
  write_tss(context + CTX_TSS);
  write_idt(context + CTX_IDT, R0_BASE + R0_CODE, entries().int80);
  write_page_tables(pool, physical);
  std::memset(bytes + R0_XSTATE, 0, R0_XSTATE_SIZE);
}

}  // namespace revenant::ring0
