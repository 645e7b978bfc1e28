// Executes the commands of the control block on the processor that this runs on, in ring 0.
#ifndef REVENANT_BARE_VCPU_H_
#define REVENANT_BARE_VCPU_H_

#include <cstdint>

#include "../kvm/control.h"

namespace revenant::bare {

class Vcpu {
 public:
  // `pool`: where it is mapped; its guest-physical address is `physical`.
  Vcpu(char* pool, std::uint64_t physical) : pool_(pool), physical_(physical) {}

  // Loads the service's own page tables and descriptors, on which nothing depends that a client writes.
  void leave_pool();

  // Executes control()->command: 0 or -errno. `run` returns when the program has left and its stub has
  // stopped waiting for the answer. What cannot be done here is the client's: completion, CPUID faulting,
  // budgets.
  int execute();

  Control* control() const { return reinterpret_cast<Control*>(pool_); }

 private:
  int create();
  int init_long_mode();
  int set_xcr0(std::uint64_t wanted);
  int set_msrs();
  int run();
  void share_upper_half();
  void add_doorbell();
  void load_descriptors();

  char* const pool_;
  const std::uint64_t physical_;
  bool created_ = false;
  bool initialised_ = false;
};

}  // namespace revenant::bare

#endif
