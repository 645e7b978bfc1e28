// An event loop of libuv: timer, async, a stream over a socket pair, the pool of threads.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>
uv_loop_t *loop;
uv_timer_t timer;
uv_async_t async;
uv_pipe_t ends[2];
uv_work_t work;
int ticks, posts, reads, works;
char last[64];
void spot(int n);
static void on_timer(uv_timer_t *t) { ticks++; }
static void on_async(uv_async_t *a) { posts++; }
static void on_work(uv_work_t *w) { __atomic_add_fetch(&works, 1, __ATOMIC_SEQ_CST); }
static void after_work(uv_work_t *w, int status) { posts += 100; }
static void allocate(uv_handle_t *h, size_t size, uv_buf_t *buf) { static char room[64]; *buf = uv_buf_init(room, sizeof room); }
static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf) {
  if (n > 0) { memcpy(last, buf->base, n); last[n] = 0; reads++; }
}
int turn(void) { return uv_run(loop, UV_RUN_NOWAIT); }
int once(void) { return uv_run(loop, UV_RUN_ONCE); }
int post(void) { uv_async_send(&async); turn(); return posts; }
int say(const char *text) {
  uv_buf_t buf = uv_buf_init((char *)text, strlen(text));
  uv_try_write((uv_stream_t *)&ends[1], &buf, 1);
  int before = reads;
  for (int i = 0; i < 5 && reads == before; i++) turn();
  return reads;
}
int pool(void) {
  uv_queue_work(loop, &work, on_work, after_work);
  int before = posts;
  for (int i = 0; i < 50 && posts < before + 100; i++) once();
  return posts;
}
int tick(void) { int before = ticks; for (int i = 0; i < 20 && ticks == before; i++) once(); return ticks - before; }
int loop_main(int argc, char **argv) {
  loop = uv_default_loop();
  uv_timer_init(loop, &timer);
  uv_timer_start(&timer, on_timer, 30, 30);
  uv_async_init(loop, &async, on_async);
  int fds[2];
  socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds);
  for (int i = 0; i < 2; i++) { uv_pipe_init(loop, &ends[i], 0); uv_pipe_open(&ends[i], fds[i]); }
  uv_read_start((uv_stream_t *)&ends[0], allocate, on_read);
  spot(0);
  while (ticks < 2) once();
  spot(1);
  printf("post %d\n", post());
  printf("say %d %s\n", say("hello"), last);
  printf("pool %d\n", pool());
  spot(2);
  printf("tick %d\n", tick());
  spot(3);
  return 0;
}
