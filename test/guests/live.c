// Helpers that a debugger calls in a diversion: they fork, execute programs, make threads, handle signals while
// vector registers are live, and write files; and some that never end. `live run` is the same natively.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <immintrin.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t alarms;
static void on_alarm(int signal) {
  (void)signal;
  // Clobbers what the interrupted code has in the vector registers.
  __asm__ volatile("vpxor %%ymm0,%%ymm0,%%ymm0\n vpxor %%ymm7,%%ymm7,%%ymm7\n vpxor %%ymm15,%%ymm15,%%ymm15" ::: "xmm0", "xmm7", "xmm15");
  alarms++;
}

// Spins with live AVX registers until three alarms have come.
__attribute__((target("avx2"))) int signals(void) {
  struct sigaction action = {.sa_handler = on_alarm}, before;
  sigaction(SIGALRM, &action, &before);
  alarms = 0;
  struct itimerval timer = {{0, 20000}, {0, 20000}}, off = {{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &timer, 0);
  unsigned pattern[8] = {1, 2, 3, 4, 5, 6, 7, 8}, low[8], high[8];
  __asm__ volatile(
      "vmovdqu (%1),%%ymm7\n vmovdqu (%1),%%ymm15\n 1: pause\n cmpl $3,%0\n jl 1b\n"
      "vmovdqu %%ymm7,(%2)\n vmovdqu %%ymm15,(%3)"
      : : "m"(alarms), "r"(pattern), "r"(low), "r"(high) : "memory", "xmm7", "xmm15");
  setitimer(ITIMER_REAL, &off, 0);
  sigaction(SIGALRM, &before, 0);
  int same = !memcmp(low, pattern, sizeof low) && !memcmp(high, pattern, sizeof high);
  printf("alarms %d registers %s\n", alarms >= 3, same ? "kept" : "lost");
  return same;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int shared;
static void* add(void* argument) {
  for (int i = 0; i < 100; i++) {
    pthread_mutex_lock(&lock);
    shared += (int)(long)argument;
    pthread_mutex_unlock(&lock);
    if (i % 10 == 0) sched_yield();
  }
  return argument;
}
int threads(void) {
  pthread_t thread[4];
  shared = 0;
  for (long i = 0; i < 4; i++)
    if (pthread_create(&thread[i], 0, add, (void*)(i + 1))) return -1;
  long sum = 0;
  for (int i = 0; i < 4; i++) {
    void* result;
    pthread_join(thread[i], &result);
    sum += (long)result;
  }
  printf("threads shared %d sum %ld\n", shared, sum);
  return shared;
}

// A child that executes a program, its output through a pipe; and one that exits.
int processes(void) {
  int ends[2], status = 0;
  if (pipe(ends)) return -1;
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], 1);
    close(ends[0]);
    close(ends[1]);
    execl("/bin/echo", "echo", "from", "a", "child", (char*)0);
    _exit(127);
  }
  close(ends[1]);
  char text[64] = {0};
  ssize_t size = 0, count;
  while ((count = read(ends[0], text + size, sizeof text - 1 - size)) > 0) size += count;
  close(ends[0]);
  waitpid(child, &status, 0);
  printf("echo status %d text %s", WEXITSTATUS(status), text);
  child = vfork();
  if (child == 0) _exit(42);
  waitpid(child, &status, 0);
  printf("vfork status %d\n", WEXITSTATUS(status));
  fflush(stdout);
  printf("shell status %d\n", WEXITSTATUS(system("test -d / && exit 7")));
  return status;
}

// Writes a file, reads it back, renames and removes it.
int files(const char* path) {
  char text[64] = {0}, other[256];
  int fd = open(path, O_CREAT | O_RDWR | O_TRUNC, 0644);
  if (fd < 0) return -errno;
  if (write(fd, "hello, file\n", 12) != 12) return -1;
  lseek(fd, 0, SEEK_SET);
  ssize_t size = read(fd, text, sizeof text - 1);
  struct stat facts;
  fstat(fd, &facts);
  char* map = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  map[0] = 'J';
  pread(fd, text, 5, 0);
  munmap(map, 4096);
  close(fd);
  snprintf(other, sizeof other, "%s.renamed", path);
  int renamed = rename(path, other), gone = access(path, F_OK);
  printf("file size %zd %ld text %.5s renamed %d gone %d\n", size, (long)facts.st_size, text, renamed, gone);
  return facts.st_size;
}

int all(const char* path) {
  int result = signals() + threads() + files(path);
  processes();
  fflush(stdout);
  return result;
}

// Endless loops.
int spin(void) {
  for (volatile int i = 0;; i++);
}
int talk(void) {
  for (;;) puts("and so on, and so forth");
}
int hoard(void) {
  for (;;) memset(malloc(1 << 20), 1, 1 << 20);
}
int breed(void) {
  for (;;) fork();
}

int main(int argc, char** argv) {
  if (argc > 1 && !strcmp(argv[1], "run")) return all("/tmp/live-file") < 0;
  if (argc > 1 && !strcmp(argv[1], "spin")) return spin();
  if (argc > 1 && !strcmp(argv[1], "talk")) return talk();
  if (argc > 1 && !strcmp(argv[1], "hoard")) return hoard();
  if (argc > 1 && !strcmp(argv[1], "breed")) return breed();
  puts("ready");
  fflush(stdout);
  return 0;
}
