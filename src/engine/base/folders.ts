import fs from 'node:fs';
import path from 'node:path';

/**
 * Makes a folder and those that it lies in, as far as they are missing. Not `recursive: true`: where the kernel answers
 * ENOENT for a folder whose parent exists (below /proc), that of Node 20 makes the parent for ever.
 * @param folder text or the bytes of a name; relative to the working folder
 * Throws what mkdir(2) answers: EACCES, EROFS, ENOSPC, ENOENT, ENOTDIR...
 */
export function makeFolder(folder: string | Buffer): void {
  try {
    fs.mkdirSync(folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' || code === 'EROFS' || code === 'EACCES' || code === 'EPERM') {
      // A folder that exists already is well, also where none could be made.
      if (fs.statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return;
    }
    // "Not a directory" says more than that something is there.
    if (code === 'EEXIST') fs.opendirSync(folder as string).closeSync();
    if (code !== 'ENOENT') throw error;
    const parent = parentOf(folder);
    if (parent === null || fs.existsSync(parent)) throw error;
    makeFolder(parent);
    fs.mkdirSync(folder);
  }
}

/** Of a name in bytes as of one in text; null for the root and for what lies in the working folder. */
function parentOf(folder: string | Buffer): string | Buffer | null {
  const text = typeof folder === 'string' ? folder : folder.toString('latin1');
  const parent = path.dirname(text);
  if (parent === text || parent === '.') return null;
  return typeof folder === 'string' ? parent : Buffer.from(parent, 'latin1');
}
