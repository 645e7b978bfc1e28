/** Where the parts of the emulated machine are on this computer. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { RevenantError } from '../engine/base/errors.js';
import { makeFolder } from '../engine/base/folders.js';
import { nativeFolder, projectRoot } from '../engine/base/native-folder.js';
import { findModule } from './kernel-modules.js';

const APT_QEMU = 'apt-get install --no-install-recommends qemu-system-x86';
const APT_KERNEL = 'apt-get install linux-image-cloud-amd64';
const SETUP = 'or run `revenant setup`, which does it';

export interface Kernel {
  release: string;
  image: string;
  /** Its modules: lib/modules/RELEASE. */
  modules: string;
  /** The module that decides whether it will do. */
  kvmAmd: string;
}

export interface Installation {
  qemu: string;
  kernel: Kernel;
  keeper: string;
  vcpud: string;
}

function isReadable(file: string, mode = fs.constants.R_OK): boolean {
  try {
    fs.accessSync(file, mode);
    return fs.statSync(file).isFile();
  } catch {
    return false;
  }
}

function list(folder: string): string[] {
  try {
    return fs.readdirSync(folder);
  } catch {
    return [];
  }
}

/** Newest first, comparing runs of digits as numbers: 6.1.0-56 after 6.1.0-9. */
export function byRelease(a: string, b: string): number {
  return b.localeCompare(a, 'en', { numeric: true });
}

/** Kernels below a root folder that have a readable image and kvm-amd, newest first. */
export function kernelsBelow(root: string): Kernel[] {
  const found: Kernel[] = [];
  for (const release of list(path.join(root, 'lib/modules')).sort(byRelease)) {
    const image = path.join(root, 'boot', `vmlinuz-${release}`);
    if (!isReadable(image)) continue;
    const modules = path.join(root, 'lib/modules', release);
    const kvmAmd = findModule(modules, 'kvm-amd');
    if (kvmAmd) found.push({ release, image, modules, kvmAmd });
  }
  return found;
}

/** Folders to search; replaced in tests. */
export interface Places {
  /** The project. */
  root: string;
  /** Folders for qemu-system-x86_64. */
  programs: readonly string[];
  /** What /boot and /lib/modules are below. */
  system: string;
  /** Revenant's folder in the user's cache; null for a user without a home. */
  cache: string | null;
}

function userCache(): string | null {
  try {
    return path.join(os.homedir(), '.cache/revenant');
  } catch {
    return null;
  }
}

const HERE: Places = {
  root: projectRoot,
  programs: ['/usr/local/bin', '/usr/bin', '/bin'],
  system: '/',
  cache: userCache(),
};

/** Folders for generated files, in order of preference: scripts/lib.mjs chooses in the same way. */
const ownFolders = ({ root, cache }: Pick<Places, 'root' | 'cache'>, name: string): string[] => [
  path.join(root, 'build', name),
  ...(cache === null ? [] : [path.join(cache, name)]),
];

/** The kernel that set-up unpacked, else the newest installed one. */
export function findKernel(places: Places = HERE): Kernel | null {
  const roots = ownFolders(places, 'kernel').flatMap((unpacked) =>
    list(unpacked)
      .filter((name) => name.startsWith('linux-image-'))
      .sort(byRelease)
      .map((name) => path.join(unpacked, name)),
  );
  for (const folder of [...roots, places.system]) {
    const [newest] = kernelsBelow(folder);
    if (newest) return newest;
  }
  return null;
}

/** The keeper, which is also the client of running ones. */
export const keeperProgram = (root = projectRoot): string => path.join(nativeFolder(root), 'revenant-keeper');

/** Finds all parts. Throws E_MACHINE_START with what to install or run when one is missing. */
export function findInstallation(places: Places = HERE): Installation {
  const { root, programs } = places;
  const qemu = programs
    .map((folder) => path.join(folder, 'qemu-system-x86_64'))
    .find((file) => isReadable(file, fs.constants.X_OK));
  if (!qemu) {
    throw missing('QEMU (qemu-system-x86_64) is not installed', `${APT_QEMU}\n${SETUP}`);
  }
  const kernel = findKernel(places);
  if (!kernel) {
    throw missing(
      'no readable kernel with the kvm-amd module was found in /boot and /lib/modules or build/kernel',
      `${APT_KERNEL}\n${SETUP}`,
    );
  }
  const keeper = keeperProgram(root);
  const vcpud = path.join(nativeFolder(root), 'vcpud');
  for (const file of [keeper, vcpud]) {
    if (!isReadable(file, fs.constants.X_OK)) throw missing(`${file} is not built`, 'npm run build');
  }
  return { qemu, kernel, keeper, vcpud };
}

/** Something that a package manager or `revenant setup` provides is not installed. */
export class MachinePartMissing extends RevenantError {}

function missing(what: string, todo: string): RevenantError {
  return new MachinePartMissing(
    'E_MACHINE_START',
    `The emulated machine cannot be started: ${what}.`,
    `Run: ${todo}`,
  );
}

/** Where the file system of the emulated machine may be, the best first. */
export const machineFolders = (root = projectRoot): string[] =>
  ownFolders({ root, cache: userCache() }, 'machine');

/**
 * The folder for what is made on demand: build/machine of the project, or the user's cache folder
 * where the project is read-only. It exists and can be written to.
 */
export function machineFolder(root = projectRoot): string {
  const choices = machineFolders(root);
  for (const folder of choices) {
    try {
      makeFolder(folder);
      fs.accessSync(folder, fs.constants.W_OK);
      return folder;
    } catch {
      continue;
    }
  }
  throw missing(`neither ${choices.join(' nor ')} can be written`, 'chmod, or a folder of your own');
}
