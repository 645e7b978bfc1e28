import { hostCall, hostFstat, hostMount, hostStat, type HostStat } from '../../engine/host/libc.js';
import { check, E, fail } from '../base/errno.js';
import { Mode, Open, type DirectoryEntry, type FileContent, type FileLayer, type Node } from './node.js';
import { nameOf } from '../../engine/base/names.js';
import { isInside, parentOf } from './paths.js';

const O_NOFOLLOW = Open.noFollow | Open.closeOnExec | Open.nonblock;
const MAX_LINK = 4096;
const DIRENT_BYTES = 1 << 15;
/** d_type of getdents64 is the type bits of the mode, shifted. */
const TYPE_SHIFT = 12;

/** Below these the host's files are generated, or refer to its devices and processes. */
const HIDDEN = ['/proc', '/dev', '/sys', '/run'];
/**
 * File systems that are the kernel itself (include/uapi/linux/magic.h): proc, sysfs, debugfs, tracefs, securityfs,
 * configfs, cgroup, cgroup2, bpf, efivarfs, pstore. They may be mounted anywhere, and reading some of their files has effects.
 */
const KERNELS: readonly number[] = [
  0x9fa0, 0x6265_6572, 0x6462_6720, 0x7472_6163, 0x7363_6673, 0x6265_6570, 0x0027_e0eb, 0x6367_7270,
  0xcafe_4a11, 0xde5e_81e4, 0x6165_676c,
];
const STATFS_BYTES = 120;

function isOfKernel(fd: number): boolean {
  const bytes = new Uint8Array(STATFS_BYTES);
  if (hostCall('fstatfs', fd, bytes) < 0) return true;
  return KERNELS.includes(new DataView(bytes.buffer).getUint32(0, true));
}

function isHidden(path: string): boolean {
  return HIDDEN.some((root) => path === root || path.startsWith(`${root}/`));
}

/** Descriptors of the host's that a diversion has open. */
export class HostHandles {
  private readonly files = new Set<{ shut: () => void }>();

  add(file: { shut: () => void }): void {
    this.files.add(file);
  }

  remove(file: { shut: () => void }): void {
    this.files.delete(file);
  }

  /** When the diversion ends. */
  close(): void {
    for (const file of [...this.files]) file.shut();
  }
}

/** A file of the host, opened on first use; where only mappings use it, for each use. */
class HostFile implements FileContent {
  private fd = -1;
  /** Open descriptions of it. */
  private holders = 0;

  constructor(
    protected readonly path: string,
    private readonly facts: HostStat,
    private readonly flags: number,
    private readonly handles: HostHandles,
  ) {}

  private handle(): number {
    if (this.fd >= 0) return this.fd;
    const fd = check(this.open());
    const now = hostFstat(fd);
    // It may have been replaced between the lookup and the open.
    const isFile = typeof now !== 'number' && (now.mode & Mode.typeMask) === Mode.regular;
    if (!isFile || isOfKernel(fd)) {
      hostCall('close', fd);
      return fail(E.EACCES);
    }
    this.handles.add(this);
    return (this.fd = fd);
  }

  protected open(): number {
    return hostCall('open', this.path, this.flags | O_NOFOLLOW, 0);
  }

  stat(): HostStat {
    const now = this.fd >= 0 ? hostFstat(this.fd) : hostStat(this.path);
    return typeof now === 'number' ? this.facts : now;
  }

  read(offset: number, into: Uint8Array): number {
    return this.using((fd) => hostCall('pread', fd, into, into.length, offset));
  }

  protected using(work: (fd: number) => number): number {
    const result = work(this.handle());
    if (this.holders === 0) this.shut();
    return check(result);
  }

  hold(): void {
    this.holders++;
  }

  close(): void {
    if (--this.holders === 0) this.shut();
  }

  shut(): void {
    if (this.fd < 0) return;
    hostCall('close', this.fd);
    this.handles.remove(this);
    this.fd = -1;
  }
}

/** O_PATH: a reference in the file system, which is checked before the file is opened. */
const O_PLACE = Open.path | Open.closeOnExec | Open.noFollow;

/**
 * A folder of this machine below which writes are real. Checks use the opened file, not its name:
 * between the check of a path and its use, links may be created, and mounts and hard links leave
 * the folder without any symbolic link.
 */
export class RealFolder {
  private readonly mount: number;

  /** @param path without links */
  constructor(readonly path: string) {
    const fd = hostCall('open', path, O_PLACE | Open.directory, 0);
    this.mount = fd < 0 ? -1 : hostMount(fd);
    if (fd >= 0) hostCall('close', fd);
  }

  /** The folder itself stays what and where it is. */
  holds(path: string): boolean {
    return path !== this.path && isInside(path, this.path);
  }

  /**
   * Performs `work` on a path below, by a name relative to the descriptor of its folder. @returns
   * the result of `work`; null if the path is not, or not any more, in this folder and its mount
   */
  at<T>(path: string, work: (name: string) => T): T | null {
    const parent = parentOf(path);
    const fd = hostCall('open', parent, O_PLACE | Open.directory, 0);
    if (fd < 0) return null;
    try {
      const reached = `/proc/self/fd/${fd}`;
      if (hostMount(fd) !== this.mount || readLink(reached) !== parent) return null;
      return work(`${reached}/${path.slice(parent === '/' ? 1 : parent.length + 1)}`);
    } finally {
      hostCall('close', fd);
    }
  }

  /** The file at a path, opened for writing; -EXDEV if it is not a file of only this folder. */
  open(path: string): number {
    const opened = this.at(path, (name) => {
      const place = hostCall('open', name, O_PLACE, 0);
      if (place < 0) return place;
      try {
        if (!this.isOwn(place)) return -E.EXDEV;
        return hostCall('open', `/proc/self/fd/${place}`, Open.readWrite | Open.closeOnExec, 0);
      } finally {
        hostCall('close', place);
      }
    });
    return opened ?? -E.EXDEV;
  }

  /** A regular file without another name, which could be anywhere, and not mounted over one. */
  private isOwn(fd: number): boolean {
    const stat = hostFstat(fd);
    if (typeof stat === 'number' || hostMount(fd) !== this.mount) return false;
    return (stat.mode & Mode.typeMask) === Mode.regular && stat.links === 1;
  }

  /** Whether `open` would open it. */
  owns(path: string): boolean {
    const fd = this.open(path);
    if (fd >= 0) hostCall('close', fd);
    return fd !== -E.EXDEV;
  }
}

/** A file in a folder where writes are allowed to be real. */
export class WritableHostFile extends HostFile {
  constructor(
    path: string,
    facts: HostStat,
    handles: HostHandles,
    private readonly folder: RealFolder,
  ) {
    super(path, facts, Open.readWrite, handles);
  }

  protected override open(): number {
    return this.folder.open(this.path);
  }

  write(offset: number, bytes: Uint8Array): number {
    return this.using((fd) => hostCall('pwrite', fd, bytes, bytes.length, offset));
  }

  truncate(size: number): void {
    this.using((fd) => hostCall('ftruncate', fd, size));
  }
}

/** The host's files, read-only. Devices, sockets and pipes do not count as files here. */
export class HostFiles implements FileLayer {
  constructor(private readonly handles: HostHandles) {}

  find(path: string): Node | null {
    if (isHidden(path)) return null;
    const stat = hostStat(path);
    if (typeof stat === 'number') return stat === -E.EACCES ? fail(E.EACCES) : null;
    switch (stat.mode & Mode.typeMask) {
      case Mode.directory:
        return { kind: 'directory', stat };
      case Mode.link:
        return { kind: 'link', target: readLink(path), stat };
      case Mode.regular:
        return { kind: 'file', content: new HostFile(path, stat, Open.readOnly, this.handles) };
      default:
        return null;
    }
  }

  list(path: string): DirectoryEntry[] | null {
    return isHidden(path) ? null : listDirectory(path);
  }
}

export function readLink(path: string): string {
  const into = new Uint8Array(MAX_LINK);
  const count = check(hostCall('readlink', path, into, into.length));
  return nameOf(into.subarray(0, count));
}

/** struct linux_dirent64: u64 ino, s64 off, u16 reclen, u8 type, name. */
export function listDirectory(path: string): DirectoryEntry[] | null {
  const fd = hostCall('open', path, O_NOFOLLOW | Open.directory, 0);
  if (fd < 0) return fd === -E.EACCES ? fail(E.EACCES) : null;
  const entries: DirectoryEntry[] = [];
  const bytes = new Uint8Array(DIRENT_BYTES);
  const view = new DataView(bytes.buffer);
  try {
    for (;;) {
      const count = check(hostCall('getdents', fd, bytes, bytes.length));
      if (count === 0) return entries;
      for (let at = 0; at < count; at += view.getUint16(at + 16, true)) {
        const end = bytes.indexOf(0, at + 19);
        const name = nameOf(bytes.subarray(at + 19, end));
        if (name === '.' || name === '..') continue;
        entries.push({
          name,
          inode: Number(view.getBigUint64(at, true)),
          mode: bytes[at + 18] << TYPE_SHIFT,
        });
      }
    }
  } finally {
    hostCall('close', fd);
  }
}
