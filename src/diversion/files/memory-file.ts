import { PAGE_SIZE } from '../../engine/base/address.js';
import type { GuestMemory } from '../../engine/kvm/guest-memory.js';
import { SharedObject } from '../../engine/mm/backing.js';
import { E, fail } from '../base/errno.js';
import { Mode, type FileContent, type FileStat } from './node.js';

/** Limit of the total size of written files. */
export class FileBudget {
  private used = 0;

  constructor(private readonly limit: number) {}

  /** Throws ENOSPC. */
  change(delta: number): void {
    if (delta > 0 && this.used + delta > this.limit) fail(E.ENOSPC);
    this.used += delta;
  }
}

/**
 * A regular file that the diversion wrote: bytes in our memory, or, once it is mapped as shared, guest pages
 * that read and write see as the mappings do.
 */
export class MemoryFile implements FileContent {
  private bytes: Uint8Array;
  private length: number;
  private object: SharedObject | null = null;
  links = 1;
  mtime: readonly [number, number];
  /** Of the file that it is a copy of. */
  identity: Pick<FileStat, 'device' | 'inode' | 'uid' | 'gid'> | null = null;

  constructor(
    private readonly budget: FileBudget,
    private readonly memory: GuestMemory,
    readonly inode: number,
    public mode: number,
    private readonly owner: { uid: number; gid: number },
    private readonly now: () => readonly [number, number],
    content: Uint8Array = new Uint8Array(0),
  ) {
    budget.change(content.length);
    this.bytes = content;
    this.length = content.length;
    this.mtime = now();
  }

  stat(): FileStat {
    return {
      mode: Mode.regular | this.mode,
      size: this.length,
      inode: this.identity?.inode ?? this.inode,
      links: this.links,
      uid: (this.identity ?? this.owner).uid,
      gid: (this.identity ?? this.owner).gid,
      mtime: this.mtime,
      device: this.identity?.device ?? 0x2a,
    };
  }

  read(offset: number, into: Uint8Array): number {
    const count = Math.min(into.length, Math.max(0, this.length - offset));
    if (count === 0) return 0;
    if (this.object === null) into.set(this.bytes.subarray(offset, offset + count));
    else this.eachPage(offset, count, (page, done) => into.set(page, done));
    return count;
  }

  write(offset: number, bytes: Uint8Array): number {
    if (offset + bytes.length > this.length) this.resize(offset + bytes.length);
    if (this.object === null) this.bytes.set(bytes, offset);
    else
      this.eachPage(offset, bytes.length, (page, done) => page.set(bytes.subarray(done, done + page.length)));
    this.mtime = this.now();
    return bytes.length;
  }

  truncate(size: number): void {
    if (size < this.length) {
      const cut = Math.min(this.length, size + PAGE_SIZE);
      if (this.object === null) this.bytes.fill(0, size, this.length);
      else this.eachPage(size, cut - size, (page) => page.fill(0));
    }
    this.resize(size);
    this.mtime = this.now();
  }

  /** From now on the content is in guest pages, one count of them ours. */
  shared(): SharedObject {
    if (this.object) return this.object;
    const object = new SharedObject(this.memory, '[file]');
    object.mappings++;
    const { bytes, length } = this;
    this.object = object;
    this.eachPage(0, length, (page, done) => page.set(bytes.subarray(done, done + page.length)));
    this.bytes = new Uint8Array(0);
    return object;
  }

  /** When the diversion ends. */
  dispose(): void {
    if (this.object && --this.object.mappings === 0) this.object.destroy();
    this.object = null;
  }

  private resize(size: number): void {
    if (size > 2 ** 40) fail(E.EFBIG);
    this.budget.change(size - this.length);
    if (this.object === null && size > this.bytes.length) {
      const grown = new Uint8Array(
        Math.max(size, Math.min(this.bytes.length * 2, this.bytes.length + 2 ** 20)),
      );
      grown.set(this.bytes.subarray(0, this.length));
      this.bytes = grown;
    }
    this.length = size;
  }

  private eachPage(offset: number, size: number, use: (part: Uint8Array, done: number) => void): void {
    const { object, memory } = this;
    if (!object) return;
    for (let done = 0; done < size;) {
      const at = offset + done;
      const page = object.page(Math.floor(at / PAGE_SIZE)) + (at % PAGE_SIZE);
      const count = Math.min(size - done, PAGE_SIZE - (at % PAGE_SIZE));
      use(memory.bytes.subarray(page, page + count), done);
      done += count;
    }
  }
}
