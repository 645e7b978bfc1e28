// An event loop with workers: what developers of servers ask about at a breakpoint. It stops by `inspect` in the loop,
// while all other threads wait.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define WORKERS 3
enum state { IDLE, BUSY, GONE };
struct job { int number; void (*run)(struct job*); long result; struct job* next; };
struct worker { pthread_t thread; int number; enum state state; long done; char name[16]; };
struct handler { int fd; const char* what; int (*ready)(struct handler*); unsigned calls; };
struct server {
  int epoll, wake, timer, pair[2];
  struct handler handlers[3];
  struct job *queue, *last, *finished;
  struct worker workers[WORKERS];
  int queued, idle, running;
  pthread_mutex_t lock;
  pthread_cond_t some, none;
};
struct server server = {.lock = PTHREAD_MUTEX_INITIALIZER, .some = PTHREAD_COND_INITIALIZER, .none = PTHREAD_COND_INITIALIZER, .running = 1};
__thread struct worker* self;
__thread long local = 1000;
volatile int turns;

static void square(struct job* job) { job->result = (long)job->number * job->number; }

// Whose job is next does not depend on who wakes first: a live run and a recording are to be the same.
static int is_mine(const struct worker* w) { return server.queue && server.queue->number % WORKERS == w->number; }

static void* work(void* argument) {
  self = argument;
  local += self->number;
  pthread_setname_np(pthread_self(), self->name);
  pthread_mutex_lock(&server.lock);
  for (;;) {
    server.idle++;
    self->state = IDLE;
    if (server.idle == WORKERS && !server.queue) pthread_cond_signal(&server.none);
    while (server.running && !is_mine(self)) pthread_cond_wait(&server.some, &server.lock);
    server.idle--;
    if (!is_mine(self)) break;
    struct job* job = server.queue;
    server.queue = job->next;
    server.queued--;
    self->state = BUSY;
    job->run(job);
    self->done++;
    job->next = server.finished;
    server.finished = job;
  }
  self->state = GONE;
  pthread_mutex_unlock(&server.lock);
  return self;
}

// Called by a debugger.
int post(int number) {
  struct job* job = calloc(1, sizeof *job);
  job->number = number;
  job->run = square;
  pthread_mutex_lock(&server.lock);
  job->next = server.queue;
  server.queue = job;
  server.queued++;
  pthread_cond_broadcast(&server.some);
  pthread_mutex_unlock(&server.lock);
  return server.queued;
}
void settle(void) {
  pthread_mutex_lock(&server.lock);
  while (server.queue || server.idle < WORKERS) pthread_cond_wait(&server.none, &server.lock);
  pthread_mutex_unlock(&server.lock);
}
long run_job(int number) { post(number); settle(); return server.finished->result; }
long results(void) { long sum = 0; for (struct job* j = server.finished; j; j = j->next) sum += j->result; return sum; }
int wake(void) { uint64_t one = 1; return (int)write(server.wake, &one, sizeof one); }
int one_turn(int milliseconds) {
  struct epoll_event events[4];
  int count = epoll_wait(server.epoll, events, 4, milliseconds);
  for (int i = 0; i < count; i++) { struct handler* h = events[i].data.ptr; h->calls++; h->ready(h); }
  turns++;
  return count;
}
void print_workers(void) { for (int i = 0; i < WORKERS; i++) printf("%s: state %d\n", server.workers[i].name, server.workers[i].state); }
long count_done(void) { long sum = 0; for (int i = 0; i < WORKERS; i++) sum += server.workers[i].done; return sum; }
static void* short_thread(void* n) { local += (long)n; return (void*)local; }
long with_thread(long n) { pthread_t t; void* result; pthread_create(&t, NULL, short_thread, (void*)n); pthread_join(t, &result); return (long)result; }
long send_and_receive(const char* text) { char got[64]; if (write(server.pair[0], text, strlen(text)) < 0) return -errno; return (long)read(server.pair[1], got, sizeof got); }
long with_local(long n) { return local += n; }
long elapsed(void) { struct timespec a, b; clock_gettime(CLOCK_MONOTONIC, &a); usleep(20000); clock_gettime(CLOCK_MONOTONIC, &b); return (b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000 >= 20; }

static int on_wake(struct handler* h) { uint64_t count; return (int)read(h->fd, &count, sizeof count); }
static int on_timer(struct handler* h) { uint64_t count; return (int)read(h->fd, &count, sizeof count); }
static int on_data(struct handler* h) { char text[64]; return (int)read(h->fd, text, sizeof text); }

static void listen_to(int index, int fd, const char* what, int (*ready)(struct handler*)) {
  struct handler* h = &server.handlers[index];
  *h = (struct handler){fd, what, ready, 0};
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = h};
  epoll_ctl(server.epoll, EPOLL_CTL_ADD, fd, &event);
}

__attribute__((noinline)) int inspect(struct server* s, int round) {
  struct handler* first = &s->handlers[0];
  errno = EAGAIN;
  return round + (int)first->calls;                                         // stop here
}

int main(void) {
  server.epoll = epoll_create1(EPOLL_CLOEXEC);
  server.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  server.timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  socketpair(AF_UNIX, SOCK_STREAM, 0, server.pair);
  listen_to(0, server.wake, "wake", on_wake);
  listen_to(1, server.timer, "timer", on_timer);
  listen_to(2, server.pair[1], "data", on_data);
  for (int i = 0; i < WORKERS; i++) {
    struct worker* w = &server.workers[i];
    w->number = i;
    snprintf(w->name, sizeof w->name, "worker-%d", i);
    pthread_create(&w->thread, NULL, work, w);
    usleep(20000);
  }
  settle();
  int total = 0;
  for (int round = 1; round <= 4; round++) {
    post(round);
    settle();
    wake();
    one_turn(1000);
    usleep(50000);
    total += inspect(&server, round);
  }
  struct itimerspec soon = {.it_value.tv_nsec = 1000000};
  timerfd_settime(server.timer, 0, &soon, NULL);
  one_turn(1000);
  printf("%d, %ld results, %u by timer\n", total, results(), server.handlers[1].calls);
  pthread_mutex_lock(&server.lock);
  server.running = 0;
  pthread_cond_broadcast(&server.some);
  pthread_mutex_unlock(&server.lock);
  for (int i = 0; i < WORKERS; i++) pthread_join(server.workers[i].thread, NULL);
  return 0;
}
