import type { Logger } from '../../engine/base/log.js';
import { hostCall, hostStat } from '../../engine/host/libc.js';
import { check, E, fail } from '../base/errno.js';
import { WritableHostFile, type HostHandles, type RealFolder } from './host-files.js';
import type { MemoryFile } from './memory-file.js';
import type { Overlay } from './overlay.js';
import { Mode, Open, type DirectoryEntry, type FileContent, type Node } from './node.js';
import { isInside, parentOf } from './paths.js';

const MAX_LINKS = 40;
const MAX_NAME = 255;
/** Of real files: nothing created here runs as its owner. */
const PERMISSIONS = 0o777;

export interface Found {
  /** Absolute and normal, without symbolic links but perhaps in its last part. */
  readonly path: string;
  readonly node: Node | null;
  /** The path ended with a slash: it must be a directory. */
  readonly mustBeDirectory: boolean;
}

/**
 * The files that a diversion sees: its own writes over the files of the trace and this machine, and
 * the folders in which writes may be real.
 */
export class FileSystem {
  /** Generated files of /proc and /dev, before everything else; they depend on the calling process. */
  special: (path: string, pid: number) => Node | null = () => null;
  specialList: (path: string, pid: number) => DirectoryEntry[] | null = () => null;

  constructor(
    private readonly overlay: Overlay,
    private readonly writable: readonly RealFolder[],
    private readonly log: Logger,
    private readonly handles: HostHandles,
  ) {}

  /**
   * Walks a path.
   * @throws Errno ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG, EACCES
   */
  walk(directory: string, path: string, follow: boolean, pid: number): Found {
    if (path === '') fail(E.ENOENT);
    let rest = (path.startsWith('/') ? path : `${directory}/${path}`)
      .split('/')
      .filter((part) => part !== '');
    const mustBeDirectory = /\/\.{0,2}$/.test(path) || path === '.' || path === '..';
    let at = '/';
    let links = 0;
    while (rest.length > 0) {
      const [part] = rest;
      rest = rest.slice(1);
      if (part === '.') continue;
      if (part === '..') {
        at = parentOf(at);
        continue;
      }
      if (part.length > MAX_NAME) fail(E.ENAMETOOLONG);
      const next = at === '/' ? `/${part}` : `${at}/${part}`;
      const last = rest.length === 0;
      const node = this.find(next, pid);
      if (!node && !last) fail(E.ENOENT);
      if (node?.kind === 'link' && (!last || follow || mustBeDirectory)) {
        if (++links > MAX_LINKS) fail(E.ELOOP);
        rest = [...node.target.split('/').filter((name) => name !== ''), ...rest];
        if (node.target.startsWith('/')) at = '/';
        continue;
      }
      if (node && !last && node.kind !== 'directory') fail(E.ENOTDIR);
      at = next;
    }
    const node = this.find(at, pid);
    if (mustBeDirectory && node && node.kind !== 'directory') fail(E.ENOTDIR);
    return { path: at, node, mustBeDirectory };
  }

  private find(path: string, pid: number): Node | null {
    return this.special(path, pid) ?? this.overlay.find(path);
  }

  list(path: string, pid: number): DirectoryEntry[] {
    return this.specialList(path, pid) ?? this.overlay.list(path);
  }

  /** Opens or makes what a path names. `flags` and `mode` as of open(2), the mask taken off the mode already. */
  open(
    directory: string,
    path: string,
    flags: number,
    mode: number,
    pid: number,
  ): { path: string; node: Node } {
    const exclusive = (flags & (Open.create | Open.exclusive)) === (Open.create | Open.exclusive);
    const found = this.walk(directory, path, !(flags & Open.noFollow) && !exclusive, pid);
    if (flags & Open.tmpFile & ~Open.directory) return this.temporary(found, mode);
    if (!found.node) {
      if (!(flags & Open.create)) fail(E.ENOENT);
      if (found.mustBeDirectory) fail(E.EISDIR);
      return { path: found.path, node: { kind: 'file', content: this.create(found.path, mode, pid) } };
    }
    if (exclusive) fail(E.EEXIST);
    const writes = (flags & Open.accessMode) !== Open.readOnly;
    const { node } = found;
    if (node.kind === 'link') fail(flags & Open.path ? E.ENOSYS : E.ELOOP);
    if (node.kind === 'directory' && (writes || flags & Open.create)) fail(E.EISDIR);
    if (node.kind !== 'directory' && flags & Open.directory) fail(E.ENOTDIR);
    if (node.kind !== 'file' || flags & Open.path) return { path: found.path, node };
    if (!writes) return { path: found.path, node };
    const content = this.forWriting(found.path, node.content, pid);
    if (flags & Open.truncate) content.truncate?.(0);
    return { path: found.path, node: { kind: 'file', content } };
  }

  private temporary(found: Found, mode: number): { path: string; node: Node } {
    if (found.node?.kind !== 'directory') fail(E.ENOTDIR);
    const content = this.overlay.newFile(mode);
    content.links = 0;
    return { path: `${found.path}/#${content.inode} (deleted)`, node: { kind: 'file', content } };
  }

  private create(path: string, mode: number, pid: number): FileContent {
    this.requireParent(path, pid);
    const folder = this.realFolder(path);
    if (!folder) return this.overlay.create(path, mode);
    const flags = Open.readWrite | Open.create | Open.exclusive | Open.noFollow;
    const fd = this.really(folder, path, (name) => hostCall('open', name, flags, mode & PERMISSIONS));
    hostCall('close', fd);
    return this.openReal(folder, path);
  }

  private forWriting(path: string, content: FileContent, pid: number): FileContent {
    if (this.special(path, pid)) return content.write ? content : fail(E.EACCES);
    const folder = this.realFolder(path);
    if (folder?.owns(path)) return this.openReal(folder, path);
    // It is, or may be, a file outside of the folder, too: the diversion writes to a copy.
    if (folder)
      this.log.warn({ path }, 'has another name or mount: what is written to it stays in the diversion');
    return this.overlay.writable(path);
  }

  private openReal(folder: RealFolder, path: string): FileContent {
    const stat = hostStat(path);
    if (typeof stat === 'number') return fail(-stat);
    if ((stat.mode & Mode.typeMask) !== Mode.regular) fail(E.EACCES);
    const file = new WritableHostFile(path, stat, this.handles, folder);
    this.log.info({ path }, 'the diversion writes a file of this machine');
    return file;
  }

  /** Writes here reach the host. */
  private isReal(path: string): boolean {
    return this.realFolder(path) !== null;
  }

  private realFolder(path: string): RealFolder | null {
    return this.writable.find((folder) => folder.holds(path)) ?? null;
  }

  /** Performs it on the host. Throws EXDEV if the path now leads out of the folder, and the call's error. */
  private really(folder: RealFolder, path: string, work: (name: string) => number): number {
    return check(folder.at(path, work) ?? -E.EXDEV);
  }

  private requireParent(path: string, pid: number): void {
    const parent = parentOf(path);
    if (this.specialList(parent, pid)) fail(E.EACCES);
    const node = this.find(parent, pid);
    if (!node) fail(E.ENOENT);
    if (node.kind !== 'directory') fail(E.ENOTDIR);
  }

  mkdir(directory: string, path: string, mode: number, pid: number): void {
    const found = this.walk(directory, path, false, pid);
    if (found.node) fail(E.EEXIST);
    this.requireParent(found.path, pid);
    const folder = this.realFolder(found.path);
    if (folder) this.really(folder, found.path, (name) => hostCall('mkdir', name, mode & PERMISSIONS));
    else this.overlay.makeDirectory(found.path, mode);
  }

  unlink(directory: string, path: string, pid: number): void {
    const { path: at, node } = this.walk(directory, path, false, pid);
    if (!node) fail(E.ENOENT);
    if (node.kind === 'directory') fail(E.EISDIR);
    if (this.special(at, pid)) fail(E.EPERM);
    const folder = this.realFolder(at);
    if (folder) this.really(folder, at, (name) => hostCall('unlink', name));
    else this.overlay.unlink(at);
  }

  rmdir(directory: string, path: string, pid: number): void {
    const { path: at, node } = this.walk(directory, path, false, pid);
    if (!node) fail(E.ENOENT);
    if (node.kind !== 'directory') fail(E.ENOTDIR);
    if (at === '/' || this.specialList(at, pid)) fail(E.EBUSY);
    const folder = this.realFolder(at);
    if (folder) this.really(folder, at, (name) => hostCall('rmdir', name));
    else this.overlay.removeDirectory(at);
  }

  rename(
    from: { directory: string; path: string },
    to: { directory: string; path: string },
    pid: number,
  ): void {
    const source = this.walk(from.directory, from.path, false, pid);
    const target = this.walk(to.directory, to.path, false, pid);
    if (!source.node) fail(E.ENOENT);
    if (source.path === target.path) return;
    this.requireParent(target.path, pid);
    if (this.special(source.path, pid) || this.special(target.path, pid)) fail(E.EPERM);
    const [leaving, entering] = [this.realFolder(source.path), this.realFolder(target.path)];
    if ((leaving === null) !== (entering === null)) fail(E.EXDEV);
    if (leaving && entering) {
      this.really(leaving, source.path, (old) =>
        this.really(entering, target.path, (name) => hostCall('rename', old, name)),
      );
      return;
    }
    if (isInside(target.path, source.path)) fail(E.EINVAL);
    if (target.node?.kind === 'directory') {
      if (source.node.kind !== 'directory') fail(E.EISDIR);
      this.overlay.removeDirectory(target.path);
    } else if (target.node) {
      if (source.node.kind === 'directory') fail(E.ENOTDIR);
      this.overlay.unlink(target.path);
    }
    this.overlay.rename(source.path, target.path);
  }

  symlink(target: string, directory: string, path: string, pid: number): void {
    const found = this.walk(directory, path, false, pid);
    if (found.node) fail(E.EEXIST);
    this.requireParent(found.path, pid);
    if (this.isReal(found.path)) fail(E.EPERM);
    this.overlay.makeLink(found.path, target);
  }

  link(from: Found, directory: string, path: string, pid: number): void {
    const to = this.walk(directory, path, false, pid);
    if (to.node) fail(E.EEXIST);
    if (from.node?.kind !== 'file') fail(from.node ? E.EPERM : E.ENOENT);
    this.requireParent(to.path, pid);
    if (this.isReal(from.path) || this.isReal(to.path)) fail(E.EPERM);
    this.overlay.link(from.path, to.path);
  }

  chmod(found: Found, mode: number): void {
    if (!found.node) fail(E.ENOENT);
    if (this.isReal(found.path)) fail(E.EPERM);
    this.overlay.setMode(found.path, mode);
  }

  /** A file that has no path; a copy of `content`, if there is one. */
  anonymous(content?: FileContent): MemoryFile {
    return content ? this.overlay.copyOf(content) : this.overlay.newFile(0o600);
  }

  close(): void {
    this.overlay.close();
    this.handles.close();
  }
}
