/** The emulated machine's file system: vcpud as /init, the libraries that it is linked with, and the modules it loads. */
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

/** Beside vcpud where it is linked with it (native/machine/CMakeLists.txt). */
const LIBRARY = /^libZydis\.so\.[\d.]+$/;
const LOADER = /^ld-linux[^/]*\.so\.\d+$/;
const C_LIBRARY = /^lib[cm]\.so\.6$/;

const libraryOf = (vcpud: string): string[] =>
  fs
    .readdirSync(path.dirname(vcpud))
    .filter((name) => LIBRARY.test(name))
    .map((name) => path.join(path.dirname(vcpud), name));

/** The C library and its loader, as this very process has them: nobody else needs to say where they are. */
function runtimeFiles(): CpioEntry[] {
  const { sharedObjects = [] } = process.report.getReport() as { sharedObjects?: string[] };
  return sharedObjects.flatMap((file) => {
    const name = path.basename(file);
    const isLoader = LOADER.test(name);
    if (!isLoader && !C_LIBRARY.test(name)) return [];
    return [{ name: `${isLoader ? 'lib64' : 'lib'}/${name}`, mode: EXECUTABLE, data: fs.readFileSync(file) }];
  });
}

function libraryEntries(vcpud: string): CpioEntry[] {
  const libraries = libraryOf(vcpud);
  if (libraries.length === 0) return [];
  const nothing = new Uint8Array();
  return [
    { name: 'lib', mode: DIRECTORY, data: nothing },
    { name: 'lib64', mode: DIRECTORY, data: nothing },
    ...runtimeFiles(),
    ...libraries.map((file) => ({
      name: `lib/${path.basename(file)}`,
      mode: EXECUTABLE,
      data: fs.readFileSync(file),
    })),
  ];
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
    ...libraryEntries(vcpud),
    { name: 'init', mode: EXECUTABLE, data: fs.readFileSync(vcpud) },
  ];
}

/**
 * The initramfs for this installation, created if it does not exist yet. Several processes may do
 * so at the same time: each writes its own file and renames it. An existing one is also used where
 * nothing can be written. Throws E_MACHINE_START, E_SYSTEM if it cannot be written anywhere.
 */
export function ensureInitramfs(installation: Installation): string {
  const { vcpud, kernel } = installation;
  const name = `initramfs-${fingerprint([vcpud, ...libraryOf(vcpud), kernel.kvmAmd])}.cpio`;
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
