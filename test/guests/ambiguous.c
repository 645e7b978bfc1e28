// Timer signals that interrupt a loop whose registers are the same at every iteration: only memory
// and ticks identify the place. The interrupted iteration appears in a register at the end of a
// round, and of all rounds. Build: gcc -O1 -static -nostdlib -fno-stack-protector -fno-pic -no-pie
#include <asm/signal.h>
#include <linux/time.h>
#include <sys/syscall.h>

static volatile unsigned long iterations;
static volatile unsigned char fired;
static unsigned long total;

static long call(long number, long a, long b, long c, long d) {
  long result;
  register long r10 __asm__("r10") = d;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                   : "rcx", "r11", "memory");
  return result;
}

static void on_alarm(int signal) {
  (void)signal;
  fired = 1;
}

__asm__("restore: mov $15, %eax\n syscall");
void restore(void);

static void print(unsigned long value) {
  char text[24];
  int at = sizeof text;
  text[--at] = '\n';
  do text[--at] = (char)('0' + value % 10);
  while (value /= 10);
  call(SYS_write, 1, (long)(text + at), (long)sizeof text - at, 0);
}

static void wait_for_alarm(void) {
  struct itimerval timer = {{0, 0}, {0, 40000}};
  fired = 0;
  call(SYS_setitimer, ITIMER_REAL, (long)&timer, 0, 0);
  __asm__ volatile(
      "1: incq iterations(%%rip)\n"
      "   cmpb $0, fired(%%rip)\n"
      "   je 1b" ::
          : "memory", "cc");
}

__attribute__((force_align_arg_pointer)) void _start(void) {
  struct sigaction action = {on_alarm, 0x04000000 /* SA_RESTORER */, restore, 0};
  call(SYS_rt_sigaction, SIGALRM, (long)&action, 0, 8);
  for (int round = 0; round < 4; round++) {
    wait_for_alarm();
    total += iterations;
    // The first two rounds show nothing yet.
    if (round >= 2) {
      call(SYS_getpgid, (long)(total & 0x7fffffff), 0, 0, 0);
      print(total);
    }
  }
  call(SYS_exit_group, (long)(total % 251), 0, 0, 0);
}
