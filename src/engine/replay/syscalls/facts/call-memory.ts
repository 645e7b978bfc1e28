/** Arguments of a call that has returned, and what they point to. */
import { gva, type Gva } from '../../../base/address.js';
import { nameOf } from '../../../base/names.js';
import { Reg, getSigned, getUnsigned, type RegisterWords } from '../../../base/registers.js';
import type { Task } from '../../../task/task.js';

const MAX_PATH = 4096;
const AT_FDCWD = -100;
/** UIO_MAXIOV. */
const MAX_IOVECS = 1024;
/** What one call may transfer of which the bytes are kept. */
const MAX_BYTES = 64 << 20;
const SLOTS = [Reg.rdi, Reg.rsi, Reg.rdx, Reg.r10, Reg.r8, Reg.r9];

export class ReturnedCall {
  constructor(
    readonly task: Task,
    readonly number: number,
    private readonly registers: RegisterWords,
    readonly result: number,
  ) {}

  /** As the kernel takes an int. */
  int(index: number): number {
    return this.registers[2 * SLOTS[index]] | 0;
  }

  long(index: number): number {
    return getSigned(this.registers, SLOTS[index]);
  }

  pointer(index: number): Gva {
    return gva(getUnsigned(this.registers, SLOTS[index]));
  }

  /** `size` bytes, or null where not all of them are mapped. */
  peek(at: number, size: number): DataView | null {
    const bytes = new Uint8Array(size);
    const isThere = at > 0 && this.task.space.read(gva(at), bytes) === size;
    return isThere ? new DataView(bytes.buffer) : null;
  }

  /** As many of `size` bytes as are mapped. */
  bytes(at: number, size: number): Uint8Array {
    const bytes = new Uint8Array(Math.min(Math.max(0, size), MAX_BYTES));
    return bytes.subarray(0, at > 0 ? this.task.space.read(gva(at), bytes) : 0);
  }

  /** The first `total` bytes of the pieces that an array of struct iovec names. */
  vector(at: number, count: number, total: number): Uint8Array {
    const vectors = this.bytes(at, 16 * Math.min(Math.max(0, count), MAX_IOVECS));
    const view = new DataView(vectors.buffer, 0, vectors.length);
    const bytes = new Uint8Array(Math.min(Math.max(0, total), MAX_BYTES));
    let done = 0;
    for (let entry = 0; entry + 16 <= vectors.length && done < bytes.length; entry += 16) {
      const size = Math.min(Number(view.getBigUint64(entry + 8, true)), bytes.length - done);
      bytes.set(this.bytes(Number(view.getBigUint64(entry, true)), size), done);
      done += size;
    }
    return bytes.subarray(0, done);
  }

  text(at: number): string | null {
    const bytes = this.bytes(at, MAX_PATH);
    const end = bytes.indexOf(0);
    return end < 0 ? null : nameOf(bytes.subarray(0, end));
  }

  /**
   * A path argument, absolute and normalized if its base directory is known, with known symbolic
   * links resolved; `follows`: including the last component.
   */
  path(index: number, directory = AT_FDCWD, follows = true): string | null {
    const path = this.plainPath(index, directory);
    return path?.startsWith('/') ? this.task.fds.files.world.resolve(path, follows) : path;
  }

  private plainPath(index: number, directory: number): string | null {
    const text = this.text(this.pointer(index));
    if (text === null || text === '') return null;
    if (text.startsWith('/')) return normal(text);
    const { task } = this;
    const base =
      directory === AT_FDCWD ? task.group.directory : (task.fds.files.find(directory)?.path ?? null);
    if (base?.startsWith('/')) return normal(`${base}/${text}`);
    return directory === AT_FDCWD ? text : null;
  }
}

/** Without `.`, `..` and double slashes. */
export function normal(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return `/${parts.join('/')}`;
}

/** The kernel generates such a file for each open: neither size nor identity determine its bytes. */
export const isOfKernel = (path: string): boolean => /^\/(proc|sys)\//.test(path);
