#include "mailbox_client.h"

#include <algorithm>
#include <cstring>
#include <ctime>

#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../kvm/error.h"
#include "../machine/keeper_client.h"
#include "spin.h"

namespace revenant {
namespace {

constexpr long kFirstSleepNanos = 10'000, kMaxSleepNanos = 1'000'000;
constexpr unsigned long kTimerSlackNanos = 1'000;
// Commands other than `run` are short; the slowest makes a VM. The keeper ends a machine that makes
// no progress (kCommandSeconds), not counting time in which it has no processor: this limit is for
// a keeper that hangs.
constexpr std::uint64_t kCommandNanos = 3'600'000'000'000;

// How often the stub polls for its answer: some 500 us, longer than most frames take; then the
// service waits as long for a command, and sleeps.
constexpr std::uint32_t kStubSpins = 100'000;

constexpr std::uint32_t kUndefined = 6;

}  // namespace

int MailboxClient::open(const char* name) {
  machine::KeeperLease lease;
  const int error = machine::lease_keeper(name, &lease);
  if (error != 0) return -error;
  ScopedFd socket(lease.socket), memory(lease.memory), line(lease.line);
  struct stat status = {};
  if (fstat(memory.get(), &status) < 0) return -errno;
  constexpr auto kOffset = static_cast<off_t>(machine::kPoolFileOffset);
  if (status.st_size < kOffset + R0_END) return -EPROTO;
  const auto bytes = static_cast<std::size_t>(status.st_size - kOffset);
  void* const data =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, memory.get(), kOffset);
  if (data == MAP_FAILED) return -errno;
  mapping_ = ScopedMapping(data, bytes);
  socket_ = std::move(socket);
  line_ = std::move(line);
  // Linux ends a sleep up to 50 us late, unless it is told that this matters: longer than the shortest sleep.
  prctl(PR_SET_TIMERSLACK, kTimerSlackNanos);
  // With one processor the machine cannot answer while we spin.
  spin_nanos_ = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? kSpinNanos : 0;
  return answered() ? 0 : -EPROTO;
}

void MailboxClient::close() {
  line_.reset();
  socket_.reset();
}

machine::MachineArea& MailboxClient::area() const {
  return *reinterpret_cast<machine::MachineArea*>(static_cast<char*>(pool()) + machine::kAreaOffset);
}

// Wakes the service, or interrupts the program. A full pipe means that this is about to happen anyway.
void MailboxClient::ring() {
  if (write(line_.get(), "w", 1) < 0) return;
}

void MailboxClient::kick() {
  control()->kick.store(1, std::memory_order_seq_cst);
  if (running_) ring();
}

bool MailboxClient::answered() const {
  const Control* const c = control();
  return c->complete_seq.load(std::memory_order_acquire) == c->request_seq.load(std::memory_order_relaxed);
}

void MailboxClient::post() {
  Control* const c = control();
  c->request_seq.store(c->request_seq.load(std::memory_order_relaxed) + 1, std::memory_order_seq_cst);
  if (area().asleep.load(std::memory_order_seq_cst) != 0) ring();
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
  const Command command = control()->command;
  if (command == Command::set_completion) return control()->result = set_completion();
  if (command == Command::create || command == Command::init_long_mode) completer_.disable();
  int waited = leave();
  if (waited < 0) return waited;
  const Clock started = now_nanos();
  post();
  waited = wait(kCommandNanos, [this] { return answered(); });
  if (waited < 0) return waited;
  if (command == Command::spin) control()->value = now_nanos() - started;  // the machine has no clock
  return waited == 0 ? -ETIMEDOUT : control()->result;
}

int MailboxClient::set_completion() {
  const CompletionPayload wanted = control()->completion;
  const int result = completer_.configure(wanted);
  if (result < 0) return result;
  auto& features = context(CTX_FEATURES);
  const std::uint32_t others = features.load() & ~std::uint32_t{CTX_FEATURE_COMPLETION};
  const bool on = completer_.enabled() && (others & CTX_FEATURE_XSAVE) != 0;
  features.store(on ? others | CTX_FEATURE_COMPLETION : others);
  std::memcpy(static_cast<char*>(pool()) + R0_CONTEXT + CTX_XCR0, &wanted.xcr0, sizeof wanted.xcr0);
  return 0;
}

// The program left with #UD. Executes the instruction if it is one that the processor lacks; whether the
// program may go on.
bool MailboxClient::complete() {
  const auto xcr0 = [this] {
    std::uint64_t value;
    std::memcpy(&value, static_cast<char*>(pool()) + R0_CONTEXT + CTX_XCR0, sizeof value);
    return value;
  };
  const std::uint64_t before = xcr0();
  const Visit visit = completer_.visit(pool(), pool_bytes(), true, true, control()->completed);
  auto& requests = context(CTX_REQUESTS);
  if (xcr0() != before) requests.store(requests.load() | CTX_REQUEST_XCR0);
  return visit != Visit::exit;
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
  // The service drops translations of changed code before its next command.
  if (area().stale_count != 0) {
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
  Control* const c = control();
  if (!running_) {
    c->kick.store(0, std::memory_order_relaxed);
    const int resumed = resume();
    if (resumed < 0) return resumed;
    running_ = true;
  }
  const Clock budget = Clock{budget_micros} * 1000, started = now_nanos();
  for (;;) {
    Ended ended = Ended::no;
    // Of all exits together: a program may need one after another completed.
    const Clock left = budget - std::min(budget, now_nanos() - started);
    const int waited = wait(left, [&] { return (ended = look()) != Ended::no; });
    if (waited < 0) running_ = false;  // the next command must fail, too
    if (waited <= 0) return waited;
    if (ended == Ended::by_stub) {
      c->exit_kind = ExitKind::stub;
      const bool goes_on = context(CTX_VECTOR).load() == kUndefined && completer_.enabled() && complete();
      if (goes_on && c->kick.load(std::memory_order_acquire) == 0) {
        const int resumed = resume();
        if (resumed == 0) continue;
        running_ = false;
        return resumed;
      }
      running_ = false;
      if (goes_on) context(CTX_VECTOR).store(VECTOR_INTERRUPTED);
      return 1;
    }
    if (c->result < 0 || c->exit_kind != ExitKind::stub) break;
    post_run();  // the stub stopped waiting just when it was released
  }
  running_ = false;
  return c->result < 0 ? c->result : 1;
}

}  // namespace revenant
