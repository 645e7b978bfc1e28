// Attacks on the emulation of system calls: any call with any arguments (never natively), broken
// signal frames, endless structures; corner cases of locks and events.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static unsigned long long state;
static unsigned rnd(unsigned below) {
  state = state * 6364136223846793005ull + 1442695040888963407ull;
  return (unsigned)(state >> 33) % below;
}

static char* area;  // two pages, followed by unmapped memory
static long value(void) {
  static const long odd[] = {0, 1, 2, 3, 7, 8, 16, 24, 64, 128, 4096, 65536, -1, -2, -4096, 1L << 31, 1L << 32, (1L << 47) - 4096,
                             1L << 47, 1L << 62, (long)(1UL << 63), 0x7fffffff, 0x7fffffffffffffff, 0x100000, 0x4000, 0x80000, -100};
  static const char* const names[] = {"/", "/tmp/hostile", "/etc/passwd", ".", "..", "", "/proc/self/fd/3", "/proc/self/maps",
                                      "/dev/zero", "/tmp/hostile/a/b", "//../../etc/../tmp/hostile", "/dev/shm/x", "/proc/self/exe"};
  switch (rnd(8)) {
    case 0: case 1: return odd[rnd(sizeof odd / sizeof *odd)];
    case 2: return rnd(24);
    case 3: return (long)names[rnd(sizeof names / sizeof *names)];
    case 4: return (long)area + 8 * rnd(1024);
    case 5: return (long)area + 8192 - rnd(40);
    case 6: return (long)state;
    default: return rnd(1 << rnd(31));
  }
}

static int skipped(int number) {
  switch (number) {
    // What would end this loop, or wait without an end.
    case SYS_exit: case SYS_exit_group: case SYS_pause: case SYS_rt_sigreturn: case SYS_rt_sigsuspend: case SYS_kill:
    case SYS_tkill: case SYS_tgkill: case SYS_rt_sigqueueinfo: case SYS_rt_tgsigqueueinfo: case SYS_vfork: case SYS_execve: case SYS_execveat:
    case SYS_munmap: case SYS_mremap: case SYS_mprotect: case SYS_arch_prctl: case SYS_brk: case SYS_madvise: case SYS_pkey_mprotect:
      return 1;
  }
  return 0;
}

// Each batch in a child, which may die of it; alarms get it out of calls that wait, or end it.
int anything(unsigned seed) {
  int ended = 0;
  signal(SIGALRM, (void (*)(int))getppid);
  siginterrupt(SIGALRM, 1);
  for (int batch = 0; batch < 30; batch++) {
    pid_t child = fork();
    if (child == 0) {
      state = seed * 1000003ull + batch;
      for (int fd = 3; fd < 8; fd++) open(fd % 2 ? "/etc/passwd" : "/tmp", O_RDONLY);
      struct itimerval timer = {{0, 5000}, {0, 5000}};
      for (int i = 0; i < 150; i++) {
        int number = rnd(462);
        if (skipped(number) && rnd(20)) continue;
        for (int at = 0; at < 8; at++) ((long*)area)[rnd(1024)] = value();
        setitimer(ITIMER_REAL, &timer, 0);
        syscall(number, value(), value(), value(), value(), value(), value());
      }
      _exit(0);
    }
    int status;
    struct itimerval patience = {{0, 0}, {0, 400000}};
    setitimer(ITIMER_REAL, &patience, 0);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) kill(child, SIGKILL);
    ended++;
  }
  printf("batches %d\n", ended);
  return 0;
}

static void broken(int signal, siginfo_t* info, void* context) {
  (void)signal, (void)info;
  ucontext_t* uc = context;
  memcpy(uc->uc_mcontext.gregs, area, sizeof uc->uc_mcontext.gregs);
  if (uc->uc_mcontext.fpregs) memset(uc->uc_mcontext.fpregs, 0xff, 1024);
}
// Frames that no processor would load.
int frames(void) {
  static const long rips[] = {-1, 1L << 47, (long)(1UL << 63), 0, 0x7fffffffffff};
  for (unsigned i = 0; i < sizeof rips / sizeof *rips; i++) {
    pid_t child = fork();
    if (child == 0) {
      struct sigaction action = {.sa_sigaction = broken, .sa_flags = SA_SIGINFO};
      sigaction(SIGUSR1, &action, 0);
      memset(area, 0xff, 8192);
      ((long*)area)[REG_RIP] = rips[i];
      raise(SIGUSR1);
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    printf("frame %u signal %d\n", i, WTERMSIG(status));
  }
  return 0;
}

// Loops that a single call would make, and what holds on to more and more.
int endless(void) {
  int zero = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_WRONLY);
  printf("sendfile %d\n", sendfile(null, zero, 0, 1L << 62) > 0);
  int set = epoll_create1(0), other = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN};
  int self = epoll_ctl(set, EPOLL_CTL_ADD, set, &event);
  epoll_ctl(set, EPOLL_CTL_ADD, other, &event);
  int back = epoll_ctl(other, EPOLL_CTL_ADD, set, &event);
  printf("epoll %d %d %d\n", self, back, epoll_wait(set, &event, 1, 0));
  int opened = 0;
  for (int i = 0; i < 1100; i++) {
    int fd = open("/etc/passwd", O_RDONLY);
    char byte;
    if (fd >= 0 && read(fd, &byte, 1) == 1) opened++;
    char* map = mmap(0, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map != MAP_FAILED) {
      opened += map[0] == byte;
      munmap(map, 4096);
    }
    close(fd);
  }
  printf("opened %d\n", opened);
  int spoken = 0;
  for (int i = 0; i < 500; i++) {
    char name[64];
    snprintf(name, sizeof name, "/dev/none%d", i);
    spoken += open(name, O_RDONLY) < 0;
  }
  printf("missing %d\n", spoken);
  int pipes = 0;
  for (int ends[2]; pipe2(ends, O_NONBLOCK) == 0;) pipes += write(ends[1], area, 1) == 1;
  printf("pipes %d\n", pipes > 100);
  return 0;
}

static void* dies_holding(void* mutex) {
  pthread_mutex_lock(mutex);
  return 0;
}
// A robust mutex whose owner has exited, and one with priority inheritance, contended while signals arrive.
int locks(void) {
  pthread_mutexattr_t attribute;
  pthread_mutex_t robust, inherits;
  pthread_mutexattr_init(&attribute);
  pthread_mutexattr_setrobust(&attribute, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&robust, &attribute);
  pthread_t thread;
  pthread_create(&thread, 0, dies_holding, &robust);
  pthread_join(thread, 0);
  int died = pthread_mutex_lock(&robust);
  printf("robust %s", died == EOWNERDEAD ? "owner dead" : strerror(died));
  pthread_mutex_consistent(&robust);
  int unlocked = pthread_mutex_unlock(&robust);
  printf(" %d %d\n", unlocked, pthread_mutex_lock(&robust));
  pthread_mutexattr_init(&attribute);
  pthread_mutexattr_setprotocol(&attribute, PTHREAD_PRIO_INHERIT);
  pthread_mutex_init(&inherits, &attribute);
  pthread_mutex_lock(&inherits);
  pthread_create(&thread, 0, dies_holding, &inherits);
  struct timespec moment = {0, 20000000};
  nanosleep(&moment, 0);
  signal(SIGUSR1, (void (*)(int))getppid);
  pthread_kill(thread, SIGUSR1);
  nanosleep(&moment, 0);
  unlocked = pthread_mutex_unlock(&inherits);
  pthread_join(thread, 0);
  printf("inherits %d busy %d\n", unlocked, pthread_mutex_trylock(&inherits) != 0);
  return 0;
}

// An edge-triggered set: data after a complete read is reported again.
int edges(void) {
  int ends[2], set = epoll_create1(0), told = 0;
  char bytes[64];
  pipe2(ends, O_NONBLOCK);
  struct epoll_event event = {.events = EPOLLIN | EPOLLET};
  epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event);
  for (int i = 0; i < 3; i++) {
    write(ends[1], "abc", 3);
    told += epoll_wait(set, &event, 1, 0);
    while (read(ends[0], bytes, sizeof bytes) > 0);
  }
  write(ends[1], "abc", 3);
  told += epoll_wait(set, &event, 1, 0);
  int again = epoll_wait(set, &event, 1, 0);
  close(ends[0]);
  printf("told %d again %d closed %d\n", told, again, epoll_wait(set, &event, 1, 0));
  return 0;
}

int main(int argc, char** argv) {
  area = mmap(0, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(area + 8192, 4096);
  if (argc < 2) return 2;
  setvbuf(stdout, 0, _IONBF, 0);
  if (!strcmp(argv[1], "anything")) return anything(argc > 2 ? atoi(argv[2]) : 1);
  if (!strcmp(argv[1], "frames")) return frames();
  if (!strcmp(argv[1], "endless")) return endless();
  if (!strcmp(argv[1], "locks")) return locks();
  if (!strcmp(argv[1], "edges")) return edges();
  return 2;
}
