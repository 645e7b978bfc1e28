// A debugger that sets its child's registers: general ones, one at a time and all at once, vector ones in both
// forms, a segment base, the number of a system call; and steps it.
#define _GNU_SOURCE
#include <elf.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

// Traps with rax = n and xmm1 = 0, comes back with what the debugger left there.
static long trap(long n, double *lane) {
  double x;
  __asm__ volatile(
      "xorps %%xmm1, %%xmm1\n\t"
      "int3\n\t"
      "movsd %%xmm1, %1"
      : "+a"(n), "=m"(x)::"xmm1");
  *lane = x;
  return n;
}

static int child(void) {
  double lane;
  char text[128];
  ptrace(PTRACE_TRACEME, 0, 0, 0);
  raise(SIGSTOP);
  long a = trap(1, &lane);
  long b = trap(2, &lane);
  double x = lane;
  long c = trap(3, &lane);
  double y = lane;
  long base = 0;
  __asm__ volatile("movq %%gs:0, %0" : "=r"(base));
  long pid = syscall(SYS_getppid);  // becomes another call
  long sum = 0;
  for (int i = 0; i < 10; i++) sum += i;
  int n = snprintf(text, sizeof text, "child %ld %ld %ld %.2f %.2f gs %lx %ld %ld\n", a, b, c, x, y, base, pid, sum);
  write(1, text, n);
  return 7;
}

static long storage[2] = {0x1234, 0};

static int wait_stop(pid_t pid) {
  int status;
  waitpid(pid, &status, 0);
  return status;
}

static void set_xmm1(pid_t pid, int whole, double value) {
  if (!whole) {
    struct user_fpregs_struct fp;
    ptrace(PTRACE_GETFPREGS, pid, 0, &fp);
    memcpy((char *)fp.xmm_space + 16, &value, sizeof value);
    ptrace(PTRACE_SETFPREGS, pid, 0, &fp);
    return;
  }
  static char image[8192] __attribute__((aligned(64)));
  struct iovec area = {image, sizeof image};
  ptrace(PTRACE_GETREGSET, pid, NT_X86_XSTATE, &area);
  memcpy(image + 160 + 16, &value, sizeof value);
  *(unsigned long *)(image + 512) |= 2;
  ptrace(PTRACE_SETREGSET, pid, NT_X86_XSTATE, &area);
}

int main(void) {
  pid_t pid = fork();
  if (pid == 0) _exit(child());
  struct user_regs_struct regs;
  int status = wait_stop(pid), syscalls = 0, steps = 0;
  for (int stops = 0; !WIFEXITED(status) && stops < 200; stops++) {
    ptrace(PTRACE_GETREGS, pid, 0, &regs);
    int how = PTRACE_CONT;
    if (WSTOPSIG(status) == SIGTRAP && steps == 0 && syscalls == 0) {
      long n = regs.rax;
      if (n == 1) ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, regs.rax), 1001);
      if (n == 2) {
        regs.rax = 1002;
        ptrace(PTRACE_SETREGS, pid, 0, &regs);
        set_xmm1(pid, 0, 2.5);
      }
      if (n == 3) {
        struct iovec area = {&regs, sizeof regs};
        regs.rax = 1003;
        ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &area);
        set_xmm1(pid, 1, 3.75);
        syscall(SYS_ptrace, PTRACE_ARCH_PRCTL, pid, storage, 0x1001);
        how = PTRACE_SYSCALL;
        syscalls = 1;
      }
    } else if (syscalls == 1) {
      if (regs.orig_rax == SYS_getppid) {
        regs.orig_rax = SYS_getuid;
        ptrace(PTRACE_SETREGS, pid, 0, &regs);
      }
      syscalls = 2;
      how = PTRACE_SYSCALL;
    } else if (syscalls == 2) {
      ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, regs.rax), 4242);
      how = PTRACE_SINGLESTEP;
      syscalls = 3;
      steps = 1;
    } else if (steps > 0 && steps < 20) {
      steps++;
      how = PTRACE_SINGLESTEP;
    }
    ptrace(how, pid, 0, 0);
    status = wait_stop(pid);
  }
  printf("exit %d after %d steps\n", WEXITSTATUS(status), steps);
  return 0;
}
