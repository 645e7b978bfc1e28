/*
 * Loops in which the registers repeat: a flag that another thread sets, with and without PAUSE, and a lock that tries a futex
 * between. Each turn changes memory only, where the last one is seen.
 */
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static volatile int flag, lock;
volatile unsigned long turns, pauses, tries;

/* By one instruction: no register ever holds the number. */
static inline void count(volatile unsigned long *number) { __asm__ volatile("incq %0" : "+m"(*number)); }

__attribute__((noinline)) static void spin(int until) {
  while (flag < until) count(&turns);
}
__attribute__((noinline)) static void pausing(int until) {
  while (flag < until) {
    count(&pauses);
    __builtin_ia32_pause();
  }
}
__attribute__((noinline)) static void locking(void) {
  while (__sync_lock_test_and_set(&lock, 1)) {
    for (int i = 0; i < 3; i++) count(&tries);
    if ((tries & 0xfff) == 0) syscall(SYS_futex, &lock, FUTEX_WAIT, 2, 0, 0, 0);
  }
}
static void work(int n) {
  for (volatile int i = 0; i < n; i++)
    ;
}
static void *other(void *unused) {
  work(4000);
  flag = 1;
  work(4000);
  flag = 2;
  work(4000);
  __sync_lock_release(&lock);
  return unused;
}
int main(void) {
  pthread_t thread;
  lock = 1;
  pthread_create(&thread, 0, other, 0);
  spin(1);
  pausing(2);
  locking();
  pthread_join(thread, 0);
  printf("%lu %lu %lu\n", turns, pauses, tries);
  return 0;
}
