/** System packages, by apt: what the build, the emulated machine and the tests need. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { hasCommand, run, say, StepFailed } from './lib.mjs';

/** For what -> command, or absolute path of a file -> the Debian package that has it. */
const needed = {
  machine: {
    'qemu-system-x86_64': 'qemu-system-x86',
  },
  build: {
    'g++': 'g++',
    make: 'make',
    cmake: 'cmake',
    // A library: by its header.
    '/usr/include/Zydis/Zydis.h': 'libzydis-dev',
  },
  tests: {
    xz: 'xz-utils',
    rr: 'rr',
    gdb: 'gdb',
    lldb: 'lldb',
    'clang-format': 'clang-format',
    chromium: 'chromium',
    'redis-server': 'redis-server',
    xmllint: 'libxml2-utils',
    capnp: 'capnproto',
    zsh: 'zsh',
    fish: 'fish',
  },
};

const APT_OPTIONS = ['-q', '-y', '-o', 'DPkg::Lock::Timeout=300'];

/** How to become root: [] if we are, ['sudo', '-n'] if that works without a password, else null. */
function rootPrefix() {
  if (process.getuid() === 0) return [];
  const sudo = hasCommand('sudo') && spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status === 0;
  return sudo ? ['sudo', '-n'] : null;
}

/** Whether apt knows any package: images of containers come with empty lists. */
export function haveAptLists() {
  try {
    return fs.readdirSync('/var/lib/apt/lists').some((name) => name.includes('_Packages'));
  } catch {
    return false;
  }
}

/** Runs apt-get as root. Throws StepFailed when we cannot, with the line that a person can run. */
export function aptGet(...args) {
  const prefix = rootPrefix();
  const line = `apt-get ${args.join(' ')}`;
  if (prefix === null) throw new StepFailed(`setup: root is needed for this; please run: sudo ${line}`);
  const environment = ['env', 'DEBIAN_FRONTEND=noninteractive'];
  const [command, ...rest] = [...prefix, ...environment, 'apt-get', ...APT_OPTIONS, ...args];
  run(command, rest);
}

/** Fetches apt's lists if there are none. */
export function ensureAptLists() {
  if (!haveAptLists()) aptGet('update');
}

/**
 * Installs the packages whose commands are missing. Returns whether anything was installed. Throws
 * StepFailed. If a package that only tests need is unavailable, this is reported, but is not a
 * failure: specs that need it are skipped or report it.
 * @param {readonly (keyof typeof needed)[]}
 * uses
 */
export function ensurePackages(...uses) {
  const firm = uses.filter((use) => use !== 'tests');
  const installed = install(Object.assign({}, ...firm.map((use) => needed[use])));
  if (!uses.includes('tests')) return installed;
  try {
    return install(needed.tests) || installed;
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error;
    say(error.message);
    return installed;
  }
}

function install(wanted) {
  const isThere = (name) => (path.isAbsolute(name) ? fs.existsSync(name) : hasCommand(name));
  const missing = Object.entries(wanted).filter(([name]) => !isThere(name));
  if (missing.length === 0) return false;
  const packages = missing.map(([, name]) => name);
  if (!hasCommand('apt-get')) {
    throw new StepFailed(
      `setup: ${missing.map(([name]) => name).join(', ')} missing, and apt is not available to install them. ` +
        `Debian's packages are called ${packages.join(', ')}.`,
    );
  }
  const line = ['install', '--no-install-recommends', ...packages];
  // Checked first, so that the line to run is that of the installation.
  if (rootPrefix() === null) aptGet(...line);
  say(`setup: installing ${packages.join(', ')}`);
  ensureAptLists();
  try {
    aptGet(...line);
  } catch {
    // Lists older than the mirror refer to versions that it no longer has.
    aptGet('update');
    aptGet(...line);
  }
  return true;
}
