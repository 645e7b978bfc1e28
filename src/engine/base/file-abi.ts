/** Linux's constants and structures of files: flags of open(2) and struct statx. */

/** O_* of x86-64 (include/uapi/asm-generic/fcntl.h). */
export const Open = {
  accessMode: 3,
  readOnly: 0,
  writeOnly: 1,
  readWrite: 2,
  create: 0o100,
  exclusive: 0o200,
  truncate: 0o1000,
  append: 0o2000,
  nonblock: 0o4000,
  directory: 0o200000,
  noFollow: 0o400000,
  closeOnExec: 0o2000000,
  path: 0o10000000,
  tmpFile: 0o20000000,
} as const;

/** The fields of struct statx that are used here. */
export interface StatxFields {
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
  readonly inode: number;
  readonly size: number;
  /** Seconds and nanoseconds. */
  readonly mtime: readonly [number, number];
  /** As in st_rdev. */
  readonly special: number;
  /** As in st_dev. */
  readonly device: number;
}

/** Bytes of struct statx. */
export const STATX_BYTES = 256;

/** Reads a struct statx (include/uapi/linux/stat.h) of `STATX_BYTES`. */
export function readStatx(view: DataView): StatxFields {
  const device = (at: number): number => {
    const [major, minor] = [view.getUint32(at, true), view.getUint32(at + 4, true)];
    // new_encode_dev (include/linux/kdev_t.h).
    return (minor & 0xff) + major * 256 + (minor >>> 8) * 2 ** 20;
  };
  return {
    links: view.getUint32(16, true),
    uid: view.getUint32(20, true),
    gid: view.getUint32(24, true),
    mode: view.getUint16(28, true),
    inode: Number(view.getBigUint64(32, true)),
    size: Number(view.getBigUint64(40, true)),
    mtime: [Number(view.getBigInt64(112, true)), view.getUint32(120, true)],
    special: device(128),
    device: device(136),
  };
}
