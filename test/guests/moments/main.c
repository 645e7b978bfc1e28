/* Programs for questions about moments: which one, the first argument says. */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

int waits_main(int, char **), files_main(int, char **), loop_main(int, char **), again_main(int, char **);
void __attribute__((noinline)) spot(int n) { __asm__ volatile("" ::"r"(n)); }
/* Of the library, to be called from outside. */
void *kept[] = {getpid,  gettid,   getppid, getuid,    getpgrp, getsid,     time,    gettimeofday, clock_gettime, clock,   times,
                sysinfo, getrusage, uname,  getrandom, mkstemp, mkdtemp,    tmpfile, tmpnam,       tempnam,       fstat,   stat,
                lstat,   statvfs,  readlink, getcwd,   opendir, readdir,    malloc,  mmap,         sbrk,          rand,    random,
                usleep,  nanosleep, alarm,  getitimer, fork,    pipe,       open,    read,         write,         lseek,   sched_getcpu,
                sched_getaffinity, get_nprocs, get_nprocs_conf, get_phys_pages, get_avphys_pages, sysconf, gethostname, getentropy,
                arc4random_uniform, localtime, strftime, ctime, getloadavg, getpriority, pthread_self, memfd_create, system, nice};

int main(int argc, char **argv) {
  const char *which = argc > 1 ? argv[1] : "";
  if (!strcmp(which, "waits")) return waits_main(argc - 1, argv + 1);
  if (!strcmp(which, "files")) return files_main(argc - 1, argv + 1);
  if (!strcmp(which, "loop")) return loop_main(argc - 1, argv + 1);
  return again_main(argc - 1, argv + 1);
}
