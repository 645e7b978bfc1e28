// /init of the computer that the specs of the host's KVM run in: it loads the modules of /modules, makes the root of the
// computer that emulates this one its own, read-only, and runs the command of /arguments there. What the command prints
// goes to the second serial port; the first one is the kernel's console.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum { most_modules = 64, most_arguments = 256, most_bytes = 1 << 16 };

static char text[most_bytes];

__attribute__((noreturn)) static void give_up(const char* what) {
  printf("init: %s: %s\n", what, strerror(errno));
  reboot(RB_POWER_OFF);
  _exit(1);
}

static void mount_at(const char* kind, const char* name, const char* place, unsigned long flags, const char* options) {
  if (mount(name, place, kind, flags, options) < 0) give_up(place);
}

// A module whose symbols are not there yet is tried again after the others: so their order does not matter.
static void load_modules(void) {
  char names[most_modules][256];
  int count = 0;
  DIR* folder = opendir("/modules");
  if (!folder) give_up("/modules");
  for (struct dirent* entry; (entry = readdir(folder)) && count < most_modules;)
    if (entry->d_name[0] != '.') snprintf(names[count++], sizeof names[0], "/modules/%.200s", entry->d_name);
  closedir(folder);
  for (int before = count + 1; count > 0 && count < before;) {
    before = count;
    for (int at = 0; at < count;) {
      const int file = open(names[at], O_RDONLY | O_CLOEXEC);
      const long result = syscall(SYS_finit_module, file, "", 0);
      const int error = errno;
      close(file);
      if (result < 0 && error != EEXIST) {
        at++;
        errno = error;
      } else {
        memmove(names[at], names[--count], sizeof names[0]);
      }
    }
  }
  for (int at = 0; at < count; at++) printf("init: not loaded: %s: %s\n", names[at], strerror(errno));
}

static void loopback_up(void) {
  const int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
  if (ioctl(any, SIOCSIFFLAGS, &request) < 0) give_up("lo");
  close(any);
}

// The arguments end with NUL each; the first one is the folder.
static void run(void) {
  char* arguments[most_arguments + 1] = {0};
  int count = 0;
  const int file = open("/arguments", O_RDONLY | O_CLOEXEC);
  const ssize_t size = read(file, text, sizeof text - 1);
  for (ssize_t at = 0; at < size && count < most_arguments; at += (ssize_t)strlen(text + at) + 1) arguments[count++] = text + at;
  if (chroot("/root") < 0 || chdir(arguments[0]) < 0) give_up(arguments[0]);
  const int port = open("/dev/ttyS1", O_RDWR | O_NOCTTY);
  struct termios raw;
  if (port < 0 || tcgetattr(port, &raw) < 0) give_up("/dev/ttyS1");
  cfmakeraw(&raw);
  cfsetspeed(&raw, B115200);
  tcsetattr(port, TCSANOW, &raw);
  dup2(port, 1);
  setenv("HOME", "/dev/shm", 1);
  setenv("TMPDIR", "/dev/shm", 1);
  setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1);
  execv(arguments[1], arguments + 1);
  give_up(arguments[1]);
}

int main(void) {
  mkdir("/dev", 0755);
  mkdir("/root", 0755);
  mount_at("devtmpfs", "dev", "/dev", 0, "");
  for (int to = 0, console = open("/dev/console", O_RDWR); to < 3; to++) dup2(console, to);
  setvbuf(stdout, NULL, _IONBF, 0);
  load_modules();
  mount_at("9p", "host", "/root", MS_RDONLY, "trans=virtio,version=9p2000.L,msize=1048576,cache=loose");
  mount_at("devtmpfs", "dev", "/root/dev", 0, "");
  mkdir("/root/dev/shm", 01777);
  mount_at("tmpfs", "shm", "/root/dev/shm", 0, "size=60%");
  mount_at("proc", "proc", "/root/proc", 0, "");
  mount_at("sysfs", "sys", "/root/sys", 0, "");
  loopback_up();
  const pid_t child = fork();
  if (child == 0) run();
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  printf("init: the command ended with %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  reboot(RB_POWER_OFF);
}
