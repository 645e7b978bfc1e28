/** What the emulated machine is made of, beside our own code: QEMU and a kernel. scripts/ provides them. */
import fs from 'node:fs';
import path from 'node:path';
import { RevenantError } from '../engine/base/errors.js';
import { projectRoot } from '../engine/base/native-folder.js';
import type { CommandIo } from './output.js';

/** scripts/setup.mjs: plain JavaScript, since it runs before anything is built. */
interface SetUp {
  /** Throws an Error whose message says what a person must run. Returns whether anything had to be done. */
  ensureMachineParts(): Promise<boolean>;
}

/** Installs them. Throws E_MACHINE_START with what has to be done by hand. Returns whether anything was missing. */
export async function installMachineParts(): Promise<boolean> {
  const url = new URL('../../scripts/setup.mjs', import.meta.url);
  const { ensureMachineParts } = (await import(url.href)) as SetUp;
  try {
    return await ensureMachineParts();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new RevenantError('E_MACHINE_START', reason, undefined, { cause });
  }
}

/**
 * Runs an action. Of an installed package that finds a part of the emulated machine missing, installs it, once, and
 * runs the action again; REVENANT_SETUP=never forbids that. In the project itself bin/revenant has done so before.
 */
export async function withMachineParts<T>(action: () => T | Promise<T>, io: CommandIo): Promise<T> {
  try {
    return await action();
  } catch (error) {
    const { MachinePartMissing } = await import('../machine/installation.js');
    const isPackage = !fs.existsSync(path.join(projectRoot, 'tsconfig.json'));
    if (!(error instanceof MachinePartMissing) || !isPackage || process.env.REVENANT_SETUP === 'never')
      throw error;
    io.err(`revenant: ${error.message} Installing what is missing, once.\n`);
    if (!(await installMachineParts())) throw error;
    return await action();
  }
}
