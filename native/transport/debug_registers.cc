#include "debug_registers.h"

#include <cerrno>
#include <cstddef>

#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

namespace revenant {
namespace {

constexpr std::uint64_t kAnyAddress = 0x1000;
constexpr std::uint64_t kUserEnd = 0x7fff'ffff'f000;
constexpr std::uint64_t kConditions = 15;  // B0 to B3 of DR6

long open_event(pid_t process, std::uint64_t address, std::uint32_t kind, unsigned number) {
  perf_event_attr attributes = {};
  attributes.type = PERF_TYPE_BREAKPOINT;
  attributes.size = sizeof attributes;
  attributes.sample_period = 1;
  attributes.exclude_kernel = 1;
  attributes.exclude_hv = 1;
  attributes.remove_on_exec = 1;
  attributes.sigtrap = 1;
  attributes.sig_data = number;
  attributes.bp_addr = address;
  constexpr std::uint32_t kLengths[] = {HW_BREAKPOINT_LEN_1, HW_BREAKPOINT_LEN_2, HW_BREAKPOINT_LEN_8,
                                        HW_BREAKPOINT_LEN_4};
  attributes.bp_type = (kind & 3) == 0   ? HW_BREAKPOINT_X
                       : (kind & 3) == 1 ? HW_BREAKPOINT_W
                                         : HW_BREAKPOINT_RW;
  attributes.bp_len = (kind & 3) == 0 ? sizeof(long) : kLengths[kind >> 2];
  const long event = syscall(SYS_perf_event_open, &attributes, process, -1, -1, PERF_FLAG_FD_CLOEXEC);
  return event < 0 ? -errno : event;
}

// The process stands still, traced by this thread, as long as this lives.
class Attached {
 public:
  explicit Attached(pid_t process) : process_(process) {
    error_ = attach();
    if (error_ < 0 && seized_) ptrace(PTRACE_DETACH, process_, nullptr, nullptr);
  }
  Attached(const Attached&) = delete;
  Attached& operator=(const Attached&) = delete;
  ~Attached() {
    if (error_ == 0) ptrace(PTRACE_DETACH, process_, nullptr, nullptr);
  }

  // 0 or -errno.
  int error() const { return error_; }

  int set(unsigned number, std::uint64_t value) {
    return ptrace(PTRACE_POKEUSER, process_, offset(number), value) < 0 ? -errno : 0;
  }

  int get(unsigned number, std::uint64_t& value) {
    errno = 0;
    const long read = ptrace(PTRACE_PEEKUSER, process_, offset(number), nullptr);
    if (read == -1 && errno != 0) return -errno;
    value = static_cast<std::uint64_t>(read);
    return 0;
  }

 private:
  static std::size_t offset(unsigned number) {
    return offsetof(user, u_debugreg) + number * sizeof(user::u_debugreg[0]);
  }

  // Its end is left for whoever waits for that.
  int attach() {
    if (ptrace(PTRACE_SEIZE, process_, nullptr, nullptr) < 0) return -errno;
    seized_ = true;
    if (ptrace(PTRACE_INTERRUPT, process_, nullptr, nullptr) < 0) return -errno;
    siginfo_t info;
    while (waitid(P_PID, static_cast<id_t>(process_), &info, WSTOPPED | WEXITED | WNOWAIT | __WALL) < 0)
      if (errno != EINTR) return -errno;
    return info.si_code == CLD_TRAPPED || info.si_code == CLD_STOPPED ? 0 : -ESRCH;
  }

  pid_t process_;
  bool seized_ = false;
  int error_;
};

}  // namespace

int DebugRegisters::open(pid_t process, DebugMeans wanted) {
  process_ = process;
  int result = -EOPNOTSUPP;
  if (wanted != DebugMeans::tracing) {
    result = try_event();
    means_ = DebugMeans::events;
  }
  if (result < 0 && wanted != DebugMeans::events) {
    registers_[0].enabled = true;
    registers_[0].address = kAnyAddress;
    result = set_by_tracing();
    registers_[0] = {};
    if (result == 0) result = set_by_tracing();
    means_ = DebugMeans::tracing;
  }
  if (result < 0) means_ = DebugMeans::none;
  return result;
}

int DebugRegisters::try_event() const {
  const long event = open_event(process_, kAnyAddress, 0, 0);
  if (event < 0) return static_cast<int>(event);
  ::close(static_cast<int>(event));
  return 0;
}

int DebugRegisters::set(const DebugSettings& settings) {
  bool changed = false;
  for (unsigned i = 0; i < 4; i++) {
    Register& each = registers_[i];
    const auto kind = static_cast<std::uint32_t>(settings.dr7 >> (16 + 4 * i) & 15);
    const bool enabled = (settings.dr7 >> (2 * i) & 1) != 0;
    if (enabled == each.enabled && (!enabled || (each.address == settings.address[i] && each.kind == kind)))
      continue;
    changed = true;
    each.enabled = enabled;
    each.address = settings.address[i];
    each.kind = kind;
    if (means_ != DebugMeans::events) continue;
    const int result = set_event(i);
    if (result < 0) return result;
  }
  return changed && means_ == DebugMeans::tracing ? set_by_tracing() : 0;
}

int DebugRegisters::set_event(unsigned index) {
  Register& each = registers_[index];
  each.event.reset();
  each.hits = 0;
  if (!each.enabled) return 0;
  const long event = open_event(process_, each.address, each.kind, index);
  if (event < 0) {
    each.enabled = false;
    return static_cast<int>(event);
  }
  each.event.reset(static_cast<int>(event));
  return 0;
}

// All are disabled first: Linux checks an address against the length that the register has so far.
int DebugRegisters::set_by_tracing() {
  Attached process(process_);
  int result = process.error();
  if (result == 0) result = process.set(7, 0);
  std::uint64_t dr7 = 0;
  for (unsigned i = 0; i < 4 && result == 0; i++) {
    const Register& each = registers_[i];
    if (!each.enabled || each.address >= kUserEnd) continue;
    result = process.set(i, each.address);
    dr7 |= 1ull << (2 * i) | std::uint64_t{each.kind} << (16 + 4 * i);
  }
  if (result == 0 && dr7 != 0) result = process.set(7, dr7);
  return result;
}

int DebugRegisters::complete(std::uint64_t& dr6) {
  std::uint64_t data = 0;
  for (unsigned i = 0; i < 4; i++)
    if (registers_[i].is_data()) data |= 1ull << i;
  if (data == 0) return 0;
  if (means_ == DebugMeans::tracing) {
    std::uint64_t status;
    const int result = read_status(status);
    if (result == 0) dr6 |= status & data;
    return result;
  }
  for (unsigned i = 0; i < 4; i++) {
    Register& each = registers_[i];
    std::uint64_t count;
    if (!each.is_data() || !each.event) continue;
    if (read(each.event.get(), &count, sizeof count) != sizeof count || count == each.hits) continue;
    each.hits = count;
    dr6 |= 1ull << i;
  }
  return 0;
}

// What Linux keeps of DR6: the conditions of the last debug exception.
int DebugRegisters::read_status(std::uint64_t& dr6) const {
  Attached process(process_);
  if (process.error() < 0) return process.error();
  const int result = process.get(6, dr6);
  dr6 &= kConditions;
  return result;
}

void DebugRegisters::close() {
  for (Register& each : registers_) each = {};
  means_ = DebugMeans::none;
}

}  // namespace revenant
