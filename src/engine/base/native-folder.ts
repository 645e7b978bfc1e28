/** Where the compiled parts are: the addon, the keeper of the emulated machine and the program inside it. */
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The project's folder, or the installed package's: this file is src/engine/base/x.ts or dist/engine/base/x.js in it. */
export const projectRoot = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');

/** The folder of binaries that were compiled here; otherwise of the package's prebuilt ones, if any. */
export function nativeFolder(root = projectRoot): string {
  const built = path.join(root, 'build/native/Release');
  const shipped = path.join(root, 'prebuilds', `${process.platform}-${process.arch}`);
  const has = (folder: string): boolean => fs.existsSync(path.join(folder, 'bare.rom'));
  return !has(built) && has(shipped) ? shipped : built;
}
