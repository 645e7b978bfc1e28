/** The external part of the emulated machine, QEMU, installed by scripts/. */
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { RevenantError } from '../engine/base/errors.js';
import { projectRoot } from '../engine/base/native-folder.js';
import type { CommandIo } from './output.js';

/** scripts/setup.mjs: plain JavaScript, since it runs before anything is built. */
interface SetUp {
  /** Throws an Error whose message has the commands to run. Returns whether anything had to be done. */
  ensureMachineParts(): Promise<boolean>;
}

/** `import()`, which the bundle, a script, does not have. */
export type ImportModule = (url: string) => Promise<unknown>;

/** Installs them. Throws E_MACHINE_START with the manual steps. Returns whether anything was missing. */
export async function installMachineParts(importModule: ImportModule): Promise<boolean> {
  const url = pathToFileURL(path.join(projectRoot, 'scripts/setup.mjs'));
  const { ensureMachineParts } = (await importModule(url.href)) as SetUp;
  try {
    return await ensureMachineParts();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new RevenantError('E_MACHINE_START', reason, undefined, { cause });
  }
}

/**
 * Runs an action. If a part of the emulated machine is missing, an installed package installs it,
 * once, and runs the action again, unless REVENANT_SETUP=never. In a clone bin/revenant has
 * installed it before.
 */
export async function withMachineParts<T>(
  action: () => T | Promise<T>,
  io: CommandIo,
  importModule: ImportModule,
): Promise<T> {
  try {
    return await action();
  } catch (error) {
    const { MachinePartMissing } = await import('../machine/installation.js');
    const isPackage = !fs.existsSync(path.join(projectRoot, 'tsconfig.json'));
    if (!(error instanceof MachinePartMissing) || !isPackage || process.env.REVENANT_SETUP === 'never')
      throw error;
    io.err(`revenant: ${error.message} Installing it now.\n`);
    if (!(await installMachineParts(importModule))) throw error;
    return await action();
  }
}
