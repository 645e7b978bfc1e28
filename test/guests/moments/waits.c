// Threads in every kind of timed wait, pending signals, timers, stopped children.
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/select.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
enum { KINDS = 10 };
static const char *names[KINDS] = {"nanosleep", "clock_nanosleep", "poll", "ppoll", "select",
                                   "pselect", "epoll_wait", "cond_timedwait", "sem_timedwait", "sigtimedwait"};
static volatile int64_t began[KINDS], woke[KINDS];
static const int SECONDS = 20;
static int64_t now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000LL + t.tv_nsec / 1000000; }
void spot(int n);
static void *waiter(void *p) {
  long k = (long)p;
  struct timespec t = {SECONDS, 0}, at;
  struct timeval v = {SECONDS, 0};
  began[k] = now();
  switch (k) {
  case 0: nanosleep(&t, NULL); break;
  case 1: clock_gettime(CLOCK_MONOTONIC, &at); at.tv_sec += SECONDS; clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL); break;
  case 2: poll(NULL, 0, SECONDS * 1000); break;
  case 3: ppoll(NULL, 0, &t, NULL); break;
  case 4: select(0, NULL, NULL, NULL, &v); break;
  case 5: pselect(0, NULL, NULL, NULL, &t, NULL); break;
  case 6: { struct epoll_event e; epoll_wait(epoll_create1(0), &e, 1, SECONDS * 1000); break; }
  case 7: {
    pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER; pthread_cond_t c;
    pthread_condattr_t a; pthread_condattr_init(&a); pthread_condattr_setclock(&a, CLOCK_MONOTONIC); pthread_cond_init(&c, &a);
    clock_gettime(CLOCK_MONOTONIC, &at); at.tv_sec += SECONDS;
    pthread_mutex_lock(&m); pthread_cond_timedwait(&c, &m, &at); pthread_mutex_unlock(&m); break;
  }
  case 8: { sem_t s; sem_init(&s, 0, 0); clock_gettime(CLOCK_REALTIME, &at); at.tv_sec += SECONDS; sem_timedwait(&s, &at); break; }
  case 9: { sigset_t s; sigemptyset(&s); sigaddset(&s, SIGHUP); sigtimedwait(&s, NULL, &t); break; }
  }
  woke[k] = now();
  return NULL;
}
/* Tenths of a second that a waiter waited, once it has come back. */
int waited(int k) { while (woke[k] == 0) usleep(10000); return (woke[k] - began[k] + 50) / 100; }
int all(void) { int n = 0; for (int k = 0; k < KINDS; k++) n += waited(k) == SECONDS * 10; return n; }
static volatile int handled;
static void on_signal(int s) { handled = handled * 100 + s; }
int pending(int s) { sigset_t set; sigpending(&set); return sigismember(&set, s); }
int take(int s) { sigset_t set; sigemptyset(&set); sigaddset(&set, s); struct timespec t = {0, 0}; siginfo_t i; int r = sigtimedwait(&set, &i, &t); return r < 0 ? -errno : r * 1000 + i.si_value.sival_int; }
int unblock(void) { sigset_t set; sigemptyset(&set); sigaddset(&set, SIGUSR1); pthread_sigmask(SIG_UNBLOCK, &set, NULL); return handled; }
static timer_t timer;
int alarm_left(void) { return alarm(0); }
int interval_left(void) { struct itimerval v; getitimer(ITIMER_REAL, &v); return v.it_value.tv_sec * 10 + v.it_value.tv_usec / 100000; }
int timer_left(void) { struct itimerspec v; if (timer_gettime(timer, &v)) return -errno; return v.it_value.tv_sec * 10 + v.it_value.tv_nsec / 100000000; }
int timer_fires(void) { struct timespec t = {100, 0}; sigset_t s; sigemptyset(&s); sigaddset(&s, SIGRTMIN + 1); return sigtimedwait(&s, NULL, &t) == SIGRTMIN + 1; }
static volatile int *shared;
static pid_t stopped, traced;
int child_ran(int k) { usleep(300000); return shared[k]; }
int resume(void) { kill(stopped, SIGCONT); usleep(300000); return shared[0] > 0; }
static pid_t counting(int k, int trace) {
  pid_t pid = fork();
  if (pid) return pid;
  if (trace) ptrace(PTRACE_TRACEME, 0, 0, 0);
  raise(SIGSTOP);
  for (;;) { shared[k]++; usleep(1000); }
}
int waits_main(int argc, char **argv) {
  sigset_t block; sigemptyset(&block);
  int all_of[] = {SIGUSR1, SIGUSR2, SIGHUP, SIGRTMIN, SIGRTMIN + 1};
  for (unsigned i = 0; i < sizeof all_of / sizeof *all_of; i++) sigaddset(&block, all_of[i]);
  sigprocmask(SIG_BLOCK, &block, NULL);
  signal(SIGUSR1, on_signal);
  shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  stopped = counting(0, 0);
  traced = counting(1, 1);
  waitpid(stopped, NULL, WUNTRACED);
  waitpid(traced, NULL, 0);
  pthread_t threads[KINDS];
  for (long k = 0; k < KINDS; k++) pthread_create(&threads[k], NULL, waiter, (void *)k);
  usleep(1000000);
  spot(0); /* they wait, since a second */
  if (fork() == 0) { kill(getppid(), SIGSTOP); usleep(400000); kill(getppid(), SIGCONT); _exit(0); }
  wait(NULL);
  usleep(1000000);
  spot(1); /* all were stopped meanwhile */
  kill(getpid(), SIGUSR1);
  pthread_kill(pthread_self(), SIGUSR2);
  sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 5});
  sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 6});
  alarm(100);
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1};
  timer_create(CLOCK_MONOTONIC, &event, &timer);
  timer_settime(timer, 0, &(struct itimerspec){.it_value = {30, 0}}, NULL);
  usleep(1000000);
  spot(2); /* signals are pending, timers run */
  printf("pending %d %d %d %d\n", pending(SIGUSR1), pending(SIGUSR2), pending(SIGRTMIN), pending(SIGTERM));
  printf("take %d %d\n", take(SIGRTMIN), take(SIGUSR2));
  spot(3); /* some were taken */
  printf("take %d %d %d\n", take(SIGRTMIN), take(SIGRTMIN), take(SIGUSR2));
  printf("interval %d timer %d\n", interval_left() / 10, timer_left() / 10);
  printf("unblock %d\n", unblock());
  for (int k = 0; k < KINDS; k++) printf("%s %d\n", names[k], waited(k));
  kill(stopped, SIGKILL);
  kill(traced, SIGKILL);
  return 0;
}
