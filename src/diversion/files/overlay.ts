import type { GuestMemory } from '../../engine/kvm/guest-memory.js';
import { E, fail } from '../base/errno.js';
import { FileBudget, MemoryFile } from './memory-file.js';
import {
  Mode,
  statOf,
  type DirectoryEntry,
  type FileContent,
  type FileLayer,
  type FileStat,
  type Node,
} from './node.js';
import { parentOf } from './paths.js';

/** What the diversion made of a path. */
type Entry =
  | { readonly kind: 'file'; readonly content: MemoryFile }
  /** `opaque`: created here, hiding everything below. */
  | { readonly kind: 'directory'; readonly stat: FileStat; readonly opaque: boolean }
  | { readonly kind: 'link'; readonly target: string; readonly stat: FileStat }
  | { readonly kind: 'gone' };

const FIRST_INODE = 0x7000_0000;
const COPY_BYTES = 1 << 16;
const joined = (folder: string, name: string): string => (folder === '/' ? `/${name}` : `${folder}/${name}`);
/** st_dev of what is made here. */
const DEVICE = 0x2a;

/** What the first layer has that has something. */
export function findBelow(layers: readonly FileLayer[], path: string): Node | null {
  for (const layer of layers) {
    const node = layer.find(path);
    if (node) return node;
    if (layer.isGone?.(path)) return null;
  }
  return null;
}

/**
 * Writable files over read-only layers, discarded with the diversion. Paths are absolute and
 * normalized, and contain no symbolic link except perhaps as their last component.
 */
export class Overlay {
  private readonly entries = new Map<string, Entry>();
  private readonly made: MemoryFile[] = [];
  private nextInode = FIRST_INODE;
  private readonly budget: FileBudget;

  /** @param layers the upper ones first */
  constructor(
    private readonly layers: readonly FileLayer[],
    private readonly memory: GuestMemory,
    private readonly options: {
      readonly fileBytes: number;
      readonly owner: { uid: number; gid: number };
      readonly now: () => readonly [number, number];
    },
  ) {
    this.budget = new FileBudget(options.fileBytes);
  }

  find(path: string): Node | null {
    const entry = this.entries.get(path);
    if (entry) return entry.kind === 'gone' ? null : entry;
    return this.isHidden(path) ? null : this.below(path);
  }

  private below(path: string): Node | null {
    return findBelow(this.layers, path);
  }

  /** An ancestor was removed, replaced or made here. */
  private isHidden(path: string): boolean {
    for (let at = parentOf(path); at !== '/'; at = parentOf(at)) {
      const entry = this.entries.get(at);
      if (entry && (entry.kind !== 'directory' || entry.opaque)) return true;
    }
    return false;
  }

  list(path: string): DirectoryEntry[] {
    const names = new Map<string, DirectoryEntry>();
    const own = this.entries.get(path);
    if (!(own?.kind === 'directory' && own.opaque) && !this.isHidden(path)) {
      for (const layer of [...this.layers].reverse()) {
        if (layer.isWhole?.(path)) names.clear();
        for (const entry of layer.list(path) ?? []) names.set(entry.name, entry);
        for (const name of [...names.keys()]) if (layer.isGone?.(joined(path, name))) names.delete(name);
      }
    }
    const prefix = joined(path, '');
    for (const [at, entry] of this.entries) {
      if (!at.startsWith(prefix) || at.length === prefix.length || at.indexOf('/', prefix.length) >= 0)
        continue;
      const name = at.slice(prefix.length);
      if (entry.kind === 'gone') names.delete(name);
      else {
        const { inode, mode } = statOf(entry);
        names.set(name, { name, inode, mode });
      }
    }
    return [...names.values()];
  }

  create(path: string, mode: number): MemoryFile {
    const content = this.newFile(mode);
    this.entries.set(path, { kind: 'file', content });
    return content;
  }

  /** A file without a name. */
  newFile(mode: number, content?: Uint8Array): MemoryFile {
    const { owner, now } = this.options;
    const file = new MemoryFile(
      this.budget,
      this.memory,
      this.nextInode++,
      mode & 0o7777,
      owner,
      now,
      content,
    );
    this.made.push(file);
    return file;
  }

  /** The file at `path` for writing: a copy if it came from a lower layer. */
  writable(path: string): MemoryFile {
    const node = this.find(path);
    if (node?.kind !== 'file') return fail(E.EACCES);
    if (node.content instanceof MemoryFile) return node.content;
    const copy = this.copyOf(node.content);
    this.entries.set(path, { kind: 'file', content: copy });
    return copy;
  }

  /** The same file, without a name, for writing. */
  copyOf(content: FileContent): MemoryFile {
    const stat = content.stat();
    const copy = this.newFile(stat.mode);
    const piece = new Uint8Array(COPY_BYTES);
    for (let at = 0; at < stat.size;) {
      const count = content.read(at, piece);
      if (count <= 0) break;
      copy.write(at, piece.subarray(0, count));
      at += count;
    }
    // Programs compare a file's identity with an earlier one (SQLite, log rotation).
    copy.identity = stat;
    copy.links = stat.links;
    copy.mtime = stat.mtime;
    return copy;
  }

  makeDirectory(path: string, mode: number): void {
    this.entries.set(path, {
      kind: 'directory',
      opaque: true,
      stat: this.newStat(Mode.directory | (mode & 0o7777)),
    });
  }

  makeLink(path: string, target: string): void {
    const stat = { ...this.newStat(Mode.link | 0o777), size: target.length };
    this.entries.set(path, { kind: 'link', target, stat });
  }

  private newStat(mode: number): FileStat {
    const { owner, now } = this.options;
    const links = (mode & Mode.typeMask) === Mode.directory ? 2 : 1;
    return { mode, size: 0, inode: this.nextInode++, links, ...owner, mtime: now(), device: DEVICE };
  }

  /** Precondition: there is a file or link at `path`. */
  unlink(path: string): void {
    const entry = this.entries.get(path);
    if (entry?.kind === 'file') entry.content.links--;
    this.remove(path);
  }

  removeDirectory(path: string): void {
    if (this.list(path).length > 0) fail(E.ENOTEMPTY);
    this.remove(path);
  }

  /** A name that no lower layer has needs no whiteout. */
  private remove(path: string): void {
    this.entries.delete(path);
    for (const at of [...this.entries.keys()]) if (at.startsWith(`${path}/`)) this.entries.delete(at);
    if (!this.isHidden(path) && this.below(path)) this.entries.set(path, { kind: 'gone' });
  }

  /** A second name. */
  link(from: string, to: string): void {
    const content = this.writable(from);
    content.links++;
    this.entries.set(to, { kind: 'file', content });
  }

  /** Checks are the caller's. Folders from below cannot be moved (EXDEV, as overlayfs has it). */
  rename(from: string, to: string): void {
    const node = this.find(from) ?? fail(E.ENOENT);
    if (node.kind === 'file') {
      const content = this.writable(from);
      this.remove(from);
      this.entries.set(to, { kind: 'file', content });
      return;
    }
    if (node.kind === 'link') {
      this.remove(from);
      return this.makeLink(to, node.target);
    }
    const own = this.entries.get(from);
    if (own?.kind !== 'directory' || !own.opaque) fail(E.EXDEV);
    const moved = [...this.entries].filter(([at]) => at === from || at.startsWith(`${from}/`));
    this.remove(from);
    for (const [at, entry] of moved) this.entries.set(to + at.slice(from.length), entry);
  }

  setMode(path: string, mode: number): void {
    const node = this.find(path) ?? fail(E.ENOENT);
    if (node.kind === 'file') this.writable(path).mode = mode & 0o7777;
    else if (node.kind === 'directory') {
      const own = this.entries.get(path);
      const stat = { ...node.stat, mode: Mode.directory | (mode & 0o7777) };
      this.entries.set(path, { kind: 'directory', stat, opaque: own?.kind === 'directory' && own.opaque });
    }
  }

  /** Frees guest pages. */
  close(): void {
    for (const file of this.made) file.dispose();
    this.entries.clear();
  }
}
