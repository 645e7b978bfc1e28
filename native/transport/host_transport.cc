#include "host_transport.h"

#include <cerrno>

namespace revenant {

int HostTransport::open(std::size_t bytes) {
  const int result = memory_.open(bytes);
  if (result == 0) service_ = std::make_unique<VcpuService>(pool(), bytes);
  return result;
}

int HostTransport::execute() {
  if (!service_) return -EPIPE;
  return service_->execute();
}

int HostTransport::run(std::uint32_t budget_micros) {
  if (!service_) return -EPIPE;
  Control* const c = control();
  if (!running_) c->kick.store(0, std::memory_order_relaxed);
  c->command = Command::run;
  c->budget_micros = budget_micros;
  const int result = service_->execute();
  running_ = result == -EAGAIN;
  return running_ ? 0 : result < 0 ? result : 1;
}

int HostTransport::open_counter(std::uint64_t config) {
  if (!service_) return -EPIPE;
  service_->stop_when_due(nullptr);
  const int result = counter_.open(config);
  if (result == 0) service_->stop_when_due(&counter_);
  return result;
}

void HostTransport::close() {
  service_.reset();
  counter_.close();
}

}  // namespace revenant
