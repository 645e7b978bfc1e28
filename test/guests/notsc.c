// A program that disables reading the time-stamp counter, reads it, and gets SIGSEGV.
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <x86intrin.h>

static sigjmp_buf back;

static void on_segv(int signal) {
  (void)signal;
  siglongjmp(back, 1);
}

int main(void) {
  signal(SIGSEGV, on_segv);
  int mode = 0;
  unsigned long before = __rdtsc();
  printf("set %d\n", prctl(PR_SET_TSC, PR_TSC_SIGSEGV));
  if (sigsetjmp(back, 1) == 0) printf("read %lu\n", (unsigned long)__rdtsc());
  else puts("refused");
  prctl(PR_GET_TSC, &mode);
  prctl(PR_SET_TSC, PR_TSC_ENABLE);
  printf("mode %d, later %d\n", mode, __rdtsc() > before);
  return 0;
}
