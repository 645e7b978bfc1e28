// Signals that the program's own instructions raise, each handled and survived.
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
static sigjmp_buf back;
static volatile int zero;
static volatile sig_atomic_t last_signal, last_code;
static void* volatile last_address;
static void jump(int sig, siginfo_t* si, void* u) {
  (void)u;
  last_signal = sig;
  last_code = si->si_code;
  last_address = si->si_addr;
  siglongjmp(back, 1);
}
static void skip(int sig, siginfo_t* si, void* u) {
  ucontext_t* uc = u;
  last_signal = sig;
  last_code = si->si_code;
  uc->uc_mcontext.gregs[REG_RIP] += 2;  // ud2
  uc->uc_mcontext.gregs[REG_RBX] = 77;
}
static void on(int sig, void (*f)(int, siginfo_t*, void*), int flags) {
  struct sigaction sa;
  memset(&sa, 0, sizeof sa);
  sa.sa_sigaction = f;
  sa.sa_flags = SA_SIGINFO | flags;
  sigaction(sig, &sa, 0);
}
static int overflow(int n) {
  volatile char pad[4096];
  pad[0] = n;
  return n ? overflow(n + 1) + pad[0] : 0;
}
int main(void) {
  stack_t ss = {.ss_sp = malloc(65536), .ss_size = 65536};
  sigaltstack(&ss, 0);
  on(SIGSEGV, jump, SA_ONSTACK);
  on(SIGBUS, jump, 0);
  on(SIGFPE, jump, 0);
  on(SIGTRAP, jump, 0);
  if (!sigsetjmp(back, 1)) *(volatile int*)8 = 1;
  printf("null store: signal %d code %d address %p\n", last_signal, last_code, last_address);
  char* page = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (!sigsetjmp(back, 1)) page[12] = 1;
  printf("read-only store: signal %d code %d offset %ld\n", last_signal, last_code,
         (long)((char*)last_address - page));
  if (!sigsetjmp(back, 1)) printf("%d\n", 5 / zero);
  printf("division: signal %d code %d\n", last_signal, last_code);
  if (!sigsetjmp(back, 1)) __asm__ volatile("int3");
  printf("int3: signal %d\n", last_signal);
  FILE* f = tmpfile();
  char* map = mmap(0, 8192, PROT_READ, MAP_SHARED, fileno(f), 0);
  if (!sigsetjmp(back, 1)) printf("%d\n", map[5000]);
  printf("past end of file: signal %d code %d\n", last_signal, last_code);
  on(SIGILL, skip, 0);
  long rbx = 0;
  __asm__ volatile("ud2" : "+b"(rbx));
  printf("ud2 skipped: signal %d rbx %ld\n", last_signal, rbx);
  if (!sigsetjmp(back, 1)) overflow(1);
  printf("stack overflow: signal %d\n", last_signal);
  return 0;
}
