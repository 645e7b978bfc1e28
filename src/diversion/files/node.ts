import type { SharedObject } from '../../engine/mm/backing.js';

/** S_IF* (include/uapi/linux/stat.h). */
export const Mode = {
  typeMask: 0o170000,
  socket: 0o140000,
  link: 0o120000,
  regular: 0o100000,
  block: 0o060000,
  directory: 0o040000,
  character: 0o020000,
  fifo: 0o010000,
} as const;

export { Open } from '../../engine/base/file-abi.js';

/** The result of stat(2). */
export interface FileStat {
  readonly mode: number;
  readonly size: number;
  readonly inode: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: readonly [number, number];
  readonly device: number;
  /** st_rdev of devices. */
  readonly special?: number;
}

export interface DirectoryEntry {
  readonly name: string;
  readonly inode: number;
  readonly mode: number;
}

/** The content of a regular file. */
export interface FileContent {
  /** The trace has it. */
  readonly isRecorded?: boolean;
  stat(): FileStat;
  /** Reads up to `into.length` bytes; 0 past the end. */
  read(offset: number, into: Uint8Array): number;
  /** Absent: the file is read-only. */
  write?(offset: number, bytes: Uint8Array): number;
  truncate?(size: number): void;
  /** What a shared mapping maps; absent: shared mappings see the content as it is. */
  shared?(): SharedObject;
  /** An open description refers to it, from now on until `close`. */
  hold?(): void;
  close?(): void;
}

/** The target of a path, following symbolic links. */
export type Node =
  | { readonly kind: 'file'; readonly content: FileContent }
  | { readonly kind: 'directory'; readonly stat: FileStat }
  | { readonly kind: 'link'; readonly target: string; readonly stat: FileStat }
  | { readonly kind: 'device'; readonly name: DeviceName; readonly stat: FileStat }
  | { readonly kind: 'descriptor'; readonly fd: number; readonly stat: FileStat };

export type DeviceName = 'null' | 'zero' | 'full' | 'random' | 'tty';

export const statOf = (node: Node): FileStat => (node.kind === 'file' ? node.content.stat() : node.stat);

/** The files below the overlay, and the generated ones: read-only. */
export interface FileLayer {
  /** As lstat; null: no such file here. May throw Errno. */
  find(path: string): Node | null;
  /** The names in a directory; null: not a directory of this layer. */
  list(path: string): DirectoryEntry[] | null;
  /** Nothing is there, even if lower layers have something. */
  isGone?(path: string): boolean;
  /** `list` has all names of the folder, even if lower layers have more. */
  isWhole?(path: string): boolean;
}
