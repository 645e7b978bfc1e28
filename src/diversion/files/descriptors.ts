import { E, fail } from '../base/errno.js';
import type { OpenFile } from './open-file.js';

interface Descriptor {
  readonly file: OpenFile;
  closeOnExec: boolean;
}

const LIMIT = 1024;

/** The descriptors of a process, or of several that share them. */
export class Descriptors {
  private readonly table = new Map<number, Descriptor>();
  /** Processes that use it. */
  users = 1;

  [Symbol.iterator](): IterableIterator<[number, Descriptor]> {
    return this.table[Symbol.iterator]();
  }

  /** @throws EBADF */
  get(fd: number): OpenFile {
    return this.table.get(fd)?.file ?? fail(E.EBADF);
  }

  find(fd: number): OpenFile | null {
    return this.table.get(fd)?.file ?? null;
  }

  /**
   * The lowest free number from `first` on.
   * @throws EMFILE
   */
  add(file: OpenFile, closeOnExec: boolean, first = 0): number {
    let fd = first;
    while (this.table.has(fd)) fd++;
    if (fd >= LIMIT) fail(E.EMFILE);
    this.set(fd, file, closeOnExec);
    return fd;
  }

  /** An open descriptor of this number is closed. */
  set(fd: number, file: OpenFile, closeOnExec: boolean): void {
    if (fd < 0 || fd >= LIMIT) fail(E.EBADF);
    file.retain();
    const before = this.table.get(fd);
    this.table.set(fd, { file, closeOnExec });
    before?.file.release();
  }

  close(fd: number): void {
    const { file } = this.table.get(fd) ?? fail(E.EBADF);
    this.table.delete(fd);
    file.release();
  }

  closesOnExec(fd: number): boolean {
    return (this.table.get(fd) ?? fail(E.EBADF)).closeOnExec;
  }

  setCloseOnExec(fd: number, on: boolean): void {
    (this.table.get(fd) ?? fail(E.EBADF)).closeOnExec = on;
  }

  closeForExec(): void {
    for (const [fd, { closeOnExec }] of [...this.table]) if (closeOnExec) this.close(fd);
  }

  clone(): Descriptors {
    const copy = new Descriptors();
    for (const [fd, { file, closeOnExec }] of this.table) {
      file.retain();
      copy.table.set(fd, { file, closeOnExec });
    }
    return copy;
  }

  /** A process does not use it any more. */
  leave(): void {
    if (--this.users > 0) return;
    for (const fd of [...this.table.keys()]) this.close(fd);
  }
}
