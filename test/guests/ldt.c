// Segment descriptors of one's own: a local descriptor table by modify_ldt, read through %gs, changed while the
// selector is loaded, inherited by a fork and changed there without effect here; and a thread that shares it.
// Compiled with -no-pie -pthread: descriptors hold addresses below 4 GiB.
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int words[4][4] __attribute__((aligned(64)));

static long set_entry(int entry, void *base, int limit) {
  struct user_desc d;
  memset(&d, 0, sizeof d);
  d.entry_number = entry;
  d.base_addr = (unsigned)(unsigned long)base;
  d.limit = limit;
  d.seg_32bit = 1;
  d.useable = 1;
  return syscall(SYS_modify_ldt, 0x11, &d, sizeof d);
}

static long clear_entry(int entry) {
  struct user_desc d;
  memset(&d, 0, sizeof d);
  d.entry_number = entry;
  d.read_exec_only = d.seg_not_present = 1;
  return syscall(SYS_modify_ldt, 0x11, &d, sizeof d);
}

static void load_gs(int entry) {
  int selector = entry << 3 | 7;
  __asm__ volatile("mov %0, %%gs" ::"r"(selector));
}

static int first(void) {
  int value;
  __asm__ volatile("movl %%gs:0, %0" : "=r"(value));
  return value;
}

static long limit_of(int entry) {
  long limit = -1, selector = entry << 3 | 7;
  __asm__ volatile("lsl %1, %0" : "+r"(limit) : "r"(selector) : "cc");
  return limit;
}

static void *thread(void *unused) {
  (void)unused;
  load_gs(2);
  printf("thread %d\n", first());
  return NULL;
}

int main(void) {
  unsigned long raw[4] = {0};
  for (int i = 0; i < 4; i++) words[i][0] = 100 + i;
  printf("set %ld %ld\n", set_entry(0, words[0], 0xfff), set_entry(2, words[2], 15));
  load_gs(0);
  printf("entry 0 %d limit %ld\n", first(), limit_of(0));
  load_gs(2);
  printf("entry 2 %d limit %ld\n", first(), limit_of(2));
  set_entry(2, words[1], 7);
  int before = first();  // the base that was loaded
  load_gs(2);
  printf("changed %d %d limit %ld none %ld\n", before, first(), limit_of(2), limit_of(1));
  long size = syscall(SYS_modify_ldt, 0, raw, sizeof raw);
  printf("read %ld, present %ld %ld\n", size, raw[0] >> 47 & 1, raw[1] >> 47 & 1);

  pthread_t t;
  pthread_create(&t, NULL, thread, NULL);
  pthread_join(t, NULL);
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    printf("child %d", first());
    set_entry(2, words[3], 7);
    load_gs(2);
    printf(" %d\n", first());
    fflush(stdout);
    _exit(first() & 0x7f);
  }
  int status;
  waitpid(child, &status, 0);
  load_gs(2);
  printf("parent %d child's status %d\n", first(), WEXITSTATUS(status));
  __asm__ volatile("mov %0, %%gs" ::"r"(0));
  long cleared = clear_entry(2);
  printf("cleared %ld limit %ld\n", cleared, limit_of(2));
  return 0;
}
