#include "vcpu.h"

#include <cerrno>
#include <cstring>

#include "../kvm/cpuid_list.h"
#include "../kvm/ring0/descriptors.h"
#include "../kvm/ring0/image.h"
#include "layout.h"
#include "processor.h"

extern "C" {
// boot.S
extern const char bare_gdt_pointer[], bare_woken[], bare_broken[];
void bare_run(std::uint64_t resume);
}

namespace revenant::bare {
namespace {

constexpr std::uint32_t kStar = 0xc0000081, kLstar = 0xc0000082, kCstar = 0xc0000083, kFmask = 0xc0000084,
                        kFsBase = 0xc0000100, kGsBase = 0xc0000101, kTscAux = 0xc0000103;
constexpr std::uint32_t kMsrPlatformInfo = 0xce;
constexpr std::uint64_t kCr4Osxsave = 1 << 18, kCr4Umip = 1 << 11;
constexpr std::uint64_t kCr4Always = 0x4c;  // TSD DE MCE
constexpr std::uint64_t kX87 = 1, kSse = 2, kAvx = 4, kBounds = 3 << 3;
constexpr std::uint64_t kDr6Nothing = 0xffff0ff0, kDr7Off = 0x400;
constexpr std::uint32_t kInitialMxcsr = 0x1f80;

constexpr int kGates = BARE_VECTORS + BARE_VECTOR_COUNT;
alignas(16) ring0::Gate own_gates[kGates];

std::uint64_t address(const void* at) { return reinterpret_cast<std::uint64_t>(at); }

struct Leaf {
  std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

// Zero where the processor has no such leaf.
Leaf cpuid(std::uint32_t number) {
  Leaf leaf;
  __get_cpuid_count(number, 0, &leaf.eax, &leaf.ebx, &leaf.ecx, &leaf.edx);
  return leaf;
}

bool has_xsave() { return (cpuid(1).ecx >> 26 & 1) != 0; }

// Bits of CR4 that this processor knows (SDM vol. 3, 2.5), of those that recordings have.
std::uint64_t known_cr4() {
  const Leaf features = cpuid(7);
  const auto when = [](std::uint32_t word, int feature, int bit) {
    return std::uint64_t{word >> feature & 1} << bit;
  };
  return R0_CR4 | kCr4Always | when(cpuid(1).ecx, 26, 18) | when(features.ebx, 0, 16) |
         when(features.ebx, 7, 20) | when(features.ebx, 20, 21) | when(features.ecx, 2, 11) |
         when(features.ecx, 3, 22);
}

bool has_tsc_aux() { return (cpuid(0x80000001).edx >> 27 & 1) != 0 || (cpuid(7).ecx >> 22 & 1) != 0; }

// The loop of time_loop (kvm/clock.h); the client has the clock.
void spin(std::uint64_t turns) {
  if (turns != 0) asm volatile("1: dec %0\n\tjnz 1b" : "+r"(turns)::"cc");
}

// Every component that the processor has.
std::uint64_t all_components() {
  const Leaf state = has_xsave() ? cpuid(0xd) : Leaf{};
  return std::uint64_t{state.edx} << 32 | state.eax;
}

// Sets XCR0 whether or not programs have XSAVE; returns what it was.
std::uint64_t exchange_xcr0(std::uint64_t value) {
  const std::uint64_t before = cr4();
  set_cr4(before | kCr4Osxsave);
  const std::uint64_t old = xcr0();
  set_xcr0(value);
  set_cr4(before);
  return old;
}

// As of KVM_GET_SUPPORTED_CPUID: leaf 0xD has the size of the components in XCR0, which are all for the
// moment.
void list_supported(CpuidPayload& list) {
  const std::uint64_t all = all_components();
  const std::uint64_t old = all != 0 ? exchange_xcr0(all) : 0;
  CpuidList(list, all);
  if (all != 0) exchange_xcr0(old);
}

}  // namespace

void Vcpu::leave_pool() {
  initialised_ = false;
  for (int vector = 0; vector < kGates; vector++)
    own_gates[vector] =
        ring0::interrupt_gate(address(vector < BARE_VECTORS ? bare_broken : bare_woken), 0, 0);
  set_dr7(kDr7Off);
  set_cr3(BARE_MEMORY_PHYSICAL + BARE_PML4);
  asm volatile("lgdt %0" ::"m"(*reinterpret_cast<const TablePointer*>(bare_gdt_pointer)) : "memory");
  load_idt({sizeof own_gates - 1, address(own_gates)});
}

int Vcpu::execute() {
  Control* const c = control();
  switch (c->command) {
    case Command::create:
      return create();
    case Command::destroy:
      leave_pool();
      created_ = false;
      return 0;
    case Command::ping:
      return 0;
    case Command::spin:
      spin(c->value);
      return 0;
    default:
      break;
  }
  if (!created_) return -ENXIO;
  switch (c->command) {
    case Command::get_supported_cpuid:
      list_supported(c->cpuid);
      return 0;
    case Command::get_cpuid2:  // what the program would see
      CpuidList(c->cpuid, all_components());
      return 0;
    case Command::set_cpuid2:
      return 0;
    case Command::set_xcr0:
      return set_xcr0(c->value);
    case Command::init_long_mode:
      return init_long_mode();
    case Command::set_msrs:
      return set_msrs();
    case Command::run:
      return run();
    default:
      return -ENOSYS;
  }
}

int Vcpu::create() {
  Control* const c = control();
  leave_pool();
  c->run_ioctls = c->stub_exits = c->completed = 0;
  created_ = true;
  return 0;
}

// Nothing but its processor makes CPUID fault; which no emulator does.
int Vcpu::set_msrs() {
  Control* const c = control();
  for (std::uint32_t i = 0; i < c->msrs.count && i < kMaxMsrs; i++) {
    c->value = i;
    if (c->msrs.entries[i].index != kMsrPlatformInfo) return -EINVAL;
  }
  return 0;
}

// Values for which XSETBV would raise #GP are refused (SDM vol. 1, 13.3).
int Vcpu::set_xcr0(std::uint64_t wanted) {
  const bool valid = (wanted & kX87) != 0 && (wanted & ~all_components()) == 0 &&
                     ((wanted & kAvx) == 0 || (wanted & kSse) != 0) &&
                     ((wanted & kBounds) == 0 || (wanted & kBounds) == kBounds);
  if (!valid) return -EINVAL;
  exchange_xcr0(wanted);
  return 0;
}

int Vcpu::init_long_mode() {
  const InitPayload init = control()->init;
  leave_pool();
  // QEMU 7.2 takes a bit that the processor does not know for a failed VM entry, and executes MOV CR4 for
  // ever. What UMIP would forbid is for the engine to find out.
  const std::uint64_t unknown = (R0_CR4 | init.cr4) & ~known_cr4();
  if ((unknown & ~kCr4Umip) != 0) return -EINVAL;
  const std::uint64_t wanted = (R0_CR4 | init.cr4) & ~unknown;
  set_cr4(wanted);
  ring0::write_image(pool_, ring0::features_of(init.cr4), init.cpu_number, physical_);
  share_upper_half();
  add_doorbell();
  set_cr3(physical_ + R0_PML4);
  load_descriptors();

  const ring0::Entries entries = ring0::entries();
  // SYSCALL: cs from bits 47:32, ss is the next selector. SYSRET is not used; the value is Linux's.
  write_msr(kStar, std::uint64_t{SEL_KERNEL_CS} << 32 | std::uint64_t{SEL_USER32_CS} << 48);
  write_msr(kLstar, entries.syscall);
  write_msr(kCstar, entries.syscall_compat);
  write_msr(kFmask, SYSCALL_FMASK);
  write_msr(kFsBase, 0);
  write_msr(kGsBase, 0);
  if (has_tsc_aux()) write_msr(kTscAux, init.cpu_number);
  set_dr6(kDr6Nothing);
  asm volatile("fninit");
  if (has_xsave()) {
    // The image's XSAVE area is zero, which means the initial state, but for MXCSR.
    set_cr4(wanted | kCr4Osxsave);
    bare::set_xcr0(all_components());
    asm volatile("xrstor64 %0" ::"m"(pool_[R0_XSTATE]), "a"(-1), "d"(-1) : "memory");
    bare::set_xcr0(kX87);
    set_cr4(wanted);
  } else {
    asm volatile("fxrstor64 %0" ::"m"(pool_[R0_XSTATE]) : "memory");
    asm volatile("fninit");
  }
  asm volatile("ldmxcsr %0" ::"m"(kInitialMxcsr));
  initialised_ = true;
  return 0;
}

// What this code and its stack are mapped by, in the pool's tables as in its own.
void Vcpu::share_upper_half() {
  const char* const own = reinterpret_cast<const char*>(BARE_MEMORY);
  std::memcpy(pool_ + R0_PDPT, own + BARE_PDPT, 8 * BARE_POOL_ENTRIES);
  std::memcpy(pool_ + R0_PT + 8 * BARE_IMAGE_PAGE, own + BARE_PT + 8 * BARE_IMAGE_PAGE, 8 * 2 * BARE_PAGES);
}

void Vcpu::add_doorbell() {
  const ring0::Gate gate = ring0::interrupt_gate(ring0::bare_entries().doorbell, 0, 0);
  for (int i = 0; i < BARE_VECTOR_COUNT; i++)
    std::memcpy(pool_ + R0_CONTEXT + CTX_IDT + 16 * (BARE_VECTORS + i), &gate, sizeof gate);
}

void Vcpu::load_descriptors() {
  load_gdt({CTX_GDT_SIZE - 1, R0_BASE + R0_CONTEXT + CTX_GDT});
  load_idt({16 * CTX_IDT_COUNT - 1, R0_BASE + R0_CONTEXT + CTX_IDT});
  asm volatile("ltr %w0" ::"r"(SEL_TSS));
  asm volatile("lldt %w0" ::"r"(0));
  // As Linux starts a program: null selectors.
  asm volatile("movl %0, %%ds\n\tmovl %0, %%es\n\tmovl %0, %%fs\n\tmovl %0, %%gs" ::"r"(0));
}

int Vcpu::run() {
  Control* const c = control();
  if (!initialised_) return -ENXIO;
  c->exit_kind = ExitKind::none;
  bare_run(ring0::entries().resume);
  c->run_ioctls = c->run_ioctls + 1;
  c->stub_exits = c->stub_exits + 1;
  c->exit_kind = ExitKind::stub;
  return 0;
}

}  // namespace revenant::bare
