/** gdb's File-I/O requests on the target's files: read-only (gdb manual, "Host I/O Packets"). */
import type { ByteSource } from '../../engine/mm/backing.js';
import { fromHex, latin1Text, parseCount, split } from '../packet/fields.js';
import { nameBytes, nameOf } from '../../engine/base/names.js';

/** Errors by the protocol's own numbers, which are Linux's for these. */
const Errno = { ENOENT: 2, EBADF: 9, EINVAL: 22, EMFILE: 24, EROFS: 30 } as const;
/** Access mode bits and O_CREAT, O_TRUNC of the protocol's own flags. */
const WRITING = 0x3 | 0x200 | 0x400;
const MAX_OPEN = 256;
/** More than any packet takes. */
const MAX_READ = 0x20000;
/** Size of the protocol's `struct stat`, big-endian fields. */
const STAT_BYTES = 64;
const S_IFREG_READABLE = 0o100444;

const fail = (errno: number): string => `F-1,${errno.toString(16)}`;

export class FileTable {
  private readonly open = new Map<number, ByteSource>();

  /** @param find finds a file by gdb's path */
  constructor(private readonly find: (path: string) => ByteSource | null) {}

  /** Answers what follows `vFile:`; null: an operation that is not supported. Throws PacketError. */
  handle(request: string, readlink: (path: string) => string | null): string | null {
    const [operation, rest] = split(request, ':');
    const parameters = rest.split(',');
    switch (operation) {
      // Files are the same for every process.
      case 'setfs':
        return 'F0';
      case 'open':
        return this.openFile(parameters);
      case 'close':
        return this.open.delete(parseCount(parameters[0])) ? 'F0' : fail(Errno.EBADF);
      case 'pread':
        return this.read(parameters);
      case 'fstat':
        return this.stat(parameters[0]);
      case 'readlink': {
        const target = readlink(pathOf(parameters[0]));
        if (target === null) return fail(Errno.EINVAL);
        const bytes = nameBytes(target);
        return `F${bytes.length.toString(16)};${latin1Text(bytes)}`;
      }
      case 'pwrite':
      case 'unlink':
        return fail(Errno.EROFS);
      default:
        return null;
    }
  }

  closeAll(): void {
    this.open.clear();
  }

  private openFile([name, flags]: string[]): string {
    if (parseCount(flags ?? '') & WRITING) return fail(Errno.EROFS);
    const file = this.find(pathOf(name));
    if (!file) return fail(Errno.ENOENT);
    let descriptor = 3;
    while (this.open.has(descriptor)) descriptor++;
    if (descriptor >= MAX_OPEN) return fail(Errno.EMFILE);
    this.open.set(descriptor, file);
    return `F${descriptor.toString(16)}`;
  }

  private read([descriptor, count, offset]: string[]): string {
    const file = this.open.get(parseCount(descriptor));
    if (!file) return fail(Errno.EBADF);
    const start = parseCount(offset ?? '');
    const wanted = Math.min(parseCount(count ?? ''), MAX_READ, Math.max(0, file.size - start));
    const bytes = new Uint8Array(wanted);
    let done = 0;
    while (done < wanted) {
      const got = file.read(start + done, bytes.subarray(done));
      if (got <= 0) break;
      done += got;
    }
    return `F${done.toString(16)};${latin1Text(bytes.subarray(0, done))}`;
  }

  private stat(descriptor: string): string {
    const file = this.open.get(parseCount(descriptor));
    if (!file) return fail(Errno.EBADF);
    const stat = Buffer.alloc(STAT_BYTES);
    // st_dev, st_ino, st_mode, st_nlink, st_uid, st_gid, st_rdev: 4 bytes each; st_size, st_blksize, st_blocks: 8.
    stat.writeUInt32BE(S_IFREG_READABLE, 8);
    stat.writeUInt32BE(1, 12);
    stat.writeBigUInt64BE(BigInt(file.size), 28);
    stat.writeBigUInt64BE(4096n, 36);
    stat.writeBigUInt64BE(BigInt(Math.ceil(file.size / 512)), 44);
    return `F${STAT_BYTES.toString(16)};${latin1Text(stat)}`;
  }
}

const pathOf = (hex: string | undefined): string => nameOf(fromHex(hex ?? ''));
