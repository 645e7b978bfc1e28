#include "ticks.h"

#include <atomic>
#include <csignal>
#include <ctime>

#include <unistd.h>

#include "error.h"

namespace revenant {
namespace {

constexpr int kSlots = 32;
constexpr unsigned kIdleTicks = 4;

struct Slot {
  std::atomic<bool> used;
  std::atomic<bool> armed;
  std::atomic<bool> inside;  // a run is in progress
  std::atomic<unsigned> idle;
  timer_t timer;
};
Slot slots[kSlots];

int set_period(timer_t timer, long nanos) {
  itimerspec period = {};
  period.it_value.tv_nsec = nanos;
  period.it_interval.tv_nsec = nanos;
  return or_errno(timer_settime(timer, 0, &period, nullptr));
}

// Runs on the thread that runs the vCPU; its arrival is what matters.
void on_tick(int, siginfo_t* info, void*) {
  const int index = info->si_value.sival_int;
  if (info->si_code != SI_TIMER || index < 0 || index >= kSlots) return;
  Slot& slot = slots[index];
  if (!slot.used.load() || slot.inside.load()) return;
  if (slot.idle.fetch_add(1) + 1 < kIdleTicks) return;
  slot.armed.store(false);
  const int saved = errno;
  set_period(slot.timer, 0);
  errno = saved;
}

}  // namespace

int tick_signal() { return SIGRTMIN + 3; }

int install_tick_handler() {
  struct sigaction action = {};
  action.sa_sigaction = on_tick;
  action.sa_flags = SA_SIGINFO | SA_RESTART;  // KVM_RUN still returns EINTR
  const int result = or_errno(sigaction(tick_signal(), &action, nullptr));
  if (result < 0) return result;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, tick_signal());
  return -pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

Ticks::~Ticks() { release(); }

void Ticks::release() {
  if (slot_ < 0) return;
  slots[slot_].armed.store(false);
  timer_delete(slots[slot_].timer);
  slots[slot_].used.store(false);
  slot_ = -1;
}

int Ticks::make_timer(int thread) {
  release();
  const int installed = install_tick_handler();
  if (installed < 0) return installed;
  int index = 0;
  for (bool expected = false; index < kSlots; index++, expected = false) {
    if (slots[index].used.compare_exchange_strong(expected, true)) break;
  }
  if (index == kSlots) return -EMFILE;
  sigevent event = {};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = tick_signal();
  event.sigev_value.sival_int = index;
  event._sigev_un._tid = thread;
  const int result = or_errno(timer_create(CLOCK_MONOTONIC, &event, &slots[index].timer));
  if (result < 0) {
    slots[index].used.store(false);
    return result;
  }
  slots[index].armed.store(false);
  slots[index].inside.store(false);
  slot_ = index;
  thread_ = thread;
  return 0;
}

int Ticks::enter() {
  // Linux 5.x has no vDSO for gettid; the C library does not cache it either, so it is cached per thread.
  thread_local int self = 0;
  if (self == 0) self = gettid();
  if (slot_ < 0 || thread_ != self) {
    const int result = make_timer(self);
    if (result < 0) return result;
  }
  Slot& slot = slots[slot_];
  slot.inside.store(true, std::memory_order_relaxed);
  slot.idle.store(0, std::memory_order_relaxed);
  if (slot.armed.load(std::memory_order_relaxed)) return 0;
  slot.armed.store(true);
  return set_period(slot.timer, kTickNanos);
}

void Ticks::leave() {
  if (slot_ >= 0) slots[slot_].inside.store(false, std::memory_order_relaxed);
}

}  // namespace revenant
