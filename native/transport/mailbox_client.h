// The vCPU of an emulated machine, leased from its keeper: commands go through the control block of the
// shared pool (see control.h), the connection to the keeper lasts as long as the machine.
//
// A run seldom needs the service: when the program exits, the ring-0 stub publishes this in the
// context page and waits there for a while (entry.S, leave_guest), and the answer is written there.
// The service's command `run` is in progress all the time, until the stub stops waiting and exits.
// What the service cannot do (native/bare) is done here: instructions that the processor lacks are
// executed between two exits.
// Invariant: CTX_EXIT_SEQ is authoritative; when `run` completes without a new one, the stub just
// missed the answer.
#ifndef REVENANT_KVM_MAILBOX_CLIENT_H_
#define REVENANT_KVM_MAILBOX_CLIENT_H_

#include <atomic>

#include "../kvm/completer.h"
#include "../kvm/scoped.h"
#include "../machine/machine_area.h"
#include "transport.h"

namespace revenant {

class MailboxClient : public Transport {
 public:
  // Leases from the keeper that listens at this abstract socket name (without the leading NUL). 0 or
  // -errno: see machine/keeper_client.h; -EBUSY when another client has the lease.
  int open(const char* name);

  void* pool() const override { return mapping_.data(); }
  std::size_t pool_bytes() const override { return mapping_.size(); }
  int execute() override;
  int run(std::uint32_t budget_micros) override;
  void kick() override;
  void close() override;

 private:
  using Clock = std::uint64_t;  // nanoseconds
  enum class Ended { no, by_service, by_stub };

  machine::MachineArea& area() const;
  void ring();
  void post();
  void post_run();
  int set_completion();
  bool complete();
  int resume();
  int leave();
  template <typename Condition>
  int wait(Clock budget, Condition is_over);
  Ended look() const;
  bool answered() const;
  bool machine_is_gone() const;
  std::atomic<std::uint32_t>& context(std::uint32_t offset) const;

  ScopedFd socket_;
  ScopedFd line_;
  ScopedMapping mapping_;
  Completer completer_{machine::kPoolPhysical};
  std::uint64_t spin_nanos_ = 0;
  bool running_ = false;        // a run was started and has not ended
  std::uint32_t exit_seq_ = 0;  // CTX_EXIT_SEQ when it was started
};

}  // namespace revenant

#endif
