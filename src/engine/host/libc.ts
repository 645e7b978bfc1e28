/**
 * Calls of the host's C library. The only file that imports koffi; callers check permissions (a
 * diversion's policy). Every function returns the C result, or a negative errno.
 */
import koffi from 'koffi';
import { readStatx, STATX_BYTES } from '../base/file-abi.js';
import { nameBytes } from '../base/names.js';

const library = koffi.load('libc.so.6');

type Callable = (...values: unknown[]) => number | bigint;
const declare = (prototype: string): Callable => library.func(prototype) as unknown as Callable;

const calls = {
  open: declare('int open(const void *path, int flags, int mode)'),
  close: declare('int close(int fd)'),
  pread: declare('int64_t pread64(int fd, _Out_ void *into, size_t size, int64_t offset)'),
  pwrite: declare('int64_t pwrite64(int fd, const void *from, size_t size, int64_t offset)'),
  ftruncate: declare('int ftruncate64(int fd, int64_t size)'),
  statx: declare('int statx(int fd, const void *path, int flags, unsigned int mask, _Out_ void *into)'),
  fstatfs: declare('int fstatfs(int fd, _Out_ void *into)'),
  readlink: declare('int64_t readlink(const void *path, _Out_ void *into, size_t size)'),
  getdents: declare('int64_t getdents64(int fd, _Out_ void *into, size_t size)'),
  mkdir: declare('int mkdir(const void *path, unsigned int mode)'),
  rmdir: declare('int rmdir(const void *path)'),
  unlink: declare('int unlink(const void *path)'),
  rename: declare('int rename(const void *from, const void *to)'),
  clockGettime: declare('int clock_gettime(int clock, _Out_ void *into)'),
  poll: declare('int poll(_Inout_ void *fds, uint64_t count, int milliseconds)'),
  socket: declare('int socket(int domain, int type, int protocol)'),
  connect: declare('int connect(int fd, const void *address, unsigned int size)'),
  send: declare('int64_t send(int fd, const void *from, size_t size, int flags)'),
  recv: declare('int64_t recv(int fd, _Out_ void *into, size_t size, int flags)'),
  getsockname: declare('int getsockname(int fd, _Out_ void *address, _Inout_ void *size)'),
  getpeername: declare('int getpeername(int fd, _Out_ void *address, _Inout_ void *size)'),
  getsockopt: declare('int getsockopt(int fd, int level, int option, _Out_ void *into, _Inout_ void *size)'),
  shutdown: declare('int shutdown(int fd, int how)'),
} satisfies Record<string, Callable>;

export type HostCall = keyof typeof calls;

/** The result as a number; -errno where the call failed. Paths are names as `nameOf` makes them, without NUL. */
export function hostCall(name: HostCall, ...values: unknown[]): number {
  const result = Number(calls[name](...values.map(terminated)));
  return result < 0 ? -koffi.errno() : result;
}

const terminated = (value: unknown): unknown => (typeof value === 'string' ? nameBytes(`${value}\0`) : value);

/** Nanoseconds of a clock (CLOCK_REALTIME is 0, CLOCK_MONOTONIC 1). */
export function hostClock(clock: number): bigint {
  const bytes = new Uint8Array(16);
  if (hostCall('clockGettime', clock, bytes) < 0) return 0n;
  const view = new DataView(bytes.buffer);
  return view.getBigInt64(0, true) * 1_000_000_000n + view.getBigInt64(8, true);
}

/** Waits, without using the processor. */
export function hostSleep(milliseconds: number): void {
  hostCall('poll', null, 0, milliseconds);
}

export interface HostStat {
  readonly mode: number;
  readonly size: number;
  readonly inode: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds and nanoseconds of the last modification. */
  readonly mtime: readonly [number, number];
  readonly device: number;
}

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_EMPTY_PATH = 0x1000;
const STATX_BASIC = 0x7ff;

/** lstat; a negative errno where it fails. */
export function hostStat(path: string): HostStat | number {
  const bytes = new Uint8Array(STATX_BYTES);
  const result = hostCall('statx', AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC, bytes);
  return result < 0 ? result : readStatx(new DataView(bytes.buffer));
}

const STATX_MNT_ID = 0x1000;
const MNT_ID_OFFSET = 0x90;

/** The mount of an open file (Linux 5.8); 0 if the kernel does not report it; a negative errno. */
export function hostMount(fd: number): number {
  const bytes = new Uint8Array(STATX_BYTES);
  const result = hostCall('statx', fd, '', AT_EMPTY_PATH, STATX_MNT_ID, bytes);
  return result < 0 ? result : Number(new DataView(bytes.buffer).getBigUint64(MNT_ID_OFFSET, true));
}

export function hostFstat(fd: number): HostStat | number {
  const bytes = new Uint8Array(STATX_BYTES);
  const result = hostCall('statx', fd, '', AT_EMPTY_PATH, STATX_BASIC, bytes);
  return result < 0 ? result : readStatx(new DataView(bytes.buffer));
}
