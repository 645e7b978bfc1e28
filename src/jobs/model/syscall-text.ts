/** System calls of a recording as people read them: `read(3, 0x7ffe1c3a5310, 832) = 832`. */
import os from 'node:os';
import { MAX_ERRNO } from '../../engine/base/linux.js';
import { getRegister, getSigned, Reg } from '../../engine/base/registers.js';
import { syscallName } from '../../engine/base/syscalls.js';
import type { TraceFrame } from '../../engine/trace/frame.js';

/** Registers of arguments, in the order of the calling convention. */
const ARGUMENTS = [Reg.rdi, Reg.rsi, Reg.rdx, Reg.r10, Reg.r8, Reg.r9];

/**
 * Kinds of the arguments of calls that programs make most: `n` a number with a sign, `x` an address or bits, `o` a mode.
 * Of others the first three are shown as bits.
 */
const KINDS: Record<string, string> = Object.fromEntries(
  Object.entries({
    nxn: 'read write getdents64 getdents faccessat connect bind sendmsg recvmsg getsockname accept writev readv',
    xno: 'open',
    n: 'close dup exit exit_group fsync fdatasync fchdir epoll_create1 umask pidfd_open getpgid getsid',
    xx: 'stat lstat statfs rename link symlink munmap gettimeofday clock_settime nanosleep sigaltstack arch_prctl',
    nx: 'fstat fstatfs clock_gettime clock_getres getrlimit setrlimit getrusage epoll_create eventfd2 pipe2',
    xnn: 'poll mprotect madvise msync readlink',
    nnn: 'socket lseek fcntl ioctl tgkill listen fchown shutdown dup3',
    xnxnnx: 'mmap',
    x: 'brk chdir rmdir unlink uname sysinfo times pipe time set_tid_address chroot',
    nxxn: 'rt_sigaction rt_sigprocmask newfstatat',
    nxnnx: 'statx',
    nxnn: 'pread64 pwrite64 sendfile wait4 epoll_ctl epoll_wait prlimit64 accept4',
    xo: 'mkdir creat chmod',
    nxxo: 'openat',
    nxo: 'mkdirat fchmodat',
    nxx: 'unlinkat openat2 utimensat',
    nn: 'dup2 ftruncate setpgid kill tkill flock eventfd getpriority',
    xn: 'access truncate rseq set_robust_list memfd_create',
    xnxxxn: 'futex',
    xxx: 'execve prctl',
    nxnnxx: 'sendto recvfrom',
    nnnx: 'setsockopt getsockopt socketpair clock_nanosleep',
    xxxxx: 'clone',
    '': 'getpid gettid getppid getuid geteuid getgid getegid sched_yield fork vfork rt_sigreturn pause sync setsid',
    xxn: 'getrandom mremap',
  }).flatMap(([kinds, names]) =>
    names
      .split(' ')
      .filter(Boolean)
      .map((name) => [name, kinds]),
  ),
);

const AT_FDCWD = -100n;
/** O_CREAT, __O_TMPFILE: without them the mode of an open is ignored. */
const MAKES = 0x40n | 0x40_0000n;

const ERRORS = new Map(Object.entries(os.constants.errno).map(([name, number]) => [number, name]));

const hex = (value: bigint): string => (value < 10n ? String(value) : `0x${value.toString(16)}`);

/** Registers have 64 bits, but these arguments are ints: the upper halves are arbitrary. */
const shown = (kind: string, frame: TraceFrame, slot: number): string => {
  const value = getRegister(frame.registers, slot);
  if (kind === 'x') return hex(value);
  if (kind === 'o') return `0${(value & 0o7777n).toString(8)}`;
  const signed = BigInt.asIntN(64, value);
  const isInt = signed >= 0n && value < 1n << 32n;
  const number = isInt ? BigInt.asIntN(32, value) : signed;
  return number === AT_FDCWD ? 'AT_FDCWD' : String(number);
};

/** Its name and arguments. Precondition: the frame is of a system call and has registers. */
export function callText(frame: TraceFrame, rrcallBase: number): string {
  const name = syscallName(frame.syscallNumber, rrcallBase);
  const kinds = KINDS[name] ?? 'xxx';
  const words = [...kinds].map((kind, at) => shown(kind, frame, ARGUMENTS[at]));
  const flags = name === 'open' ? Reg.rsi : name === 'openat' ? Reg.rdx : null;
  if (flags !== null && (getRegister(frame.registers, flags) & MAKES) === 0n) words.pop();
  return `${name}(${words.join(', ')})`;
}

/** The same with its result; `files`: names that the recording has for it. */
export function returnText(frame: TraceFrame, rrcallBase: number, files: readonly string[]): string {
  const result = getSigned(frame.registers, Reg.rax);
  const failed = result < 0 && result >= -MAX_ERRNO;
  const error = ERRORS.get(-result) ?? `error ${-result}`;
  const isSmall = result >= 0 && result < 1 << 30;
  const value = isSmall ? String(result) : hex(getRegister(frame.registers, Reg.rax));
  const paths = files.map((file) => ` ${file}`).join('');
  return `${callText(frame, rrcallBase)} = ${failed ? `-1 ${error}` : value}${paths}`;
}
