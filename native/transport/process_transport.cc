#include "process_transport.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <iterator>
#include <utility>

#include <cpuid.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../kvm/cpuid_list.h"
#include "../kvm/error.h"
#include "../kvm/ring0/image.h"
#include "spin.h"

namespace revenant {
namespace {

constexpr std::uint32_t kLegacyArea = 576, kDebug = 1, kUndefined = 6;
constexpr std::uint64_t kX87Sse = 3;
constexpr std::uint64_t kCr4Tsd = 1 << 2;
constexpr std::uint64_t kTrapFlag = 1 << 8, kDr6Step = 1 << 14, kDr6Breakpoints = 15;
constexpr std::uint32_t kMsrPlatformInfo = 0xce, kMsrMiscFeatures = 0x140, kMsrXfd = 0x1c4;
constexpr std::uint64_t kSleepNanos = 20'000'000;  // then it is looked whether the sandbox lives
constexpr std::uint32_t kSandboxSpins = 1'000;     // some 40 us
constexpr std::uint64_t kStartNanos = 60'000'000'000;
using process::Step;
constexpr const char* kSteps[] = {
    "mapping its memory (mmap)",
    "waiting for its engine (read)",
    "closing descriptors (close_range: Linux 5.9)",
    "forbidding core dumps (prlimit64)",
    "its own place (mmap, MAP_FIXED_NOREPLACE: Linux 4.17)",
    "emptying its address space (munmap)",
    "its signal stack (sigaltstack)",
    "its signal handlers (rt_sigaction)",
    "its signal mask (rt_sigprocmask)",
    "PR_SET_NO_NEW_PRIVS",
    "dropping capabilities (capset)",
    "its filter of system calls (seccomp)",
};
static_assert(std::size(kSteps) == static_cast<std::size_t>(Step::steps));

long futex(std::atomic<std::uint32_t>& at, int operation, std::uint32_t value, const timespec* timeout) {
  return syscall(SYS_futex, &at, operation, value, timeout, nullptr, 0);
}

// ptrace finds that the sandbox was killed before `wait` does.
int lost_if_gone(int result) { return result == -ESRCH ? -EPIPE : result; }

// That this thread, and a child of it, may use.
int processors() {
  cpu_set_t usable;
  return sched_getaffinity(0, sizeof usable, &usable) == 0 ? CPU_COUNT(&usable)
                                                           : static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
}

std::uint64_t xcr0() {
  std::uint32_t low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return std::uint64_t{high} << 32 | low;
}

// What of it a process can have: tiles (AMX) only where the kernel gives them on request.
std::uint64_t usable_xcr0() {
  constexpr std::uint64_t kTiles = 3ull << (process::kTileData - 1);
  std::uint64_t supported = 0;
  const bool told = syscall(SYS_arch_prctl, process::kArchSupportedPermissions, &supported) == 0;
  return told && (supported >> process::kTileData & 1) != 0 ? xcr0() : xcr0() & ~kTiles;
}

// Of the XSAVE area of all of XCR0.
std::uint32_t vector_bytes_here() {
  std::uint32_t unused, bytes;
  __cpuid_count(0xd, 0, unused, bytes, unused, unused);
  return bytes;
}

}  // namespace

int ProcessTransport::open(std::size_t bytes, const ProcessOptions& options) {
  // The handler saves the bases of FS and GS by these instructions. <asm/hwcap2.h> of older systems lacks it.
  constexpr unsigned long kHwcap2Fsgsbase = 2;
  failed_at_ = "RDFSBASE (a processor and a kernel with FSGSBASE: Linux 5.9)";
  if ((getauxval(AT_HWCAP2) & kHwcap2Fsgsbase) == 0) return -EOPNOTSUPP;
  failed_at_ = "its memory (memfd_create, ftruncate, F_ADD_SEALS, mmap)";
  const int made = memory_.open(bytes);
  if (made < 0) return made;
  program_ = options.sandbox;
  base_ = options.base;
  debug_means_ = options.debug_means;
  int result = -EPERM;
  // Some kernels grant namespaces and then deny debug registers, others deny those.
  if (options.isolation == Isolation::namespaces) result = start(options.isolation);
  if (result < 0) result = start(Isolation::none);
  return result;
}

int ProcessTransport::start(Isolation isolation) {
  begin_area();
  failed_at_ = "starting it (clone, PR_SET_PDEATHSIG, setsid, execveat, kill)";
  isolation_ = isolation;
  const int error = sandbox_.start(program_.c_str(), memory_.file.get(), process::kPoolFd, isolation);
  if (error < 0) return error;
  failed_at_ = nullptr;
  const std::uint64_t started = now_nanos();
  const timespec slice = {0, kSleepNanos};
  while (area().is_ready.load(std::memory_order_seq_cst) == 0) {
    futex(area().is_ready, FUTEX_WAIT, 0, &slice);
    if (area().is_ready.load(std::memory_order_seq_cst) == 0 &&
        (sandbox_.is_gone() || now_nanos() - started > kStartNanos)) {
      const int failed = area().failed_errno ? static_cast<int>(area().failed_errno) : EPIPE;
      if (area().failed_errno == 0) failed_at_ = "its start, during which it was killed or hung";
      close();
      return -failed;
    }
  }
  failed_at_ = "debug registers (perf_event_open, ptrace)";
  const int opened = debug_registers_.open(sandbox_.pid(), debug_means_);
  if (opened < 0) close();
  return opened;
}

// All of what a sandbox reads before its first run: the program of an earlier one may have written there.
void ProcessTransport::begin_area() {
  area().base = base_;
  area().pool_bytes = pool_bytes();
  area().frame_bytes = vector_bytes_here();
  area().tiles = 0;
  area().spins = processors() > 1 ? kSandboxSpins : 0;
  area().failed_step = Step::map_pool;
  area().failed_errno = 0;
  area().is_ready.store(0, std::memory_order_relaxed);
  Control* const c = control();
  c->complete_seq.store(c->request_seq.load(std::memory_order_relaxed), std::memory_order_relaxed);
}

// What a process was given for the last program, it keeps: the next gets a new one.
int ProcessTransport::start_again() {
  close();
  return start(isolation_);
}

const char* ProcessTransport::failed_at() const {
  if (failed_at_ != nullptr) return failed_at_;
  const auto step = static_cast<std::size_t>(area().failed_step);
  return step < std::size(kSteps) ? kSteps[step] : "an unknown step";
}

void ProcessTransport::close() {
  debug_registers_.close();
  sandbox_.end();
}

int ProcessTransport::execute() {
  if (sandbox_.is_gone()) return -EPIPE;
  if (running_) return -EBUSY;
  Control* const c = control();
  int result = 0;
  switch (c->command) {
    case Command::create:
      created_ = true;
      cpuid_faulting_ = false;
      c->run_ioctls = c->stub_exits = c->completed = 0;
      completer_.disable();
      if (area().tiles != 0) result = start_again();
      break;
    case Command::destroy:
    case Command::ping:
    case Command::set_cpuid2:
      break;
    case Command::get_supported_cpuid:
    case Command::get_cpuid2: {  // what the program sees where CPUID does not fault
      // Made apart: who shares the pool could change the count meanwhile.
      CpuidPayload list = {};
      CpuidList(list, usable_xcr0());
      c->cpuid = list;
      break;
    }
    case Command::set_xcr0:
      result = set_xcr0(c->value);
      c->value = xcr0();  // nobody can set it: what programs see
      break;
    case Command::init_long_mode:
      result = init();
      break;
    case Command::set_completion:
      result = set_completion();
      break;
    case Command::set_msrs:
      result = set_msrs();
      break;
    case Command::spin:
      c->value = time_loop(c->value);
      break;
    default:
      result = -ENOSYS;
  }
  c->result = result;
  return result;
}

int ProcessTransport::init() {
  Control* const c = control();
  const InitPayload init = c->init;
  ring0::write_image(pool(), ring0::features_of(init.cr4), init.cpu_number);
  completer_.disable();
  step_ = Visit::processor;
  area().saving = process::Saving::none;
  area().components = kX87Sse;
  area().vector_bytes = kLegacyArea;
  area().faulting =
      (init.cr4 & kCr4Tsd ? process::kFaultingTsc : 0u) | (cpuid_faulting_ ? process::kFaultingCpuid : 0u);
  return debug_registers_.set({});
}

// What of the extended state the engine sees, and where it ends.
int ProcessTransport::set_xcr0(std::uint64_t wanted) {
  if (wanted & ~xcr0()) return -EINVAL;
  std::uint32_t end = kLegacyArea;
  for (std::uint32_t bit = 2; bit < 63; bit++) {
    if (!(wanted >> bit & 1)) continue;
    std::uint32_t size, offset, flags, unused;
    __cpuid_count(0xd, bit, size, offset, flags, unused);
    if (offset + size > end) end = offset + size;
  }
  if (end > R0_XSTATE_SIZE) return -EINVAL;
  area().components = wanted;
  area().vector_bytes = end;
  return 0;
}

int ProcessTransport::set_completion() {
  Control* const c = control();
  const int result = completer_.configure(c->completion);
  if (result < 0) return result;
  // What is kept there is always valid; another machine's may be left.
  std::memset(static_cast<char*>(pool()) + R0_XSTATE, 0, R0_X87 - R0_XSTATE);
  area().saving = completer_.enabled() ? process::Saving::undefined : process::Saving::none;
  std::memcpy(context() + CTX_XCR0, &c->completion.xcr0, sizeof c->completion.xcr0);
  return 0;
}

// CPUID faulting and tiles are all that there is of MSRs.
int ProcessTransport::set_msrs() {
  Control* const c = control();
  const std::uint32_t count = c->msrs.count;
  if (count > kMaxMsrs) return -EINVAL;
  for (std::uint32_t i = 0; i < count; i++) {
    const MsrEntry msr = c->msrs.entries[i];
    c->value = i;
    if (msr.index == kMsrPlatformInfo) continue;
    if (msr.index == kMsrXfd && msr.data == 0 && area().components >> process::kTileData & 1) {
      area().tiles = 1;
      continue;
    }
    if (msr.index != kMsrMiscFeatures) return -EINVAL;
    // Here, where CPUID does not fault anyway, this only says whether it could.
    if (syscall(SYS_arch_prctl, process::kArchSetCpuid, 1) < 0) return -EINVAL;
    cpuid_faulting_ = (msr.data & 1) != 0;
    area().faulting =
        (area().faulting & process::kFaultingTsc) | (cpuid_faulting_ ? process::kFaultingCpuid : 0u);
  }
  return 0;
}

// As the context page has them.
int ProcessTransport::set_debug_registers() {
  std::uint32_t requests;
  std::memcpy(&requests, context() + CTX_REQUESTS, sizeof requests);
  if (!(requests & CTX_REQUEST_DEBUG)) return 0;
  DebugSettings settings;
  std::memcpy(&settings.address, context() + CTX_DR0, sizeof settings.address);
  std::memcpy(&settings.dr7, context() + CTX_DR7, sizeof settings.dr7);
  const int result = lost_if_gone(debug_registers_.set(settings));
  if (result < 0) return result;
  requests &= ~std::uint32_t{CTX_REQUEST_DEBUG};
  std::memcpy(context() + CTX_REQUESTS, &requests, sizeof requests);
  return 0;
}

int ProcessTransport::complete_dr6() {
  std::uint64_t dr6;
  std::memcpy(&dr6, context() + CTX_DR6, sizeof dr6);
  const int result = lost_if_gone(debug_registers_.complete(dr6));
  std::memcpy(context() + CTX_DR6, &dr6, sizeof dr6);
  return result;
}

// 1 = over, 0 = not within the budget, -EPIPE = the sandbox is gone.
int ProcessTransport::wait(std::uint64_t budget) {
  Control* const c = control();
  const std::uint32_t asked = c->request_seq.load(std::memory_order_relaxed);
  const auto is_over = [&] { return c->complete_seq.load(std::memory_order_seq_cst) == asked; };
  const std::uint64_t started = now_nanos();
  if (spin_until(is_over, std::min(area().spins ? kSpinNanos : 0, budget))) return 1;
  int result = 1;
  area().engine_sleeps.store(1, std::memory_order_seq_cst);
  while (!is_over()) {
    const std::uint64_t elapsed = now_nanos() - started;
    if (sandbox_.is_gone())
      result = is_over() ? 1 : -EPIPE;
    else if (elapsed >= budget)
      result = 0;
    if (result != 1) break;
    const timespec slice = {0, static_cast<long>(std::min<std::uint64_t>(kSleepNanos, budget - elapsed))};
    futex(c->complete_seq, FUTEX_WAIT, asked - 1, &slice);
  }
  area().engine_sleeps.store(0, std::memory_order_relaxed);
  return result;
}

void ProcessTransport::post_run() {
  Control* const c = control();
  c->command = Command::run;
  c->request_seq.store(c->request_seq.load(std::memory_order_relaxed) + 1, std::memory_order_seq_cst);
  if (area().sandbox_sleeps.load(std::memory_order_seq_cst) != 0)
    futex(c->request_seq, FUTEX_WAKE, 1, nullptr);
  c->run_ioctls = c->run_ioctls + 1;
}

// Executes in software what the processor lacks or may not execute now: `undefined` as for Completer::visit.
// False: the run has ended.
bool ProcessTransport::complete(bool undefined) {
  Control* const c = control();
  const Visit visit = completer_.visit(pool(), pool_bytes(), undefined, true, c->completed);
  c->exit_kind = ExitKind::stub;
  if (visit == Visit::exit) return false;
  word32(CTX_REQUESTS) |= CTX_REQUEST_XRSTOR;
  if (c->kick.load(std::memory_order_acquire) != 0) {
    word32(CTX_VECTOR) = VECTOR_INTERRUPTED;
    c->exit_kind = ExitKind::interrupted;
    return false;
  }
  area().saving = visit == Visit::processor ? process::Saving::undefined : process::Saving::all;
  // A trap flag of the program's own ends the run behind the instruction anyway.
  std::uint64_t& flags = word(CTX_REGISTER(REG_EFLAGS));
  if (visit == Visit::processor || (flags & kTrapFlag) != 0) return true;
  flags |= kTrapFlag;
  step_ = visit;
  return true;
}

// After a run that executed one instruction: the trap flag was not the program's. Whether nothing but the
// step ended it; then it is not to be reported.
bool ProcessTransport::ends_step() {
  const Visit visit = std::exchange(step_, Visit::processor);
  if (visit == Visit::processor) return false;
  const bool is_stub = control()->exit_kind == ExitKind::stub;
  const std::uint32_t vector = word32(CTX_VECTOR);
  std::uint64_t& dr6 = word(CTX_DR6);
  const bool is_behind = is_stub && vector == kDebug && (dr6 & kDr6Step) != 0;
  if (!is_behind || visit != Visit::step_loads_flags) word(CTX_REGISTER(REG_EFLAGS)) &= ~kTrapFlag;
  if (is_stub && vector == VECTOR_SYSCALL) word(CTX_REGISTER(REG_R11)) &= ~kTrapFlag;
  if (!is_behind) return false;
  dr6 &= ~kDr6Step;
  return (dr6 & kDr6Breakpoints) == 0;
}

int ProcessTransport::run(std::uint32_t budget_micros) {
  if (sandbox_.pid() < 0) return -EPIPE;
  if (!created_) return -ENXIO;
  Control* const c = control();
  if (!running_) {
    const int set = set_debug_registers();
    if (set < 0) return set;
    c->kick.store(0, std::memory_order_relaxed);
    if (completer_.enabled()) area().saving = process::Saving::undefined;
    const bool executes = (word32(CTX_REQUESTS) & CTX_REQUEST_XSAVE) == 0;
    if (executes && completer_.is_due(pool()) && !complete(false)) return 1;
    post_run();
    running_ = true;
  }
  const std::uint64_t budget = budget_micros == 0 ? UINT64_MAX : std::uint64_t{budget_micros} * 1000;
  const std::uint64_t started = now_nanos();
  for (std::uint64_t elapsed = 0;; elapsed = now_nanos() - started) {
    if (elapsed >= budget) return 0;
    const int waited = wait(budget - elapsed);
    if (waited != 0) running_ = false;
    if (waited != 1) return waited;
    const std::uint32_t vector = c->exit_kind == ExitKind::stub ? word32(CTX_VECTOR) : VECTOR_INTERRUPTED;
    if (vector == kDebug) {
      const int completed = complete_dr6();
      if (completed < 0) return completed;
    }
    const bool stepped = ends_step();
    if (!stepped && (vector != kUndefined || !completer_.enabled())) return 1;
    if (!complete(!stepped)) return 1;
    post_run();
    running_ = true;
  }
}

void ProcessTransport::kick() {
  Transport::kick();
  if (running_) sandbox_.interrupt();
}

}  // namespace revenant
