#include "vcpu_service.h"

#include <cstring>

#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"
#include "error.h"
#include "ring0/image.h"

namespace revenant {
namespace {

constexpr std::uint32_t kEfer = 0xc0000080, kStar = 0xc0000081, kLstar = 0xc0000082, kCstar = 0xc0000083,
                        kFmask = 0xc0000084, kTscAux = 0xc0000103;
constexpr std::uint64_t kEferValue = 0xd01;                            // SCE, LME, LMA, NXE
constexpr std::uint64_t kCr0 = 0x80050033;                             // PE MP ET NE WP AM PG, as Linux's
constexpr std::uint64_t kApicBase = 0xfee00000, kApicEnabled = 0x900;  // global enable, bootstrap processor
constexpr std::uint64_t kTssPages = 0xfffbd000;                        // for KVM_SET_TSS_ADDR, below 4 GiB
// Ticks of a kicked vCPU in places where it cannot be interrupted, before it counts as lost: half a
// second. Normally these are a few instructions.
constexpr int kMaxRefusals = 25;
// Entries of a vCPU only to load its debug registers: a tick or a fault may come first.
constexpr int kMaxLastEntries = 8;
constexpr std::uint64_t kDr7Enables = 0xff, kDr7Off = 0x400;  // SDM vol. 3, 17.2.4
constexpr int kArchReqXcompGuestPerm = 0x1025, kXtileData = 18;

kvm_segment flat_segment(std::uint16_t selector, std::uint8_t type, std::uint8_t l, std::uint8_t db) {
  kvm_segment segment = {};
  segment.limit = 0xffffffff;
  segment.selector = selector;
  segment.type = type;
  segment.present = 1;
  segment.s = 1;
  segment.l = l;
  segment.db = db;
  segment.g = 1;
  return segment;
}

void set_ring0_segments(kvm_sregs& sregs) {
  sregs.cs = flat_segment(SEL_KERNEL_CS, 0xb, 1, 0);
  sregs.ss = flat_segment(SEL_KERNEL_SS, 3, 0, 1);
}

// As the stub counts an exit: the other side of the pool may continue from here, so nothing may follow.
void count_exit(char* context) {
  auto& count = *reinterpret_cast<std::atomic<std::uint32_t>*>(context + CTX_EXIT_SEQ);
  count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

// Where the vCPU waits for the next RUN.
kvm_regs at_resume() {
  kvm_regs regs = {};
  regs.rip = ring0::entries().resume;
  regs.rsp = R0_BASE + R0_CONTEXT + CTX_REGISTERS;
  regs.rflags = 2;
  return regs;
}

}  // namespace

VcpuService::VcpuService(void* pool, std::uint64_t pool_bytes) : pool_(pool), pool_bytes_(pool_bytes) {}

VcpuService::~VcpuService() { destroy(); }

int VcpuService::execute() {
  Control* const c = control();
  const int result = dispatch();
  c->result = result;
  return result;
}

int VcpuService::dispatch() {
  Control* const c = control();
  if (!vcpu_) {
    switch (c->command) {
      case Command::create:
        return create();
      case Command::ping:
      case Command::destroy:
        return 0;
      case Command::spin:
        return spin();
      default:
        return -ENXIO;
    }
  }
  switch (c->command) {
    case Command::run:
      return run();
    case Command::create:
      return create();
    case Command::destroy:
      destroy();
      return 0;
    case Command::get_supported_cpuid:
      return system_.get_supported_cpuid(c->cpuid);
    case Command::set_cpuid2:
      return c->cpuid.count <= kMaxCpuidEntries ? vcpu_.set_cpuid2(c->cpuid) : -EINVAL;
    case Command::get_cpuid2:
      return vcpu_.get_cpuid2(c->cpuid);
    case Command::set_xcr0:
      return vcpu_.set_xcr0(c->value);
    case Command::init_long_mode:
      return init_long_mode();
    case Command::set_completion:
      return set_completion();
    case Command::set_msrs:
      return c->msrs.count <= kMaxMsrs ? vcpu_.set_msrs(c->msrs, c->value) : -EINVAL;
    case Command::ping:
      return 0;
    case Command::spin:
      return spin();
    case Command::none:
      break;
  }
  return -ENOSYS;
}

int VcpuService::spin() {
  control()->value = time_loop(control()->value);
  return 0;
}

int VcpuService::create() {
  destroy();
  if (pool_bytes_ < R0_END) return -EINVAL;
  control()->run_ioctls = control()->stub_exits = control()->completed = 0;
  completer_.disable();
  // Permission for tile data (AMX) must be requested before the first vCPU; without it setting XCR0 fails
  // later.
  syscall(SYS_arch_prctl, kArchReqXcompGuestPerm, kXtileData);
  int result = system_.open();
  if (result < 0) return result;
  const int vm = result = system_.create_vm();
  if (result >= 0) {
    vm_ = VmFd(vm);
    result = vm_.set_memory_slot(0, 0, pool_bytes_, pool_);
  }
  if (result >= 0) {
    // Needed on old Intel processors only, and there for a pool that leaves the place free.
    if (pool_bytes_ <= kTssPages) vm_.set_tss_address(kTssPages);
    result = vm_.create_vcpu(0);
  }
  if (result >= 0) {
    const int vcpu = result;
    const int size = system_.vcpu_mmap_size();
    result = vcpu_.open(vcpu, size < 0 ? 0 : static_cast<std::size_t>(size));
  }
  if (result < 0) destroy();
  return result < 0 ? result : 0;
}

void VcpuService::destroy() {
  clear_debug_registers();
  initialised_ = false;
  vcpu_.close();
  vm_.close();
  system_.close();
}

// QEMU's emulator puts a nested guest's breakpoints into its own lists when the guest loads DR7, and
// removes them when the guest loads it again (target/i386/tcg/sysemu/bpt_helper.c). It does not when the
// guest ends: then the next load of DR7, with other kinds of breakpoints, treats a watchpoint as a
// breakpoint and writes into freed memory. So debug registers are always off when a guest ends.
void VcpuService::clear_debug_registers() {
  kvm_debugregs debug;
  kvm_sregs sregs;
  if (!vcpu_ || !initialised_ || vcpu_.get_debug_registers(debug) < 0) return;
  if ((debug.dr7 & kDr7Enables) == 0 || vcpu_.get_sregs(sregs) < 0) return;
  ring0::write_image(pool_, 0, 0);
  char* const context = static_cast<char*>(pool_) + R0_CONTEXT;
  const std::uint32_t requests = CTX_REQUEST_CR3 | CTX_REQUEST_DEBUG | CTX_REQUEST_XSAVE;
  std::memcpy(context + CTX_DR7, &kDr7Off, sizeof kDr7Off);
  std::memcpy(context + CTX_REQUESTS, &requests, sizeof requests);
  set_ring0_segments(sregs);
  sregs.cr3 = R0_PML4;
  if (vcpu_.set_sregs(sregs) < 0 || vcpu_.set_regs(at_resume()) < 0 || ticks_.enter() < 0) return;
  for (int entries = 0; entries < kMaxLastEntries; entries++) {
    const VcpuExit exit = vcpu_.run();
    std::uint32_t left;
    std::memcpy(&left, context + CTX_REQUESTS, sizeof left);
    if (left == 0 || (exit.kind != VcpuExit::Kind::stub && exit.kind != VcpuExit::Kind::interrupted)) break;
  }
  ticks_.leave();
}

int VcpuService::init_long_mode() {
  initialised_ = false;
  completer_.disable();
  const InitPayload init = control()->init;
  ring0::write_image(pool_, ring0::features_of(init.cr4), init.cpu_number);
  int result = set_system_registers(init.cr4, init.apic_enabled != 0);
  if (result == 0) result = set_entry_msrs(init.cpu_number);
  if (result == 0) result = vcpu_.set_regs(at_resume());
  initialised_ = result == 0;
  return result;
}

int VcpuService::set_system_registers(std::uint64_t cr4, bool apic_enabled) {
  kvm_sregs sregs;
  const int result = vcpu_.get_sregs(sregs);
  if (result < 0) return result;
  set_ring0_segments(sregs);
  // As Linux starts a program: null selectors.
  kvm_segment null_data = {};
  null_data.unusable = 1;
  sregs.ds = sregs.es = sregs.fs = sregs.gs = null_data;
  sregs.ldt = null_data;
  sregs.tr = {};
  sregs.tr.base = R0_BASE + R0_CONTEXT + CTX_TSS;
  sregs.tr.limit = CTX_TSS_SIZE - 1;
  sregs.tr.selector = SEL_TSS;
  sregs.tr.type = 0xb;  // busy
  sregs.tr.present = 1;
  sregs.gdt.base = R0_BASE + R0_CONTEXT + CTX_GDT;
  sregs.gdt.limit = CTX_GDT_SIZE - 1;
  sregs.idt.base = R0_BASE + R0_CONTEXT + CTX_IDT;
  sregs.idt.limit = 16 * CTX_IDT_COUNT - 1;
  sregs.cr0 = kCr0;
  sregs.cr2 = 0;
  sregs.cr3 = R0_PML4;
  sregs.cr4 = R0_CR4 | cr4;
  sregs.cr8 = 0;
  sregs.efer = kEferValue;
  sregs.apic_base = kApicBase | (apic_enabled ? kApicEnabled : 0);
  return vcpu_.set_sregs(sregs);
}

int VcpuService::set_entry_msrs(std::uint32_t cpu_number) {
  const ring0::Entries entries = ring0::entries();
  MsrPayload msrs = {};
  const auto add = [&](std::uint32_t index, std::uint64_t data) {
    msrs.entries[msrs.count++] = {index, 0, data};
  };
  // SYSCALL: cs from bits 47:32, ss is the next selector. SYSRET is not used; the value is Linux's.
  add(kStar, std::uint64_t{SEL_KERNEL_CS} << 32 | std::uint64_t{SEL_USER32_CS} << 48);
  add(kLstar, entries.syscall);
  add(kCstar, entries.syscall_compat);
  add(kFmask, SYSCALL_FMASK);
  std::uint64_t done;
  const int result = vcpu_.set_msrs(msrs, done);
  if (result < 0) return result;
  // Absent if the recorded processor had neither RDTSCP nor RDPID.
  msrs = {};
  add(kTscAux, cpu_number);
  vcpu_.set_msrs(msrs, done);
  return 0;
}

int VcpuService::set_completion() {
  const int result = completer_.configure(control()->completion);
  if (result < 0 || !initialised_) return result;
  char* const context = static_cast<char*>(pool_) + R0_CONTEXT;
  std::uint32_t features;
  std::memcpy(&features, context + CTX_FEATURES, sizeof features);
  features &= ~std::uint32_t{CTX_FEATURE_COMPLETION};
  if (completer_.enabled() && (features & CTX_FEATURE_XSAVE) != 0) features |= CTX_FEATURE_COMPLETION;
  std::memcpy(context + CTX_FEATURES, &features, sizeof features);
  std::memcpy(context + CTX_XCR0, &control()->completion.xcr0, sizeof control()->completion.xcr0);
  return 0;
}

// The stub's requests to the service itself. `left`: the exit is the engine's; it was counted, and the pool
// may not be accessed any more.
int VcpuService::serve(std::uint32_t asked, bool& left) {
  char* const context = static_cast<char*>(pool_) + R0_CONTEXT;
  std::uint64_t before, after;
  std::memcpy(&before, context + CTX_XCR0, sizeof before);
  if (asked == CTX_SERVICE_XCR0) {
    const int result = vcpu_.set_xcr0(before);
    if (result < 0) return result;
    std::uint32_t requests;
    std::memcpy(&requests, context + CTX_REQUESTS, sizeof requests);
    requests &= ~std::uint32_t{CTX_REQUEST_XCR0};
    std::memcpy(context + CTX_REQUESTS, &requests, sizeof requests);
    return 0;
  }
  const bool branches = counter_ == nullptr;
  left = completer_.visit(pool_, pool_bytes_, true, branches, control()->completed) == Visit::exit;
  std::memcpy(&after, context + CTX_XCR0, sizeof after);
  return after == before ? 0 : vcpu_.set_xcr0(after);
}

int VcpuService::run() {
  Control* const c = control();
  // A vCPU that failed unobserved (the stub was waiting) still reports the reason.
  if (!initialised_) return c->exit_kind == ExitKind::failed ? 0 : -ENXIO;
  c->exit_kind = ExitKind::none;
  const int ticking = ticks_.enter();
  if (ticking < 0) return ticking;
  const int result = run_until_exit(c->budget_micros ? now_nanos() : 0);
  ticks_.leave();
  return result;
}

int VcpuService::run_until_exit(std::uint64_t started) {
  Control* const c = control();
  int refusals = 0;
  for (;;) {
    const VcpuExit exit = vcpu_.run();
    c->run_ioctls++;
    bool served = false;
    if (exit.kind == VcpuExit::Kind::stub) {
      char* const context = static_cast<char*>(pool_) + R0_CONTEXT;
      std::uint32_t asked;
      std::memcpy(&asked, context + CTX_SERVICE, sizeof asked);
      bool left = asked == 0;
      if (asked != 0) {
        std::memset(context + CTX_SERVICE, 0, sizeof asked);
        const int result = serve(asked, left);
        if (result < 0) {
          initialised_ = false;
          return result;
        }
      }
      if (left) {
        c->stub_exits++;
        c->exit_kind = ExitKind::stub;
        if (asked != 0) count_exit(context);
        return 0;
      }
      served = asked == CTX_SERVICE_UNDEFINED;
      if (!served) continue;
    } else if (exit.kind != VcpuExit::Kind::interrupted) {
      return report_failure(exit);
    }
    const bool due = counter_ && counter_->due();
    if (due || c->kick.load(std::memory_order_acquire) != 0) {
      bool taken = served;
      if (served) {
        interrupt_between_instructions();
      } else {
        const int result = take_interrupted(taken);
        if (result < 0) return result;
      }
      if (due && taken) counter_->taken();
      if (taken) return 0;
      if (due) counter_->insist();
      if (++refusals == kMaxRefusals) return report_failure({VcpuExit::Kind::unsupported, kReasonStuck, {}});
    }
    if (started != 0 && now_nanos() - started >= std::uint64_t{c->budget_micros} * 1000) return -EAGAIN;
  }
}

// Puts an interrupted program's registers where the stub would have put them, and the vCPU where it waits
// after an exit. Not taken in ring 0 (the stub is about to leave), nor while an exception is on its way
// into the guest or MOV SS holds events back: the next tick will find it elsewhere.
int VcpuService::take_interrupted(bool& taken) {
  kvm_sregs sregs;
  kvm_regs regs;
  kvm_vcpu_events events;
  int result = vcpu_.get_sregs(sregs);
  if (result == 0) result = vcpu_.get_events(events);
  if (result == 0) result = vcpu_.get_regs(regs);
  if (result < 0) return result;
  if ((sregs.cs.selector & 3) != 3) return 0;
  if (events.exception.injected || events.exception.pending || events.interrupt.shadow) return 0;

  const std::uint64_t registers[REG_COUNT] = {
      regs.r15,          regs.r14,          regs.r13,         regs.r12,
      regs.rbp,          regs.rbx,          regs.r11,         regs.r10,
      regs.r9,           regs.r8,           regs.rax,         regs.rcx,
      regs.rdx,          regs.rsi,          regs.rdi,         0,
      regs.rip,          sregs.cs.selector, regs.rflags,      regs.rsp,
      sregs.ss.selector, sregs.fs.base,     sregs.gs.base,    sregs.ds.selector,
      sregs.es.selector, sregs.fs.selector, sregs.gs.selector};
  char* const context = static_cast<char*>(pool_) + R0_CONTEXT;
  std::memcpy(context + CTX_REGISTERS, registers, 8 * REG_ORIG_RAX);
  std::memcpy(context + CTX_REGISTER(REG_RIP), registers + REG_RIP, 8 * (REG_COUNT - REG_RIP));
  const std::uint32_t vector = VECTOR_INTERRUPTED;
  std::memcpy(context + CTX_VECTOR, &vector, sizeof vector);

  set_ring0_segments(sregs);
  result = vcpu_.set_sregs(sregs);
  if (result == 0) result = vcpu_.set_regs(at_resume());
  if (result < 0) {
    initialised_ = false;
    return result;
  }
  taken = true;
  control()->exit_kind = ExitKind::interrupted;
  return 0;
}

// The program was completed and stands in the context page, the vCPU in ring 0: as take_interrupted leaves
// them.
void VcpuService::interrupt_between_instructions() {
  const std::uint32_t vector = VECTOR_INTERRUPTED;
  std::memcpy(static_cast<char*>(pool_) + R0_CONTEXT + CTX_VECTOR, &vector, sizeof vector);
  control()->exit_kind = ExitKind::interrupted;
}

int VcpuService::report_failure(const VcpuExit& exit) {
  Control* const c = control();
  initialised_ = false;
  c->exit_kind = ExitKind::failed;
  c->exit_reason = exit.reason;
  c->exit_detail[0] = exit.detail[0];
  c->exit_detail[1] = exit.detail[1];
  kvm_regs regs;
  c->exit_rip = vcpu_.get_regs(regs) == 0 ? regs.rip : 0;
  return 0;
}

}  // namespace revenant
