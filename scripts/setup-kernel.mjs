/**
 * A Debian kernel for the emulated machine: an installed one with kvm-amd, or the newest cloud kernel,
 * unpacked into build/kernel (an installed package of another user's: ~/.cache/revenant/kernel).
 * Unpacking needs no root and does not change the boot loader.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { ownFolder, root, run, say, StepFailed } from './lib.mjs';
import { ensureAptLists } from './setup-packages.mjs';

const META_PACKAGE = 'linux-image-cloud-amd64';
const KVM_AMD = /^kvm-amd\.ko(\.\w+)?$/;

/** The folders that src/machine/kernel-modules.ts searches; other modules are deleted. */
const MODULE_FOLDERS = [
  'kernel/virt/lib',
  'kernel/arch/x86/kvm',
  'kernel/drivers/crypto/ccp',
  'kernel/drivers/char/hw_random',
];

const list = (name) => (fs.existsSync(name) ? fs.readdirSync(name) : []);

function isReadable(file) {
  try {
    fs.accessSync(file, fs.constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

/** Whether a root folder has a kernel image that we may read, with kvm-amd. */
function hasKernel(base) {
  const modules = path.join(base, 'lib/modules');
  return list(modules).some(
    (release) =>
      isReadable(path.join(base, 'boot', `vmlinuz-${release}`)) &&
      list(path.join(modules, release, 'kernel/arch/x86/kvm')).some((name) => KVM_AMD.test(name)),
  );
}

/** Whether there is a kernel for the emulated machine. */
export function kernelFound() {
  const folders = [path.join(root, 'build/kernel'), path.join(os.homedir(), '.cache/revenant/kernel')];
  const unpacked = folders.flatMap((folder) => list(folder).map((name) => path.join(folder, name)));
  return [...unpacked.filter((name) => path.basename(name).startsWith('linux-image-')), '/'].some(hasKernel);
}

/** The concrete package that the meta package depends on, such as linux-image-6.1.0-56-cloud-amd64. */
function concretePackage() {
  const { stdout } = spawnSync('apt-cache', ['depends', META_PACKAGE], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C' },
  });
  const match = /^\s*Depends:\s*(linux-image-\S+)/m.exec(stdout ?? '');
  if (match) return match[1];
  throw new StepFailed(
    `setup: apt does not know ${META_PACKAGE}, and no installed kernel with kvm-amd was found in /boot and ` +
      '/lib/modules. Install one (Debian: apt-get install linux-image-amd64).',
  );
}

/** Moves image and needed modules of an unpacked package to where they stay. */
function keepNeeded(unpacked, target) {
  const [release] = list(path.join(unpacked, 'lib/modules'));
  const names = [
    `boot/vmlinuz-${release}`,
    ...MODULE_FOLDERS.map((name) => `lib/modules/${release}/${name}`),
  ];
  const kept = `${unpacked}.kept`;
  for (const name of names) {
    if (!fs.existsSync(path.join(unpacked, name))) continue;
    fs.mkdirSync(path.dirname(path.join(kept, name)), { recursive: true });
    fs.renameSync(path.join(unpacked, name), path.join(kept, name));
  }
  if (!hasKernel(kept)) throw new StepFailed(`setup: ${path.basename(target)} has no kernel with kvm-amd`);
  fs.rmSync(target, { recursive: true, force: true });
  fs.renameSync(kept, target);
}

/** Unpacks a kernel unless there is one. Returns whether it did. Throws StepFailed. */
export function ensureKernel() {
  if (kernelFound()) return false;
  ensureAptLists();
  const name = concretePackage();
  const folder = path.join(ownFolder(), 'kernel');
  say(`setup: unpacking ${name} into ${folder}`);
  fs.mkdirSync(folder, { recursive: true });
  const work = fs.mkdtempSync(path.join(folder, 'unpacking-'));
  try {
    // As root apt would use its own user, which cannot write here, and warn.
    run('apt-get', ['-qq', '-o', 'APT::Sandbox::User=root', 'download', name], { cwd: work });
    const archive = list(work).find((file) => file.endsWith('.deb'));
    const unpacked = path.join(work, 'root');
    run('dpkg', ['-x', path.join(work, archive), unpacked]);
    keepNeeded(unpacked, path.join(folder, name));
  } finally {
    fs.rmSync(work, { recursive: true, force: true });
  }
  return true;
}
