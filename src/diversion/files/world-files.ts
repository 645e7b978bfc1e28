import { RecordedContent } from '../../engine/task/recorded-content.js';
import type { ListedName, RecordedWorld } from '../../engine/task/recorded-files.js';
import { E, fail } from '../base/errno.js';
import {
  Mode,
  statOf,
  type DirectoryEntry,
  type FileContent,
  type FileLayer,
  type FileStat,
  type Node,
} from './node.js';
import { findBelow } from './overlay.js';
import { parentOf } from './paths.js';

/** Inodes of files of which the recording did not see the identity. */
const FIRST_INODE = 0x5000_0000;
const DEVICE = 0x2a;
const LINK_INODE = FIRST_INODE - 1;
const FIRST_UNREAD = 0x800_0000;
/** DT_DIR, DT_REG. */
const TYPE_FOLDER = 4;
const TYPE_REGULAR = 8;

const made = (mode: number): Omit<FileStat, 'size' | 'inode' | 'device'> => ({
  ...{ mode, links: 1, uid: 0, gid: 0 },
  mtime: [0, 0],
});

/** Warns once about a file. */
export type Complain = (path: string, message: string) => void;

/**
 * A file as the recording knew it at this moment: bytes that its calls wrote or read, its recorded identity. Other
 * bytes are those of the file below, if there is one.
 */
export class WorldFile implements FileContent {
  constructor(
    private readonly path: string,
    private readonly id: number,
    private readonly known: RecordedContent,
    private readonly below: FileContent | null,
    private readonly complain: Complain,
  ) {}

  stat(): FileStat {
    const { known, below } = this;
    const invented = { ...made(Mode.regular | 0o644), inode: FIRST_INODE + this.id, device: DEVICE };
    const identity = known.stat ?? below?.stat() ?? invented;
    return { ...identity, size: this.size };
  }

  /**
   * Known bytes of the recording are combined with this machine's file only if that is unchanged; a
   * file that the recording wrote is reconstructed in any case.
   */
  private get isTodays(): boolean {
    const { known, below } = this;
    if (known.isKnown || known.isWritten || !below || below.isRecorded) return false;
    return !this.isSame(below);
  }

  private isSame(below: FileContent): boolean {
    const [then, now] = [this.known.stat, below.stat()];
    return then !== null && now.mtime[0] === then.mtime[0] && now.size === then.size;
  }

  private get size(): number {
    const { known, below } = this;
    return (this.isTodays ? null : known.size) ?? below?.stat().size ?? 0;
  }

  read(offset: number, into: Uint8Array): number {
    if (this.isTodays) return this.readToday(offset, into);
    const count = Math.min(into.length, Math.max(0, this.size - offset));
    for (let done = 0; done < count;) {
      const { isKnown, length } = this.known.run(offset + done, count - done);
      const part = into.subarray(done, done + length);
      if (isKnown) this.known.read(offset + done, part);
      else if (!this.below) return done === 0 ? this.lost() : done;
      // One that is shorter today ends in zeros.
      else part.fill(0, this.readToday(offset + done, part));
      done += length;
    }
    return count;
  }

  private readToday(offset: number, into: Uint8Array): number {
    const { below, known, path } = this;
    if (!below) return 0;
    if (!below.isRecorded && (known.isWritten || (known.stat !== null && !this.isSame(below)))) {
      const isNewer = known.stat !== null && below.stat().mtime[0] > known.stat.mtime[0];
      const why = isNewer ? 'it is newer than the recording' : 'the recording had another';
      const where = known.isWritten ? ' where its bytes are not known from the recording' : '';
      this.complain(path, `${path} is read from this machine's current file${where}: ${why}`);
    }
    return below.read(offset, into);
  }

  private lost(): never {
    this.complain(
      this.path,
      `${this.path} is not on this machine, and its bytes are not known from the recording`,
    );
    return fail(E.EIO);
  }
}

/** Names and contents of files as of the moment where a diversion begins, before the trace's copies and this machine's. */
export class WorldFiles implements FileLayer {
  private readonly contents = new Map<number, WorldFile>();
  /** Folders of files that are known to exist. */
  private readonly folders = new Set<string>();
  /** Files that were listed in a folder. */
  private readonly unread = new Map<string, WorldFile>();

  /** @param below the layers below this one */
  constructor(
    private readonly world: RecordedWorld,
    private readonly below: readonly FileLayer[],
    private readonly complain: Complain,
  ) {
    for (const [path, id] of world.names) {
      if (!world.contents.get(id)?.hasBytes) continue;
      for (let at = parentOf(path); at !== '/' && !this.folders.has(at); at = parentOf(at))
        this.folders.add(at);
    }
  }

  isGone(path: string): boolean {
    const { names, links, listings } = this.world;
    if (links.has(path)) return false;
    const id = names.get(path);
    if (id !== undefined) return id === 0;
    // The folder was read completely; later files are known by name.
    const listed = listings.get(parentOf(path));
    return listed !== undefined && this.entryOf(path) === null && !this.folders.has(path);
  }

  /** It has all names of the folder. */
  isWhole(path: string): boolean {
    return this.world.listings.has(path);
  }

  private entryOf(path: string): ListedName | null {
    const name = path.slice(path.lastIndexOf('/') + 1);
    return this.world.listings.get(parentOf(path))?.find(([listed]) => listed === name) ?? null;
  }

  private link(path: string): Node | null {
    const target = this.world.links.get(path);
    if (target === undefined) return null;
    const stat = { ...made(Mode.link | 0o777), size: target.length, inode: LINK_INODE, device: DEVICE };
    return { kind: 'link', target, stat };
  }

  find(path: string): Node | null {
    const link = this.link(path);
    if (link) return link;
    const id = this.world.names.get(path);
    const known = id ? this.world.contents.get(id) : undefined;
    if (!id || !known) return id === undefined ? this.unopened(path) : null;
    const type = known.stat ? known.stat.mode & Mode.typeMask : Mode.regular;
    if (type === Mode.directory && known.stat) return { kind: 'directory', stat: known.stat };
    if (type !== Mode.regular) return null;
    const lower = known.isKnown ? null : findBelow(this.below, path);
    if (lower?.kind === 'link') return lower;
    if (lower ? lower.kind !== 'file' : !known.hasBytes) return lower;
    return {
      kind: 'file',
      content: this.file(path, id, known, lower?.kind === 'file' ? lower.content : null),
    };
  }

  /** All bytes of a file of /proc or /sys that the recording read last; null: it did not read all of one. */
  read(path: string): Uint8Array | null {
    const id = this.world.names.get(path);
    const known = id ? this.world.contents.get(id) : undefined;
    if (!known?.isKnown || known.size === null || known.size === 0) return null;
    const bytes = new Uint8Array(known.size);
    known.read(0, bytes);
    return bytes;
  }

  /** Known to the recording but not opened. */
  private unopened(path: string): Node | null {
    const isFolder = this.folders.has(path) || this.world.listings.has(path);
    const entry = this.entryOf(path);
    if (isFolder || entry?.[1] === TYPE_FOLDER) return this.folder(path);
    if (entry?.[1] !== TYPE_REGULAR) return null;
    const lower = findBelow(this.below, path);
    if (lower) return lower;
    let file = this.unread.get(path);
    if (!file) {
      const id = FIRST_UNREAD + this.unread.size;
      file = new WorldFile(path, id, new RecordedContent(), null, this.complain);
      this.unread.set(path, file);
    }
    return { kind: 'file', content: file };
  }

  /** A content that has no name any more. */
  unnamed(path: string, id: number): FileContent | null {
    const known = this.world.contents.get(id);
    return known?.hasBytes ? this.file(path, id, known, null) : null;
  }

  private file(path: string, id: number, known: RecordedContent, below: FileContent | null): WorldFile {
    let file = this.contents.get(id);
    if (!file) this.contents.set(id, (file = new WorldFile(path, id, known, below, this.complain)));
    return file;
  }

  /** One that may be missing on this machine. */
  private folder(path: string): Node {
    const lower = findBelow(this.below, path);
    if (lower) return lower;
    const stat = { mode: Mode.directory | 0o755, size: 0, links: 2, uid: 0, gid: 0, special: 0 };
    return { kind: 'directory', stat: { ...stat, inode: FIRST_INODE, device: DEVICE, mtime: [0, 0] } };
  }

  list(path: string): DirectoryEntry[] | null {
    const entries: DirectoryEntry[] = [];
    const { names, links, listings } = this.world;
    const listed = (listings.get(path) ?? []).map(([name]) =>
      path === '/' ? `/${name}` : `${path}/${name}`,
    );
    for (const name of new Set([...listed, ...names.keys(), ...links.keys()])) {
      if (parentOf(name) !== path || name === '/') continue;
      const node = this.find(name);
      if (!node) continue;
      const { inode, mode } = statOf(node);
      entries.push({ name: name.slice(name.lastIndexOf('/') + 1), inode, mode });
    }
    return entries.length > 0 ? entries : null;
  }
}
