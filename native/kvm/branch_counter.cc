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

// Zero would make it a counter that can never be told to signal.
constexpr std::uint64_t kNever = std::uint64_t{1} << 46;

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
  // A pinned event that did not get its counter reads as the end of the file.
  return bytes < 0 ? -errno : bytes == sizeof count ? 0 : -EAGAIN;
}

int BranchCounter::arm(std::uint64_t after) {
  if (!fd_) return -EBADF;
  after_ = after;
  std::uint64_t period = after ? after : kNever;
  if (ioctl(fd_.get(), PERF_EVENT_IOC_RESET, 0) < 0) return -errno;
  return or_errno(ioctl(fd_.get(), PERF_EVENT_IOC_PERIOD, &period));
}

bool BranchCounter::due() const {
  std::uint64_t count = 0;
  return after_ != 0 && read(count) == 0 && count >= after_;
}

}  // namespace revenant
