/** What a trace and a build are, as digests of their content. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { nameBytes, nameOf } from '../../engine/base/names.js';

/** A file of a folder. */
export interface FileDigest {
  /** Relative, with `/`; bytes that are not UTF-8 as in base/names.ts. */
  name: string;
  bytes: number;
  sha256: string;
}

const PIECE = 1024 ** 2;

/** SHA-256 of a file, read piece by piece. */
export function fileDigest(file: string): { bytes: number; sha256: string } {
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(PIECE);
  const fd = fs.openSync(nameBytes(file), 'r');
  try {
    let bytes = 0;
    for (;;) {
      const count = fs.readSync(fd, buffer);
      if (count === 0) return { bytes, sha256: hash.digest('hex') };
      hash.update(buffer.subarray(0, count));
      bytes += count;
    }
  } finally {
    fs.closeSync(fd);
  }
}

/** Every file below a folder, sorted by name; links are followed. */
export function folderDigest(folder: string): FileDigest[] {
  const found: FileDigest[] = [];
  const walk = (below: string): void => {
    for (const entry of fs.readdirSync(nameBytes(path.join(folder, below)), 'buffer').map(nameOf)) {
      const name = below === '' ? entry : `${below}/${entry}`;
      const file = path.join(folder, name);
      const stat = fs.statSync(nameBytes(file), { throwIfNoEntry: false });
      if (stat?.isDirectory()) walk(name);
      else if (stat?.isFile()) found.push({ name, ...fileDigest(file) });
    }
  };
  walk('');
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** One digest for a list of files. */
export function listDigest(files: readonly FileDigest[]): string {
  const hash = createHash('sha256');
  for (const { name, bytes, sha256 } of files) hash.update(JSON.stringify([name, bytes, sha256]));
  return hash.digest('hex');
}
