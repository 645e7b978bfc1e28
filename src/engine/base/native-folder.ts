/** Where the project is, and its compiled parts: the addon, the keeper of the emulated machine and the program inside it. */
import fs from 'node:fs';
import path from 'node:path';

/** The nearest folder above with a package.json: this module is also part of bundles (scripts/build.mjs). */
function findRoot(): string {
  for (let at = import.meta.dirname; ; at = path.dirname(at))
    if (fs.existsSync(path.join(at, 'package.json')) || at === path.dirname(at)) return at;
}

/** The project's folder, or the installed package's. */
export const projectRoot = findRoot();

/** Of the package. */
export function packageVersion(): string {
  const text = fs.readFileSync(path.join(projectRoot, 'package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** The folder of binaries that were compiled here; otherwise of the package's prebuilt ones, if any. */
export function nativeFolder(root = projectRoot): string {
  const built = path.join(root, 'build/native/Release');
  const shipped = path.join(root, 'prebuilds', `${process.platform}-${process.arch}`);
  const has = (folder: string): boolean => fs.existsSync(path.join(folder, 'bare.rom'));
  return !has(built) && has(shipped) ? shipped : built;
}
