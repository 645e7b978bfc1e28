/** Kernel module files: which ones a module needs, in what order they are loaded. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

/** Where the modules that KVM on AMD needs can be; whole trees have thousands of files. */
const FOLDERS = [
  'kernel/virt/lib',
  'kernel/arch/x86/kvm',
  'kernel/drivers/crypto/ccp',
  'kernel/drivers/char/hw_random',
];

const DECOMPRESSORS: Record<string, string> = { '.xz': 'xz', '.zst': 'zstd', '.gz': 'gzip' };

/** A module's bytes, unpacked where the distribution compresses modules. */
export function readModule(file: string): Buffer {
  const tool = DECOMPRESSORS[path.extname(file)];
  if (!tool) return fs.readFileSync(file);
  return execFileSync(tool, ['-dc', file], { maxBuffer: 1 << 28 });
}

/** The module's name in the kernel: no folder, no suffix, `-` and `_` are the same. */
export function moduleName(file: string): string {
  return path
    .basename(file)
    .replace(/\.ko(\.\w+)?$/, '')
    .replaceAll('-', '_');
}

/** Names in the `depends=` entry of a module's .modinfo section. */
export function moduleDepends(bytes: Buffer): string[] {
  // Entries are NUL-terminated strings, one after another.
  const at = bytes.indexOf('\0depends=', 0, 'latin1');
  if (at < 0) return [];
  const start = at + '\0depends='.length;
  const text = bytes.subarray(start, bytes.indexOf(0, start)).toString('latin1');
  return text.split(',').filter((name) => name !== '');
}

/** Module files of the folders above, by name. */
function moduleFiles(folder: string): Map<string, string> {
  const files = new Map<string, string>();
  for (const part of FOLDERS) {
    const inside = path.join(folder, part);
    if (!fs.existsSync(inside)) continue;
    for (const name of fs.readdirSync(inside)) {
      if (/\.ko(\.\w+)?$/.test(name)) files.set(moduleName(name), path.join(inside, name));
    }
  }
  return files;
}

/**
 * One module's file, or null.
 * @param folder /lib/modules/RELEASE
 */
export function findModule(folder: string, name: string): string | null {
  return moduleFiles(folder).get(moduleName(name)) ?? null;
}

/**
 * Files of a module and of all it depends on, in load order. A dependency without a file is assumed to be built in;
 * if it is not, the kernel reports it when the machine starts.
 * @param folder /lib/modules/RELEASE
 */
export function moduleLoadOrder(folder: string, wanted: string): string[] {
  const files = moduleFiles(folder);
  const order: string[] = [];
  const visit = (name: string): void => {
    const file = files.get(moduleName(name));
    if (!file) return;
    files.delete(moduleName(name)); // once each
    moduleDepends(readModule(file)).forEach(visit);
    order.push(file);
  };
  visit(wanted);
  return order;
}
