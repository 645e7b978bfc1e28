// The kernel's counter of events that this thread's guests retire at CPL 3 (perf_event_open(2), exclude_host).
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

  // What was counted since the last `arm`. 0 or -errno.
  int read(std::uint64_t& count) const;

  // Counts from zero. From `after` events on (0: never) a signal ends KVM_RUN, some events late. 0 or -errno.
  int arm(std::uint64_t after);

  // Whether what `arm` asked for was reached.
  bool due() const;

 private:
  ScopedFd fd_;
  std::uint64_t after_ = 0;
};

}  // namespace revenant

#endif
