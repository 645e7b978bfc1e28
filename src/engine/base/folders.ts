import fs from 'node:fs';
import path from 'node:path';

/**
 * Makes a folder and its missing parents. Not `recursive: true`: if the kernel returns ENOENT for a
 * folder whose parent exists (below /proc), Node 20 creates the parent in an endless loop. @param
 * folder text or the bytes of a name; relative to the working folder. Throws the errors of
 * mkdir(2): EACCES, EROFS, ENOSPC, ENOENT, ENOTDIR...
 */
export function makeFolder(folder: string | Buffer): void {
  try {
    fs.mkdirSync(folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' || code === 'EROFS' || code === 'EACCES' || code === 'EPERM') {
      // A folder that already exists is not an error, even where none could be made.
      if (fs.statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return;
    }
    // "Not a directory" is more specific than "file exists".
    if (code === 'EEXIST') fs.opendirSync(folder as string).closeSync();
    if (code !== 'ENOENT') throw error;
    const parent = parentOf(folder);
    if (parent === null || fs.existsSync(parent)) throw error;
    makeFolder(parent);
    fs.mkdirSync(folder);
  }
}

/** For names in bytes or text; null for the root and for names in the working folder. */
function parentOf(folder: string | Buffer): string | Buffer | null {
  const text = typeof folder === 'string' ? folder : folder.toString('latin1');
  const parent = path.dirname(text);
  if (parent === text || parent === '.') return null;
  return typeof folder === 'string' ? parent : Buffer.from(parent, 'latin1');
}
