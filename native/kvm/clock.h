// The monotonic clock, and what is timed by it.
#ifndef REVENANT_KVM_CLOCK_H_
#define REVENANT_KVM_CLOCK_H_

#include <cstdint>
#include <ctime>

namespace revenant {

inline std::uint64_t now_nanos() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

// Nanoseconds of the loop of test/guests/loop.c outside of any guest: what a replayed one is compared with.
inline std::uint64_t time_loop(std::uint64_t turns) {
  const std::uint64_t started = now_nanos();
  if (turns != 0) asm volatile("1: dec %0\n\tjnz 1b" : "+r"(turns)::"cc");
  return now_nanos() - started;
}

}  // namespace revenant

#endif
