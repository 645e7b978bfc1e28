// The host's own /dev/kvm, called in this process.
#ifndef REVENANT_KVM_HOST_TRANSPORT_H_
#define REVENANT_KVM_HOST_TRANSPORT_H_

#include <memory>

#include "../kvm/vcpu_service.h"
#include "pool_memory.h"
#include "transport.h"

namespace revenant {

class HostTransport : public Transport {
 public:
  // Makes a pool of zeros. `bytes` is a multiple of the page size. 0 or -errno.
  int open(std::size_t bytes);

  void* pool() const override { return memory_.mapping.data(); }
  std::size_t pool_bytes() const override { return memory_.mapping.size(); }
  int execute() override;
  int run(std::uint32_t budget_micros) override;
  int open_counter(std::uint64_t config) override;
  int read_counter(std::uint64_t& count) const override { return counter_.read(count); }
  int arm_counter(std::uint64_t after) override { return counter_.arm(after); }
  void close() override;

 private:
  PoolMemory memory_;
  BranchCounter counter_;
  std::unique_ptr<VcpuService> service_;  // after memory_: destroyed before it
  bool running_ = false;
};

}  // namespace revenant

#endif
