/** The emulated machine's file system: vcpud as /init, and the modules it loads. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { RevenantError } from '../engine/base/errors.js';
import { reasonOf } from '../engine/base/system-errors.js';
import type { CpioEntry } from './cpio.js';
import { cpioArchive, DIRECTORY, EXECUTABLE, REGULAR } from './cpio.js';
import { type Installation, machineFolder, machineFolders } from './installation.js';
import { moduleLoadOrder, readModule } from './kernel-modules.js';

/** Names the state of files by size and time of change: cheap, and new after every build. */
export function fingerprint(files: readonly string[], ...more: string[]): string {
  const hash = createHash('sha256');
  for (const file of files) {
    const { size, mtimeMs } = fs.statSync(file);
    hash.update(`${file}\0${size}\0${mtimeMs}\0`);
  }
  for (const text of more) hash.update(`${text}\0`);
  return hash.digest('hex').slice(0, 12);
}

function entries({ vcpud, kernel }: Installation): CpioEntry[] {
  const nothing = new Uint8Array();
  const files = moduleLoadOrder(kernel.modules, 'kvm-amd');
  const names = files.map((file) => path.basename(file).replace(/\.ko\.\w+$/, '.ko'));
  return [
    { name: 'dev', mode: DIRECTORY, data: nothing },
    { name: 'sys', mode: DIRECTORY, data: nothing },
    { name: 'modules', mode: DIRECTORY, data: nothing },
    { name: 'modules/order', mode: REGULAR, data: Buffer.from(names.map((name) => `${name}\n`).join('')) },
    ...files.map((file, at) => ({
      name: `modules/${names[at]}`,
      mode: REGULAR,
      data: readModule(file),
    })),
    { name: 'init', mode: EXECUTABLE, data: fs.readFileSync(vcpud) },
  ];
}

/**
 * The initramfs for this installation, made if it is not there yet. Several processes may do so at
 * once: each writes a file of its own and renames it. One that is there is used where nothing can be written, too.
 * Throws E_MACHINE_START, E_SYSTEM where it can be written nowhere.
 */
export function ensureInitramfs(installation: Installation): string {
  const { vcpud, kernel } = installation;
  const name = `initramfs-${fingerprint([vcpud, kernel.kvmAmd])}.cpio`;
  const made = machineFolders()
    .map((folder) => path.join(folder, name))
    .find((file) => fs.existsSync(file));
  if (made !== undefined) return made;
  const file = path.join(machineFolder(), name);
  const temporary = `${file}.${process.pid}`;
  try {
    fs.writeFileSync(temporary, cpioArchive(entries(installation)));
    fs.renameSync(temporary, file);
  } catch (error) {
    const what = `The file system of the emulated machine cannot be written to ${file}: ${reasonOf(error)}.`;
    throw new RevenantError('E_SYSTEM', what, undefined, { cause: error });
  } finally {
    fs.rmSync(temporary, { force: true });
  }
  return file;
}

/** Removes archives of earlier builds. */
export function removeOldInitramfs(folder: string, current: string): void {
  for (const name of fs.readdirSync(folder)) {
    const file = path.join(folder, name);
    if (/^initramfs-.*\.cpio(\.\d+)?$/.test(name) && file !== current) fs.rmSync(file, { force: true });
  }
}
