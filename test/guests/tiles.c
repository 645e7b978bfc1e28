// Tiles (AMX): without permission the first one is a SIGILL; with it they live across system calls, signals,
// threads and a fork.
#define _GNU_SOURCE
#include <immintrin.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROWS = 16, ROW_BYTES = 64, TILES = 8, THREADS = 3, REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };

struct configuration {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};

static sigjmp_buf refused;
static volatile int initial, kept;
static uint64_t results[THREADS];

// GCC takes the intrinsics of configurations for accesses to their first eight bytes.
#define BARRIER() __asm__ volatile("" ::: "memory")

static void on_ill(int number, siginfo_t* info, void* context) {
  (void)number, (void)context;
  printf("SIGILL, code %d\n", info->si_code);
  signal(SIGILL, SIG_DFL);
  siglongjmp(refused, 1);
}

// A handler begins with tiles in their initial state, and may use them.
__attribute__((target("amx-tile"))) static void on_usr1(int number) {
  (void)number;
  static const struct configuration none;
  struct configuration now;
  _tile_storeconfig(&now);
  BARRIER();
  if (memcmp(&now, &none, sizeof now) == 0) initial++;
  now.palette = 1;
  now.rows[0] = now.row_bytes[0] = 4;
  BARRIER();
  _tile_loadconfig(&now);
  _tile_zero(0);
}

__attribute__((target("amx-tile,amx-int8"))) static uint64_t work(int seed, int turns) {
  int8_t a[ROWS * ROW_BYTES], b[ROWS * ROW_BYTES];
  int32_t product[ROWS * ROW_BYTES / 4];
  for (int i = 0; i < ROWS * ROW_BYTES; i++) {
    a[i] = (int8_t)((i * 7 + seed) % 127);
    b[i] = (int8_t)((i * 13 + seed) % 113);
  }
  struct configuration configuration = {.palette = 1}, after;
  for (int i = 0; i < TILES; i++) {
    configuration.row_bytes[i] = ROW_BYTES;
    configuration.rows[i] = ROWS;
  }
  BARRIER();
  _tile_loadconfig(&configuration);
  _tile_zero(0);
  _tile_loadd(1, a, ROW_BYTES);
  _tile_loadd(2, b, ROW_BYTES);
  for (int i = 0; i < turns; i++) {
    _tile_dpbssd(0, 1, 2);
    if (i % 2 == 0) sched_yield();
    if (i == 3) raise(SIGUSR1);
  }
  _tile_stored(0, product, ROW_BYTES);
  _tile_storeconfig(&after);
  BARRIER();
  if (memcmp(&after, &configuration, sizeof after) == 0) kept++;
  _tile_release();
  uint64_t sum = 0xcbf29ce484222325;
  for (int i = 0; i < ROWS * ROW_BYTES / 4; i++) sum = (sum ^ (uint32_t)product[i]) * 0x100000001b3;
  return sum;
}

static void* thread(void* number) {
  results[(intptr_t)number] = work((int)(intptr_t)number, 5 + (int)(intptr_t)number);
  return NULL;
}

// The result is left unread.
static void request_permission(void) {
  long number = SYS_arch_prctl;
  __asm__ volatile("syscall\n\txor %%eax, %%eax"
                   : "+a"(number)
                   : "D"((long)REQUEST_PERMISSION), "S"((long)TILE_DATA)
                   : "rcx", "r11", "memory");
}

int main(void) {
  struct sigaction action = {.sa_sigaction = on_ill, .sa_flags = SA_SIGINFO};
  sigaction(SIGILL, &action, NULL);
  signal(SIGUSR1, on_usr1);
  if (sigsetjmp(refused, 1) == 0) {
    work(0, 1);
    puts("no SIGILL");
  }
  request_permission();
  printf("alone %016llx\n", (unsigned long long)work(5, 9));
  pthread_t threads[THREADS];
  for (intptr_t i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, thread, (void*)i);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  for (int i = 0; i < THREADS; i++) printf("thread %016llx\n", (unsigned long long)results[i]);
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    printf("child %016llx\n", (unsigned long long)work(9, 5));
    exit(0);
  }
  int status;
  waitpid(child, &status, 0);
  printf("%d handlers began with none, %d configurations were kept\n", initial, kept);
  return status;
}
