// Files that only the recording knows: shared mappings, links, folders; descriptors and signals that are sent.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
static char text[256], folder[200];
static char *map;
static int pair[2], child_fd;
static pid_t child;
void spot(int n);
static const char *in(const char *name) { static char path[4][300]; static int n; char *p = path[n++ & 3]; snprintf(p, 300, "%s/%s", folder, name); return p; }
static void put(const char *name, const char *what) { int fd = open(in(name), O_CREAT | O_TRUNC | O_WRONLY, 0644); write(fd, what, strlen(what)); close(fd); }
char *contents(const char *name) {
  memset(text, 0, sizeof text);
  int fd = open(in(name), O_RDONLY);
  if (fd < 0) { snprintf(text, sizeof text, "error %d", errno); return text; }
  int n = read(fd, text, sizeof text - 1);
  if (n < 0) snprintf(text, sizeof text, "read error %d", errno);
  close(fd);
  return text;
}
static int compare(const void *a, const void *b) { return strcmp(*(char **)a, *(char **)b); }
char *list(const char *name) {
  char *names[64]; int n = 0; memset(text, 0, sizeof text);
  DIR *d = opendir(name[0] ? in(name) : folder);
  if (!d) { snprintf(text, sizeof text, "error %d", errno); return text; }
  for (struct dirent *e; (e = readdir(d)) && n < 64;) if (e->d_name[0] != '.') { char *s = strdup(e->d_name); s = realloc(s, strlen(s) + 3); if (e->d_type == DT_DIR) strcat(s, "/"); if (e->d_type == DT_LNK) strcat(s, "@"); names[n++] = s; }
  closedir(d);
  qsort(names, n, sizeof *names, compare);
  for (int i = 0; i < n; i++) { strcat(text, names[i]); if (i + 1 < n) strcat(text, " "); }
  return text;
}
char *target(const char *name) { memset(text, 0, sizeof text); if (readlink(in(name), text, sizeof text - 1) < 0) snprintf(text, sizeof text, "error %d", errno); return text; }
int same(const char *a, const char *b) { struct stat s, t; return stat(in(a), &s) || stat(in(b), &t) ? -errno : s.st_ino == t.st_ino; }
int is_link(const char *a) { struct stat s; return lstat(in(a), &s) ? -errno : S_ISLNK(s.st_mode); }
int send_fd(int fd, char c) {
  char space[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec v = {&c, 1};
  struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
  struct cmsghdr *h = CMSG_FIRSTHDR(&m);
  h->cmsg_level = SOL_SOCKET; h->cmsg_type = SCM_RIGHTS; h->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(h), &fd, sizeof fd);
  return sendmsg(pair[0], &m, 0);
}
int receive_fd(void) {
  char c, space[CMSG_SPACE(sizeof(int))];
  struct iovec v = {&c, 1};
  struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
  if (recvmsg(pair[1], &m, MSG_DONTWAIT) < 0) return -errno;
  struct cmsghdr *h = CMSG_FIRSTHDR(&m);
  if (!h || h->cmsg_type != SCM_RIGHTS) return -1000;
  int fd; memcpy(&fd, CMSG_DATA(h), sizeof fd);
  return fd;
}
char *received(void) { int fd = receive_fd(); memset(text, 0, sizeof text); if (fd < 0) snprintf(text, sizeof text, "error %d", fd); else pread(fd, text, sizeof text - 1, 0); return text; }
char *passed(const char *name) { int fd = open(in(name), O_RDONLY); send_fd(fd, 'x'); close(fd); return received(); }
int end_child(int signal) {
  if (syscall(SYS_pidfd_send_signal, child_fd, signal, NULL, 0)) return -errno;
  int status; return waitpid(child, &status, 0) < 0 ? -errno : status;
}
int files_main(int argc, char **argv) {
  strcpy(folder, argv[1]);
  mkdir(folder, 0755);
  put("a", "content of a");
  put("b", "content of b");
  mkdir(in("sub"), 0755);
  put("sub/c", "content of c");
  symlink("a", in("link"));
  symlink("sub", in("folder"));
  symlink(in("b"), in("absolute"));
  int fd = open(in("mapped"), O_CREAT | O_RDWR, 0644);
  ftruncate(fd, 8192);
  map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  strcpy(map, "stored through a mapping");
  socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
  fd = open(in("b"), O_RDONLY);
  send_fd(fd, 's');
  close(fd);
  child = fork();
  if (child == 0) for (;;) pause();
  child_fd = syscall(SYS_pidfd_open, child, 0);
  spot(0);
  printf("%s | %s\n", contents("mapped"), list(""));
  printf("%s %s %s\n", target("link"), contents("link"), contents("folder/c"));
  printf("%s\n", received());
  unlink(in("a"));
  rename(in("b"), in("d"));
  strcpy(map, "changed");
  symlink("sub/c", in("late"));
  unlink(in("folder"));
  munmap(map, 8192);
  spot(1);
  printf("%s | %s\n", contents("mapped"), list(""));
  printf("%s\n", contents("link"));
  printf("%d\n", end_child(15));
  const char *gone[] = {"link", "absolute", "late", "mapped", "d", "sub/c"};
  for (int i = 0; i < 6; i++) unlink(in(gone[i]));
  rmdir(in("sub"));
  rmdir(folder);
  spot(2);
  return 0;
}
