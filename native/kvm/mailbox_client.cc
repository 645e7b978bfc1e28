#include "mailbox_client.h"

#include <ctime>

#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../machine/keeper_client.h"
#include "error.h"

namespace revenant {
namespace {

// An exit and its handshake take 60 us in the emulated machine: sleeping sooner would cost more.
constexpr std::uint64_t kSpinNanos = 300'000;
constexpr int kSpinsPerClockRead = 32;
constexpr long kFirstSleepNanos = 50'000, kMaxSleepNanos = 1'000'000;
// Commands other than `run` are short; the slowest makes a VM.
constexpr std::uint64_t kCommandNanos = 60'000'000'000;

std::uint64_t now_nanos() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

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
  return poll(&connection, 1, 0) != 0;  // the keeper sends nothing during a lease
}

// 1 = answered, 0 = not within the budget, -EPIPE = nobody is there any more.
int MailboxClient::wait(std::uint64_t budget_nanos) {
  const std::uint64_t started = now_nanos();
  for (std::uint64_t elapsed = 0; elapsed < spin_nanos_ && elapsed < budget_nanos;) {
    for (int i = 0; i < kSpinsPerClockRead; i++) {
      if (answered()) return 1;
      __builtin_ia32_pause();
    }
    elapsed = now_nanos() - started;
  }
  timespec duration = {0, kFirstSleepNanos};
  while (!answered()) {
    if (machine_is_gone()) return -EPIPE;
    if (now_nanos() - started >= budget_nanos) return 0;
    nanosleep(&duration, nullptr);
    if (duration.tv_nsec < kMaxSleepNanos) duration.tv_nsec += duration.tv_nsec / 2;
  }
  return 1;
}

int MailboxClient::execute() {
  if (!socket_) return -EPIPE;
  if (running_ || !answered()) return -EBUSY;
  post();
  const int waited = wait(kCommandNanos);
  if (waited < 0) return waited;
  return waited == 0 ? -ETIMEDOUT : control()->result;
}

int MailboxClient::run(std::uint32_t budget_micros) {
  if (!socket_) return -EPIPE;
  Control* const c = control();
  if (!running_) {
    if (!answered()) return -EBUSY;
    c->command = Command::run;
    c->budget_micros = 0;  // ours is the time; the service runs until the guest leaves or is kicked
    c->kick.store(0, std::memory_order_relaxed);
    post();
  }
  const int waited = wait(std::uint64_t{budget_micros} * 1000);
  running_ = waited == 0;
  if (waited <= 0) return waited;
  return c->result < 0 ? c->result : 1;
}

}  // namespace revenant
