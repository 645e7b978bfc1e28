#include "mailbox_client.h"

#include <algorithm>
#include <ctime>

#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../kvm/error.h"
#include "../machine/keeper_client.h"
#include "../machine/machine_area.h"
#include "spin.h"

namespace revenant {
namespace {

constexpr long kFirstSleepNanos = 10'000, kMaxSleepNanos = 1'000'000;
// Commands other than `run` are short; the slowest makes a VM. The keeper ends a machine that makes
// no progress (kCommandSeconds), not counting time in which it has no processor: this limit is for
// a keeper that hangs.
constexpr std::uint64_t kCommandNanos = 3'600'000'000'000;

// How often the stub polls for its answer: some 500 us, longer than most frames take; then it
// exits, which costs 60 us, and the machine sleeps.
constexpr std::uint32_t kStubSpins = 100'000;

}  // namespace

int MailboxClient::open(const char* name) {
  machine::KeeperLease lease;
  const int error = machine::lease_keeper(name, &lease);
  if (error != 0) return -error;
  ScopedFd socket(lease.socket), pool(lease.pool);
  struct stat status = {};
  if (fstat(pool.get(), &status) < 0) return -errno;
  if (status.st_size < R0_END) return -EPROTO;
  const auto bytes = static_cast<std::size_t>(status.st_size);
  void* const data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, pool.get(), 0);
  if (data == MAP_FAILED) return -errno;
  mapping_ = ScopedMapping(data, bytes);
  socket_ = std::move(socket);
  // With one processor the machine cannot answer while we spin.
  spin_nanos_ = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? kSpinNanos : 0;
  return answered() ? 0 : -EPROTO;
}

void MailboxClient::close() { socket_.reset(); }

bool MailboxClient::answered() const {
  const Control* const c = control();
  return c->complete_seq.load(std::memory_order_acquire) == c->request_seq.load(std::memory_order_relaxed);
}

void MailboxClient::post() {
  Control* const c = control();
  c->request_seq.store(c->request_seq.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

bool MailboxClient::machine_is_gone() const {
  pollfd connection = {socket_.get(), POLLIN | POLLRDHUP, 0};
  // The keeper sends nothing during a lease. A signal (the host's vCPU has a timer) interrupts poll, which is
  // ignored.
  return poll(&connection, 1, 0) > 0;
}

std::atomic<std::uint32_t>& MailboxClient::context(std::uint32_t offset) const {
  return *reinterpret_cast<std::atomic<std::uint32_t>*>(static_cast<char*>(pool()) + R0_CONTEXT + offset);
}

// 1 = done, 0 = not within the budget, -EPIPE = the machine was lost.
template <typename Condition>
int MailboxClient::wait(Clock budget, Condition is_over) {
  const Clock started = now_nanos();
  if (spin_until(is_over, std::min(spin_nanos_, budget))) return 1;
  timespec duration = {0, kFirstSleepNanos};
  while (!is_over()) {
    if (machine_is_gone()) return -EPIPE;
    if (now_nanos() - started >= budget) return 0;
    nanosleep(&duration, nullptr);
    if (duration.tv_nsec < kMaxSleepNanos) duration.tv_nsec += duration.tv_nsec / 2;
  }
  return 1;
}

int MailboxClient::execute() {
  if (!socket_) return -EPIPE;
  if (running_) return -EBUSY;
  int waited = leave();
  if (waited < 0) return waited;
  post();
  waited = wait(kCommandNanos, [this] { return answered(); });
  if (waited < 0) return waited;
  return waited == 0 ? -ETIMEDOUT : control()->result;
}

// Makes the service idle: if the stub waits for an answer, it is to exit instead.
int MailboxClient::leave() {
  if (answered()) return 0;
  // The control block has a command that the caller has just written; `run` was read before.
  context(CTX_GO).store(context(CTX_EXIT_SEQ).load() ^ CTX_GO_LEAVE, std::memory_order_release);
  const int waited = wait(kCommandNanos, [this] { return answered(); });
  return waited == 0 ? -ETIMEDOUT : waited < 0 ? waited : 0;
}

void MailboxClient::post_run() {
  Control* const c = control();
  c->command = Command::run;
  c->budget_micros = 0;  // ours is the time; the service runs until the guest exits or is kicked
  context(CTX_SPIN).store(spin_nanos_ ? kStubSpins : 0, std::memory_order_relaxed);
  post();
}

// Continues the program after its exit.
int MailboxClient::resume() {
  exit_seq_ = context(CTX_EXIT_SEQ).load(std::memory_order_acquire);
  control()->kick.store(0, std::memory_order_relaxed);
  const auto* const area =
      reinterpret_cast<const machine::MachineArea*>(static_cast<char*>(pool()) + machine::kAreaOffset);
  // The service drops translations of changed code before its next command.
  if (area->stale_count != 0) {
    const int left = leave();
    if (left < 0) return left;
  }
  if (answered()) {
    post_run();
  } else {
    context(CTX_GO).store(exit_seq_, std::memory_order_release);
  }
  return 0;
}

// The order matters: an exit is counted before the service completes.
MailboxClient::Ended MailboxClient::look() const {
  const auto left = [this] { return context(CTX_EXIT_SEQ).load(std::memory_order_acquire) != exit_seq_; };
  if (left()) return Ended::by_stub;
  if (!answered()) return Ended::no;
  return left() ? Ended::by_stub : Ended::by_service;
}

int MailboxClient::run(std::uint32_t budget_micros) {
  if (!socket_) return -EPIPE;
  if (!running_) {
    const int resumed = resume();
    if (resumed < 0) return resumed;
    running_ = true;
  }
  Control* const c = control();
  for (;;) {
    Ended ended = Ended::no;
    const int waited = wait(Clock{budget_micros} * 1000, [&] { return (ended = look()) != Ended::no; });
    if (waited < 0) running_ = false;  // the next command must fail, too
    if (waited <= 0) return waited;
    if (ended == Ended::by_stub) {
      running_ = false;
      c->exit_kind = ExitKind::stub;
      return 1;
    }
    if (c->result < 0 || c->exit_kind != ExitKind::stub) break;
    post_run();  // the stub stopped waiting just when it was released
  }
  running_ = false;
  return c->result < 0 ? c->result : 1;
}

}  // namespace revenant
