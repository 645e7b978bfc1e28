#include "branch_counter.h"

#include <cstring>

#include <fcntl.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "error.h"
#include "ticks.h"

namespace revenant {
namespace {

// Zero would make it a counter that can never be made to signal.
constexpr std::uint64_t kNever = std::uint64_t{1} << 46;
constexpr std::uint64_t kSoon = 1;

}  // namespace

int BranchCounter::open(std::uint64_t config) {
  close();
  const int installed = install_tick_handler();
  if (installed < 0) return installed;
  perf_event_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.size = sizeof attr;
  attr.type = PERF_TYPE_RAW;
  attr.config = config;
  attr.sample_period = kNever;
  attr.wakeup_events = 1;
  // On the processor whenever the thread is, or in error for good: never multiplexed with others.
  attr.pinned = 1;
  attr.exclude_host = 1;
  attr.exclude_kernel = 1;  // of the guest: its ring 0
  attr.exclude_hv = 1;
  ScopedFd fd(static_cast<int>(syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC)));
  if (!fd) return -errno;
  f_owner_ex owner = {F_OWNER_TID, gettid()};
  if (fcntl(fd.get(), F_SETOWN_EX, &owner) < 0 || fcntl(fd.get(), F_SETSIG, tick_signal()) < 0 ||
      fcntl(fd.get(), F_SETFL, O_ASYNC) < 0) {
    return -errno;
  }
  fd_ = std::move(fd);
  return arm(0);
}

int BranchCounter::read(std::uint64_t& count) const {
  if (!fd_) return -EBADF;
  const ssize_t bytes = ::read(fd_.get(), &count, sizeof count);
  // A pinned event in error reads as the end of the file (perf_event_open(2)).
  return bytes < 0 ? -errno : bytes == sizeof count ? 0 : -EAGAIN;
}

int BranchCounter::arm(std::uint64_t after) {
  if (!fd_) return -EBADF;
  after_ = after;
  if (ioctl(fd_.get(), PERF_EVENT_IOC_RESET, 0) < 0) return -errno;
  return set_period(after ? after : kNever);
}

bool BranchCounter::due() const {
  if (after_ == 0) return false;
  std::uint64_t count = 0;
  return read(count) < 0 || count >= after_;
}

// A period restarts by itself. Setting it also re-enables an event that the kernel throttled until
// its next tick because it signalled too often (perf_event_max_sample_rate).
void BranchCounter::taken() {
  after_ = 0;
  set_period(kNever);
}

void BranchCounter::insist() const { set_period(kSoon); }

int BranchCounter::set_period(std::uint64_t period) const {
  return or_errno(ioctl(fd_.get(), PERF_EVENT_IOC_PERIOD, &period));
}

}  // namespace revenant
