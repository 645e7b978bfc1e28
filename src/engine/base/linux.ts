/** Numbers of the Linux x86-64 ABI that replay acts on (include/uapi). */

/** System call numbers (arch/x86/entry/syscalls/syscall_64.tbl). */
export const Sys = {
  read: 0,
  write: 1,
  open: 2,
  close: 3,
  lseek: 8,
  mmap: 9,
  mprotect: 10,
  munmap: 11,
  brk: 12,
  rt_sigaction: 13,
  rt_sigprocmask: 14,
  rt_sigreturn: 15,
  pwrite64: 18,
  readv: 19,
  writev: 20,
  pipe: 22,
  mremap: 25,
  madvise: 28,
  shmat: 30,
  dup: 32,
  dup2: 33,
  socket: 41,
  clone: 56,
  fork: 57,
  vfork: 58,
  execve: 59,
  exit: 60,
  shmdt: 67,
  fcntl: 72,
  chdir: 80,
  creat: 85,
  sigaltstack: 131,
  modify_ldt: 154,
  ptrace: 101,
  prctl: 157,
  arch_prctl: 158,
  set_thread_area: 205,
  set_tid_address: 218,
  restart_syscall: 219,
  exit_group: 231,
  openat: 257,
  unshare: 272,
  set_robust_list: 273,
  dup3: 292,
  pipe2: 293,
  pwritev: 296,
  execveat: 322,
  pwritev2: 328,
  pkey_mprotect: 329,
  pkey_alloc: 330,
  rseq: 334,
  pidfd_open: 434,
  close_range: 436,
  pidfd_getfd: 438,
} as const;

export const MapFlag = { shared: 1, private: 2, anonymous: 0x20, growsDown: 0x100 } as const;
export const MremapFlag = { mayMove: 1, fixed: 2, dontUnmap: 4 } as const;
export const Madvise = { dontNeed: 4, remove: 9, dontFork: 10, doFork: 11, dontNeedLocked: 24 } as const;
export const CloneFlag = {
  vm: 0x100,
  fs: 0x200,
  files: 0x400,
  sighand: 0x800,
  vfork: 0x4000,
  thread: 0x1_0000,
  settls: 0x8_0000,
  parentSetTid: 0x10_0000,
  childClearTid: 0x20_0000,
  childSetTid: 0x100_0000,
} as const;
export const ArchPrctl = { setGs: 0x1001, setFs: 0x1002 } as const;
export const FcntlDup = { dupFd: 0, dupFdCloexec: 1030 } as const;
export const PR_SET_NAME = 15;
export const PROT_GROWSDOWN = 0x0100_0000;

export const Signal = { ILL: 4, TRAP: 5, BUS: 7, FPE: 8, SEGV: 11 } as const;
/** si_code of a protection-key fault. */
export const SEGV_PKUERR = 4;
/** si_code of a breakpoint or watchpoint in debug registers. */
export const TRAP_HWBKPT = 4;

/** Highest errno that a system call returns as a negative value. */
export const MAX_ERRNO = 4095;
/** -ERESTART_RESTARTBLOCK: restart_syscall goes on with the call. */
export const RESTART_BLOCK = -516;
/** Results that restart a system call (include/linux/errno.h); user space never sees them. */
export const RESTART_RESULTS: readonly number[] = [-512, -513, -514, RESTART_BLOCK];

/** Signal names by number, for messages. */
export const SIGNAL_NAMES: readonly string[] = [
  '0',
  'SIGHUP',
  'SIGINT',
  'SIGQUIT',
  'SIGILL',
  'SIGTRAP',
  'SIGABRT',
  'SIGBUS',
  'SIGFPE',
  'SIGKILL',
  'SIGUSR1',
  'SIGSEGV',
  'SIGUSR2',
  'SIGPIPE',
  'SIGALRM',
  'SIGTERM',
  'SIGSTKFLT',
  'SIGCHLD',
  'SIGCONT',
  'SIGSTOP',
  'SIGTSTP',
  'SIGTTIN',
  'SIGTTOU',
  'SIGURG',
  'SIGXCPU',
  'SIGXFSZ',
  'SIGVTALRM',
  'SIGPROF',
  'SIGWINCH',
  'SIGIO',
  'SIGPWR',
  'SIGSYS',
];
