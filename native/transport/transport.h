// A vCPU service as the engine reaches it: in this process, or through a mailbox.
#ifndef REVENANT_KVM_TRANSPORT_H_
#define REVENANT_KVM_TRANSPORT_H_

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "../kvm/control.h"

namespace revenant {

class Transport {
 public:
  virtual ~Transport() = default;

  // The mapped pool; its first bytes are the control block. Stays mapped until destruction.
  virtual void* pool() const = 0;
  virtual std::size_t pool_bytes() const = 0;
  Control* control() const { return static_cast<Control*>(pool()); }

  // Performs the command of the control block (any but `run`). 0 or -errno; -EPIPE: the machine is gone.
  virtual int execute() = 0;

  // Starts the run, or continues one that did not end. 1 = ended, 0 = still running after
  // `budget_micros` (nothing but kick() may be touched then), or -errno.
  virtual int run(std::uint32_t budget_micros) = 0;

  // Ends the run in progress soon.
  virtual void kick() { control()->kick.store(1, std::memory_order_release); }

  // The processor's counter of events of this guest: see BranchCounter. Only where the vCPU is in this
  // process.
  virtual int open_counter(std::uint64_t) { return -EOPNOTSUPP; }
  virtual int read_counter(std::uint64_t&) const { return -EOPNOTSUPP; }
  virtual int arm_counter(std::uint64_t) { return -EOPNOTSUPP; }

  // Gives the vCPU back; everything but pool() fails from now on.
  virtual void close() = 0;
};

}  // namespace revenant

#endif
