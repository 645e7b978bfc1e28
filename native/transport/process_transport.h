// A process whose address space is the program's: native/process.
#ifndef REVENANT_TRANSPORT_PROCESS_TRANSPORT_H_
#define REVENANT_TRANSPORT_PROCESS_TRANSPORT_H_

#include <string>

#include "../kvm/completer.h"
#include "../kvm/scoped.h"
#include "../process/area.h"
#include "child.h"
#include "debug_registers.h"
#include "pool_memory.h"
#include "transport.h"

namespace revenant {

struct ProcessOptions {
  const char* sandbox;  // path of the program
  std::uint64_t base;   // where it is to live
  DebugMeans debug_means = DebugMeans::none;
  Isolation isolation = Isolation::namespaces;
};

class ProcessTransport : public Transport {
 public:
  ~ProcessTransport() override { close(); }

  // Makes a pool of zeros and starts the sandbox; without namespaces if it does not work with them. `bytes`
  // is a multiple of the page size. 0 or -errno; failed_at() says at what.
  int open(std::size_t bytes, const ProcessOptions& options);
  const char* failed_at() const;
  Isolation isolation() const { return isolation_; }

  void* pool() const override { return memory_.mapping.data(); }
  std::size_t pool_bytes() const override { return memory_.mapping.size(); }
  int execute() override;
  int run(std::uint32_t budget_micros) override;
  void kick() override;
  void close() override;

 private:
  process::Area& area() const { return *process::area_of(control()); }
  char* context() const { return static_cast<char*>(pool()) + R0_CONTEXT; }
  std::uint64_t& word(std::size_t at) const { return *reinterpret_cast<std::uint64_t*>(context() + at); }
  std::uint32_t& word32(std::size_t at) const { return *reinterpret_cast<std::uint32_t*>(context() + at); }
  int start(Isolation isolation);
  void begin_area();
  int start_again();
  int set_xcr0(std::uint64_t wanted);
  int set_completion();
  int set_msrs();
  void post_run();
  int init();
  int set_debug_registers();
  int complete_dr6();
  bool complete(bool undefined);
  bool ends_step();
  int wait(std::uint64_t budget_nanos);

  PoolMemory memory_;
  Child sandbox_;
  std::string program_;  // of the sandbox: its path
  std::uint64_t base_ = 0;
  DebugMeans debug_means_ = DebugMeans::none;
  Completer completer_{0, false};
  // How the run in progress executes one instruction, by a trap flag that is not the program's; or that it
  // does not.
  Visit step_ = Visit::processor;
  bool created_ = false;
  bool running_ = false;
  bool cpuid_faulting_ = false;
  DebugRegisters debug_registers_;
  const char* failed_at_ = nullptr;  // null: one of the sandbox's own steps
  Isolation isolation_ = Isolation::none;
};

}  // namespace revenant

#endif
