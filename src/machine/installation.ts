/** Where the parts of the emulated machine are on this computer. */
import fs from 'node:fs';
import path from 'node:path';
import { RevenantError } from '../engine/base/errors.js';
import { nativeFolder, projectRoot } from '../engine/base/native-folder.js';

const APT_QEMU = 'apt-get install --no-install-recommends qemu-system-x86';
const SETUP = 'or run `revenant setup`, which does it';

export interface Installation {
  qemu: string;
  keeper: string;
  /** What the machine executes: native/bare. */
  image: string;
}

function isReadable(file: string, mode = fs.constants.R_OK): boolean {
  try {
    fs.accessSync(file, mode);
    return fs.statSync(file).isFile();
  } catch {
    return false;
  }
}

/** Folders to search; replaced in tests. */
export interface Places {
  /** The project. */
  root: string;
  /** Folders for qemu-system-x86_64. */
  programs: readonly string[];
}

const HERE: Places = {
  root: projectRoot,
  programs: ['/usr/local/bin', '/usr/bin', '/bin'],
};

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
  const keeper = keeperProgram(root);
  const image = path.join(nativeFolder(root), 'bare.rom');
  if (!isReadable(keeper, fs.constants.X_OK)) throw missing(`${keeper} is not built`, 'npm run build');
  if (!isReadable(image)) throw missing(`${image} is not built`, 'npm run build');
  return { qemu, keeper, image };
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
