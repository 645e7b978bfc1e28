// The vCPU of an emulated machine, leased from its keeper: commands go through the control block of the
// shared pool (see control.h), the connection to the keeper tells whether the machine still lives.
#ifndef REVENANT_KVM_MAILBOX_CLIENT_H_
#define REVENANT_KVM_MAILBOX_CLIENT_H_

#include "scoped.h"
#include "transport.h"

namespace revenant {

class MailboxClient : public Transport {
 public:
  // Leases from the keeper that listens at this abstract socket name (without the leading NUL). 0 or
  // -errno: see machine/keeper_client.h; -EBUSY when somebody else has the lease.
  int open(const char* name);

  void* pool() const override { return mapping_.data(); }
  std::size_t pool_bytes() const override { return mapping_.size(); }
  int execute() override;
  int run(std::uint32_t budget_micros) override;
  void close() override;

 private:
  void post();
  int wait(std::uint64_t budget_nanos);
  bool answered() const;
  bool machine_is_gone() const;

  ScopedFd socket_;
  ScopedMapping mapping_;
  std::uint64_t spin_nanos_ = 0;
  bool running_ = false;
};

}  // namespace revenant

#endif
