/**
 * Prepares a Debian machine that has Node and apt: system packages, a kernel for the emulated
 * machine, npm packages, the build. Prints its steps and is fast and silent when nothing is
 * missing. Plain node: it runs before node_modules exists.
 */
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { buildStale, locked, staleParts } from './build.mjs';
import { root, run, say, script, StepFailed } from './lib.mjs';
import { ensureKernel } from './setup-kernel.mjs';
import { ensurePackages } from './setup-packages.mjs';

export { ensureKernel, ensurePackages };

const modified = (name) => fs.statSync(path.join(root, name), { throwIfNoEntry: false })?.mtimeMs ?? 0;

/** Installs the npm packages of package-lock.json unless they are there. */
export function ensureNodeModules() {
  // npm writes this file last, so a broken install is repeated.
  if (modified('node_modules/.package-lock.json') >= modified('package-lock.json')) return false;
  say('setup: installing npm packages');
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
  return true;
}

/** Builds what is out of date. */
export function ensureBuilt() {
  if (staleParts().length === 0) return false;
  buildStale();
  return true;
}

/** Makes the emulated machine's file system; replays would do so themselves, a moment later. */
export async function ensureInitramfs() {
  const machine = (name) => import(pathToFileURL(path.join(root, 'dist/machine', name)).href);
  const { findInstallation, machineFolder } = await machine('installation.js');
  const initramfs = await machine('initramfs.js');
  const folder = machineFolder();
  initramfs.removeOldInitramfs(folder, initramfs.ensureInitramfs(findInstallation()));
}

/** What the emulated machine needs but the build: for an installed package. Throws StepFailed. Returns whether it did anything. */
export const ensureMachineParts = () =>
  locked(() => {
    const packages = ensurePackages('machine');
    return ensureKernel() || packages;
  });

/**
 * All steps. Throws StepFailed with the exact line to run when one of them needs a right that we do
 * not have. Returns whether anything had to be done.
 * @param {{ forTests?: boolean }} options
 */
export const ensureReady = ({ forTests = false } = {}) => locked(() => makeReady(forTests));

/** The kernel of test/host-kvm, whose specs are skipped where there is none. Returns whether it was unpacked. */
async function tryTestKernel() {
  // Not in the package.
  const { ensureTestKernel } = await import('./setup-test-kernel.mjs');
  try {
    return ensureTestKernel();
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error;
    say(error.message);
    return false;
  }
}

async function makeReady(forTests) {
  const packages = ensurePackages('machine', 'build', ...(forTests ? ['tests'] : []));
  const kernel = ensureKernel();
  const testKernel = forTests && (await tryTestKernel());
  const modules = ensureNodeModules();
  const built = ensureBuilt();
  if (kernel || built) await ensureInitramfs();
  return packages || kernel || testKernel || modules || built;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await script(async () => {
    say((await ensureReady()) ? 'setup: ready' : 'setup: everything is there');
  });
}
