// The kernel's counter of events that this thread's guests retire at CPL 3 (perf_event_open(2),
// exclude_host).
#ifndef REVENANT_KVM_BRANCH_COUNTER_H_
#define REVENANT_KVM_BRANCH_COUNTER_H_

#include <cstdint>

#include "scoped.h"

namespace revenant {

class BranchCounter {
 public:
  // Counts the processor's event `config` (perf_event_attr::config of PERF_TYPE_RAW) on the calling thread,
  // which must be the one that runs the vCPU. 0 or -errno.
  int open(std::uint64_t config);
  void close() { fd_.reset(); }

  // The count since the last `arm`. 0 or -errno; -EAGAIN: the kernel gave the processor's counter
  // to another event (a system-wide profiler), and the count is lost.
  int read(std::uint64_t& count) const;

  // Counts from zero. After `after` events (0: never) a signal ends one KVM_RUN, some events late. 0 or
  // -errno.
  int arm(std::uint64_t after);

  // Whether a run must end: the count of `arm` was reached, or cannot be reached any more, because the
  // counter was lost.
  bool due() const;

  // A run was ended because it was due: no other will be. Counting continues.
  void taken();

  // It was due where a run may not be ended: another signal, after the next event.
  void insist() const;

 private:
  int set_period(std::uint64_t period) const;

  ScopedFd fd_;
  std::uint64_t after_ = 0;
};

}  // namespace revenant

#endif
