// The debug registers of another process: a child of ours. Apart from who uses them, because <signal.h> and
// ring0/layout.h both name registers.
#ifndef REVENANT_TRANSPORT_DEBUG_REGISTERS_H_
#define REVENANT_TRANSPORT_DEBUG_REGISTERS_H_

#include <cstdint>

#include <sys/types.h>

#include "../kvm/scoped.h"

namespace revenant {

// How they are set: as breakpoint events that raise SIGTRAP with a number (perf_event_open, Linux 5.13),
// which containers and some systems deny, or by attaching to the process for a moment (ptrace), which a
// parent may nearly everywhere. Linux keeps what a tracer set when it detaches.
enum class DebugMeans : std::uint32_t { none, events, tracing };

struct DebugSettings {
  std::uint64_t address[4];
  std::uint64_t dr7;
};

class DebugRegisters {
 public:
  // Finds out by which means those of this process can be set: by `wanted`, or by whichever works if that is
  // `none`. 0 or the -errno of the last that was tried.
  int open(pid_t process, DebugMeans wanted);
  DebugMeans means() const { return means_; }

  // Sets them, if they are not so. Precondition: the process waits, and does so with or without signals. 0 or
  // -errno.
  int set(const DebugSettings& settings);

  // Completes what a signal told of DR6 after a debug exception: it names no data breakpoint if the same
  // instruction was stepped, and none at all if they are set by tracing. Precondition: as of set(). 0 or
  // -errno.
  int complete(std::uint64_t& dr6);

  // Nothing is set any more; the process may be gone.
  void close();

 private:
  // One that is enabled.
  struct Register {
    std::uint64_t address = 0;
    std::uint32_t kind = 0;  // R/W and LEN as in DR7
    bool enabled = false;
    ScopedFd event;
    std::uint64_t hits = 0;  // of the event, that are known
    bool is_data() const { return enabled && (kind & 3) != 0; }
  };

  int try_event() const;
  int set_event(unsigned index);
  int set_by_tracing();
  int read_status(std::uint64_t& dr6) const;

  pid_t process_ = -1;
  DebugMeans means_ = DebugMeans::none;
  Register registers_[4];
};

}  // namespace revenant

#endif
