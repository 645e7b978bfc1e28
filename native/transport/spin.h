// Waiting for another process without sleeping.
#ifndef REVENANT_TRANSPORT_SPIN_H_
#define REVENANT_TRANSPORT_SPIN_H_

#include <cstdint>

#include "../kvm/clock.h"

namespace revenant {

// Most runs between two exits take a few microseconds. Those that do not are waited for asleep: on a busy
// computer the other side may be waiting for this very processor.
inline constexpr std::uint64_t kSpinNanos = 30'000;

// Tells the processor that this only waits.
inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Looks whether something is over until it is, or so much time has passed; returns whether it is.
template <typename Condition>
bool spin_until(Condition is_over, std::uint64_t nanos) {
  constexpr int kLooksPerClockRead = 32;
  const std::uint64_t started = now_nanos();
  for (std::uint64_t elapsed = 0; elapsed < nanos; elapsed = now_nanos() - started) {
    for (int i = 0; i < kLooksPerClockRead; i++) {
      if (is_over()) return true;
      relax();
    }
  }
  return false;
}

}  // namespace revenant

#endif
