/**
 * Prepares a Debian machine that has Node and apt: system packages, npm packages, the build; QEMU for the
 * emulated machine where the process machine does not work, or with `--emulated`. Prints its steps and is fast and
 * silent when nothing is missing. Plain node: it runs before node_modules exists.
 */
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { buildStale, locked } from './build.mjs';
import { hasCommand, root, run, say, script, StepFailed } from './lib.mjs';
import { ensurePackages } from './setup-packages.mjs';

export { ensurePackages };

const modified = (name) => fs.statSync(path.join(root, name), { throwIfNoEntry: false })?.mtimeMs ?? 0;

/** Installs the npm packages of package-lock.json unless they are there. */
export function ensureNodeModules() {
  // npm writes this file last, so a broken install is repeated.
  if (modified('node_modules/.package-lock.json') >= modified('package-lock.json')) return false;
  say('setup: installing npm packages');
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
  return true;
}

/** Why no process can be a machine here, or null. Precondition: it is built. */
async function processProblem() {
  const { openProcess } = await import(pathToFileURL(path.join(root, 'dist/machine/process.js')).href);
  try {
    openProcess({ memoryMiB: 64 }).close();
    return null;
  } catch (error) {
    return error.message;
  }
}

/** What the emulated machine needs but the build: for an installed package. Throws StepFailed. Returns whether it did anything. */
export const ensureMachineParts = () => locked(() => ensurePackages('machine'));

/**
 * All steps. Throws StepFailed with the exact line to run when one of them needs a right that we do
 * not have. Returns whether anything had to be done.
 * @param {{ forTests?: boolean, emulated?: boolean }} options `emulated`: with the emulated machine, also where traces
 * replay without it
 */
export const ensureReady = (options = {}) => locked(() => makeReady(options));

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

async function makeReady({ forTests = false, emulated = false }) {
  const packages = ensurePackages('build', ...(forTests ? ['tests'] : []));
  const modules = ensureNodeModules();
  const built = await buildStale({ forTests });
  const withEmulated = emulated || hasCommand('qemu-system-x86_64') || (await processProblem()) !== null;
  const parts = withEmulated && ensurePackages('machine');
  const testKernel = forTests && withEmulated && (await tryTestKernel());
  return packages || parts || testKernel || modules || built;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await script(async () => {
    say(
      (await ensureReady({ emulated: process.argv.includes('--emulated') }))
        ? 'setup: ready'
        : 'setup: everything is there',
    );
  });
}
