// Memory protection keys, as programs use them: keys of pages and of threads, faults, the kernel's accesses,
// signal frames, fork, exec, and memory that can only be executed. test/recordings has how it is compiled.
#define _GNU_SOURCE
#include <cpuid.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static unsigned rdpkru(void) {
  unsigned eax, edx;
  asm volatile(".byte 0x0f,0x01,0xee" : "=a"(eax), "=d"(edx) : "c"(0));
  return eax;
}
static void wrpkru(unsigned value) {
  asm volatile(".byte 0x0f,0x01,0xef" ::"a"(value), "c"(0), "d"(0) : "memory");
}
static void say(const char* format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char* format, ...) {
  char text[256];
  va_list list;
  va_start(list, format);
  int length = vsnprintf(text, sizeof text, format, list);
  va_end(list);
  if (write(1, text, (size_t)length) != length) _exit(9);
}

static size_t pkru_offset;
static volatile int faults;
static volatile unsigned allow;  // bits of PKRU that the handler clears in its frame

static void on_segv(int number, siginfo_t* info, void* frame) {
  ucontext_t* context = frame;
  unsigned* saved = (unsigned*)((char*)context->uc_mcontext.fpregs + pkru_offset);
  unsigned here = rdpkru();
  faults++;
  say("signal %d code %d key %d pkru %#x saved %#x error %#llx\n", number, info->si_code,
      info->si_code == SEGV_PKUERR ? (int)info->si_pkey : -1, here, *saved,
      (unsigned long long)context->uc_mcontext.gregs[REG_ERR]);
  wrpkru(0);  // the handler's own: not the program's
  *saved &= ~allow;
}

static int key, other;
static char* page;
static pthread_barrier_t barrier;

static void* thread(void* argument) {
  long which = (long)argument;
  char text[3][64];
  snprintf(text[0], 64, "thread %ld inherited %#x", which, rdpkru());
  pthread_barrier_wait(&barrier);
  wrpkru(which ? 0x55555550u : 0xaaaaaaa8u);
  for (int turn = 0; turn < 3; turn++) pthread_barrier_wait(&barrier);
  snprintf(text[1], 64, "has %#x", rdpkru());
  pthread_barrier_wait(&barrier);
  wrpkru(0x55555554u & ~(3u << (2 * key)));
  page[which] = (char)which;
  snprintf(text[2], 64, "then %#x", rdpkru());
  for (long turn = 0; turn < 2; turn++) {
    pthread_barrier_wait(&barrier);
    if (turn == which) say("%s, %s, %s\n", text[0], text[1], text[2]);
  }
  return NULL;
}

// Loops with other values of PKRU, in the middle of which signals come.
static volatile int ticks;
static void on_alarm(int number, siginfo_t* info, void* frame) {
  (void)number, (void)info, (void)frame;
  ticks++;
}

static int exec_only(void) {
  unsigned char* code = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memcpy(code, "\xb8\x2a\0\0\0\xc3", 6);  // mov $42, %eax; ret
  wrpkru(0);
  say("before %#x\n", rdpkru());
  int result = mprotect(code, 4096, PROT_EXEC);
  say("execute-only %d: pkru %#x, returns %d\n", result, rdpkru(), ((int (*)(void))code)());
  allow = ~0u;
  say("reads %#x\n", code[0]);
  wrpkru(0);
  unsigned char* more = mmap(0, 4096, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  say("mapped execute-only: pkru %#x\n", rdpkru());
  say("reads %#x\n", more[0]);
  mprotect(code, 4096, PROT_READ);
  wrpkru(0x55555554);
  say("readable again %#x, pkru %#x\n", code[0], rdpkru());
  return 0;
}

int main(int count, char** arguments) {
  unsigned a, b, c, d;
  __cpuid_count(0xd, 9, a, b, c, d);
  pkru_offset = b;
  if (count > 1) {
    say("after exec: pkru %#x\n", rdpkru());
    return 3;
  }
  struct sigaction action = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO | SA_NODEFER};
  sigaction(SIGSEGV, &action, NULL);
  say("start: pkru %#x\n", rdpkru());
  page = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  key = pkey_alloc(0, 0);
  other = pkey_alloc(0, PKEY_DISABLE_WRITE);
  say("keys %d %d: pkru %#x\n", key, other, rdpkru());
  if (key < 0) return 2;
  say("mprotect %d\n", pkey_mprotect(page, 4096, PROT_READ | PROT_WRITE, key));
  page[0] = 7;
  // A write that its key forbids; then a read.
  allow = 3u << (2 * key);
  pkey_set(key, PKEY_DISABLE_WRITE);
  say("reads %d\n", page[0]);
  page[0] = 8;
  say("wrote %d, pkru %#x, faults %d\n", page[0], rdpkru(), faults);
  pkey_set(key, PKEY_DISABLE_ACCESS);
  int read_there = page[0];
  say("reads %d, pkru %#x, faults %d\n", read_there, rdpkru(), faults);
  // The kernel's accesses.
  pkey_set(key, PKEY_DISABLE_ACCESS);
  int ends[2];
  if (pipe(ends)) return 2;
  ssize_t count_there = write(ends[1], page, 4);
  say("write %zd, errno %d\n", count_there, errno);
  pkey_set(key, 0);
  say("write %zd\n", write(ends[1], page, 4));
  pkey_set(key, PKEY_DISABLE_WRITE);
  count_there = read(ends[0], page, 4);
  say("read %zd, errno %d\n", count_there, errno);
  pkey_set(key, 0);
  // Keys belong to threads.
  pthread_barrier_init(&barrier, NULL, 3);
  pthread_t threads[2];
  wrpkru(0x55555554u & ~(3u << (2 * key)));
  for (long i = 0; i < 2; i++) pthread_create(&threads[i], NULL, thread, (void*)i);
  for (int i = 0; i < 1 + 3 + 1 + 2; i++) pthread_barrier_wait(&barrier);
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  say("main has %#x\n", rdpkru());
  // Signals in loops with PKRU of their own.
  struct sigaction tick = {.sa_sigaction = on_alarm, .sa_flags = SA_SIGINFO};
  sigaction(SIGALRM, &tick, NULL);
  wrpkru(0x55555550);
  unsigned wrong = 0;
  for (int turn = 0; turn < 40; turn++) {
    unsigned value = 0x55555550u ^ ((unsigned)turn << 8 & 0xffffff00u);
    wrpkru(value);
    if (turn % 8 == 3) raise(SIGALRM);
    for (volatile int i = 0; i < 20; i++) wrong += rdpkru() != value;
  }
  say("signals %d, wrong %u\n", ticks, wrong);
  wrpkru(0x55555554u & ~(3u << (2 * key)));
  // fork
  pid_t child = fork();
  if (child == 0) {
    say("child: pkru %#x reads %d\n", rdpkru(), page[0]);
    pkey_set(key, PKEY_DISABLE_ACCESS);
    say("child reads %d\n", page[0]);
    wrpkru(0);
    char* words[] = {arguments[0], "again", NULL};
    execv("/proc/self/exe", words);
    return 4;
  }
  int status;
  waitpid(child, &status, 0);
  say("status %d, parent: pkru %#x\n", WEXITSTATUS(status), rdpkru());
  exec_only();
  say("free %d\n", pkey_free(other));
  say("free again %d\n", pkey_free(other));
  say("end: pkru %#x\n", rdpkru());
  // A fault without a handler ends it in the child.
  child = fork();
  if (child == 0) {
    signal(SIGSEGV, SIG_DFL);
    pkey_set(key, PKEY_DISABLE_ACCESS);
    return page[0];
  }
  waitpid(child, &status, 0);
  say("signal %d\n", WTERMSIG(status));
  return 7;
}
