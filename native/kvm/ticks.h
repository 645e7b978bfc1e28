// A periodic signal to one thread, so that KVM_RUN returns EINTR regularly. Cheap to start: the
// timer stays armed between runs and disarms itself after a few ticks without a run.
#ifndef REVENANT_KVM_TICKS_H_
#define REVENANT_KVM_TICKS_H_

namespace revenant {

constexpr long kTickNanos = 20'000'000;

// The signal, and its handler, which does nothing for signals that are not ticks. 0 or -errno.
int tick_signal();
int install_tick_handler();

// One per service. A slot of a static table, because a signal may still be queued when its owner has been
// destroyed.
class Ticks {
 public:
  Ticks() = default;
  ~Ticks();
  Ticks(const Ticks&) = delete;
  Ticks& operator=(const Ticks&) = delete;

  // Called before and after every run, on the same thread. `enter` makes the timer for the calling
  // thread if needed and arms it; returns 0 or -errno.
  int enter();
  void leave();

 private:
  int make_timer(int thread);
  void release();

  int slot_ = -1;
  int thread_ = 0;
};

}  // namespace revenant

#endif
