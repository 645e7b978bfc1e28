// The emulated machine's /init and only program: performs the vCPU commands that a client outside
// writes into the pool's control block, with the code that the addon uses for the host's KVM.
//
// It polls, because a device interrupt would cost more than the whole exit: continuously for a
// moment after a command, then with growing sleeps, and blocked on the serial line while there is
// no lease.

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <cerrno>
#include <ctime>

#include "../kvm/clock.h"
#include "../kvm/vcpu_service.h"
#include "guest_setup.h"
#include "machine_area.h"
#include "translations.h"

namespace revenant::machine {
namespace {

constexpr uint64_t kSpinNanos = 400'000;  // longer than the client needs for most frames
constexpr uint64_t kFirstSleepNanos = 50'000;
constexpr uint64_t kMaxSleepNanos = 1'000'000;      // attended, recently used
constexpr uint64_t kLongIdleNanos = 2'000'000'000;  // attended, but a person is thinking
constexpr int kLongIdlePollMs = 20;
constexpr int kSpinsPerClockRead = 64;
constexpr int kCreateTries = 20;

// Blocks until the keeper wakes us or the time is over; negative: until woken.
void sleep_on_line(int milliseconds) {
  pollfd line = {STDIN_FILENO, POLLIN, 0};
  if (poll(&line, 1, milliseconds) <= 0 || !(line.revents & POLLIN)) return;
  char bytes[64];
  if (read(STDIN_FILENO, bytes, sizeof bytes) < 0) return;
}

// Commands that leave the VM as it is.
bool is_question(Command command) {
  return command == Command::ping || command == Command::get_supported_cpuid;
}

class Server {
 public:
  explicit Server(const Mapping& pool)
      : pool_(pool),
        area_(reinterpret_cast<MachineArea*>(pool.base + kAreaOffset)),
        translations_(pool),
        service_(pool.base, pool.bytes) {}

  // Reports that the machine is ready, then serves until it is powered off.
  [[noreturn]] void serve();

 private:
  bool work();
  void execute();
  void rest(uint64_t idle_nanos);
  void clear_ranges();
  void drop_stale();
  uint64_t length_in_pool(const PoolRange& range) const;

  Mapping pool_;
  MachineArea* area_;
  Translations translations_;
  VcpuService service_;
  bool fresh_ = false;  // a VM exists and is unused
  uint64_t sleep_nanos_ = kFirstSleepNanos;
};

// The range's length limited to the pool, 0 outside of it: the words are untrusted.
uint64_t Server::length_in_pool(const PoolRange& range) const {
  if (range.gpa < kControlBlockBytes || range.gpa >= pool_.bytes) return 0;
  return range.length < pool_.bytes - range.gpa ? range.length : pool_.bytes - range.gpa;
}

void Server::clear_ranges() {
  const uint32_t count = area_->clear_count < kMaxClear ? area_->clear_count : kMaxClear;
  for (uint32_t i = 0; i < count; ++i) {
    const PoolRange range = area_->clear[i];
    translations_.clear(range.gpa, length_in_pool(range));
  }
  __atomic_store_n(&area_->clear_done, area_->clear_request, __ATOMIC_RELEASE);
}

void Server::drop_stale() {
  const uint32_t count = area_->stale_count < kMaxStale ? area_->stale_count : kMaxStale;
  for (uint32_t i = 0; i < count; ++i) {
    const PoolRange range = area_->stale[i];
    translations_.drop(range.gpa, length_in_pool(range));
  }
  __atomic_store_n(&area_->stale_count, 0, __ATOMIC_RELEASE);
}

// The keeper requests a VM as soon as the last one has ended, because creation takes some 25 ms. The client's
// own `create` then uses it.
void Server::execute() {
  Control* control = service_.control();
  const Command command = control->command;
  const bool is_create = command == Command::create;
  if (is_create && fresh_) {
    control->result = 0;
  } else {
    // KVM_CREATE_VM is interrupted by a signal, and it takes longer than a tick of the last run's timer.
    int tries = is_create ? kCreateTries : 1;
    while (service_.execute() == -EINTR && --tries > 0) continue;
  }
  fresh_ = is_create ? control->result == 0 : fresh_ && is_question(command);
}

// Performs a requested command; false if there is none.
bool Server::work() {
  Control* control = service_.control();
  const uint32_t request = control->request_seq.load(std::memory_order_acquire);
  if (request != control->complete_seq.load(std::memory_order_relaxed)) {
    if (__atomic_load_n(&area_->stale_count, __ATOMIC_ACQUIRE) != 0) drop_stale();
    execute();
    control->complete_seq.store(request, std::memory_order_release);
    return true;
  }
  if (__atomic_load_n(&area_->clear_request, __ATOMIC_ACQUIRE) != area_->clear_done) {
    clear_ranges();
    return true;
  }
  return false;
}

void Server::rest(uint64_t idle_nanos) {
  if (__atomic_load_n(&area_->attended, __ATOMIC_ACQUIRE) == 0) return sleep_on_line(-1);
  if (idle_nanos > kLongIdleNanos) return sleep_on_line(kLongIdlePollMs);
  const timespec duration = {0, static_cast<long>(sleep_nanos_)};
  nanosleep(&duration, nullptr);
  if (sleep_nanos_ < kMaxSleepNanos) sleep_nanos_ += sleep_nanos_ / 2;
}

void Server::serve() {
  __atomic_store_n(&area_->ready, kReadyMagic, __ATOMIC_RELEASE);
  uint64_t idle_since = now_nanos();
  for (;;) {
    bool worked = false;
    for (int i = 0; i < kSpinsPerClockRead && !worked; ++i) worked = work();
    const uint64_t now = now_nanos();
    if (worked) {
      idle_since = now;
      sleep_nanos_ = kFirstSleepNanos;
    } else if (now - idle_since > kSpinNanos) {
      rest(now - idle_since);
    }
  }
}

}  // namespace
}  // namespace revenant::machine

int main() {
  using namespace revenant::machine;
  mount_file_systems();
  load_modules();
  // Sleeps with the requested precision.
  prctl(PR_SET_TIMERSLACK, 1);
  const Mapping pool = map_pool();
  Server(pool).serve();
}
