/**
 * A kernel for the computer in which specs have a KVM of their own (test/host-kvm): Debian's, with the modules that it
 * needs there, unpacked into build/test-kernel. Needs neither root nor a change of this computer.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { filesBelow, root, run, say, StepFailed } from './lib.mjs';
import { ensureAptLists } from './setup-packages.mjs';

/** Debian's kernel for clouds lacks the file system by which the computer sees this one's files. */
const META_PACKAGE = 'linux-image-amd64';
const FOLDER = 'build/test-kernel';

/** KVM, a bus for the file system, the file system; and what those need in one kernel or another. */
const MODULES = [
  ...['kvm', 'kvm-amd', 'irqbypass', 'ccp', 'rng-core'],
  ...['virtio', 'virtio_ring', 'virtio_pci', 'virtio_pci_legacy_dev', 'virtio_pci_modern_dev'],
  ...['9p', '9pnet', '9pnet_virtio', 'netfs', 'fscache'],
];

const DECOMPRESSORS = { '.xz': 'xz', '.zst': 'zstd', '.gz': 'gzip' };

/**
 * The kernel that was unpacked, or null.
 * @returns {{image: string, modules: string[]} | null} paths of the image and of module files, in no order
 */
export function findTestKernel() {
  const folder = path.join(root, FOLDER);
  const image = path.join(folder, 'vmlinuz');
  if (!fs.existsSync(image)) return null;
  const modules = filesBelow([`${FOLDER}/modules`], (name) => name.endsWith('.ko'));
  return { image, modules: modules.map((name) => path.join(root, name)) };
}

/** The package that the meta package depends on, such as linux-image-6.1.0-57-amd64. */
function concretePackage() {
  const env = { ...process.env, LC_ALL: 'C' };
  const { stdout } = spawnSync('apt-cache', ['depends', META_PACKAGE], { encoding: 'utf8', env });
  const match = /^\s*Depends:\s*(linux-image-\S+)/m.exec(stdout ?? '');
  if (match) return match[1];
  throw new StepFailed(
    `setup: apt does not know ${META_PACKAGE}: the host's KVM is not tested in a computer of its own`,
  );
}

/** A module's file below `target`, not compressed. */
function keepModule(file, target) {
  const tool = DECOMPRESSORS[path.extname(file)];
  const name = path.basename(file).replace(/\.ko(\.\w+)?$/, '.ko');
  const bytes = tool ? spawnSync(tool, ['-dc', file], { maxBuffer: 1 << 28 }).stdout : fs.readFileSync(file);
  fs.writeFileSync(path.join(target, 'modules', name), bytes);
}

/** Unpacks a kernel unless there is one. Returns whether it did. Throws StepFailed. */
export function ensureTestKernel() {
  if (findTestKernel() !== null) return false;
  ensureAptLists();
  const name = concretePackage();
  const target = path.join(root, FOLDER);
  say(`setup: unpacking ${name} into ${target}`);
  fs.rmSync(target, { recursive: true, force: true });
  fs.mkdirSync(path.dirname(target), { recursive: true });
  const work = fs.mkdtempSync(`${target}-`);
  try {
    // As root apt would use its own user, which cannot write here, and warn.
    run('apt-get', ['-qq', '-o', 'APT::Sandbox::User=root', 'download', name], { cwd: work });
    const [archive] = fs.readdirSync(work);
    run('dpkg-deb', ['-x', archive, 'root'], { cwd: work });
    const kept = path.join(work, 'kept');
    fs.mkdirSync(path.join(kept, 'modules'), { recursive: true });
    const unpacked = path.relative(root, path.join(work, 'root'));
    const [image] = filesBelow([unpacked], (file) => /\/boot\/vmlinuz-/.test(file));
    fs.renameSync(path.join(root, image), path.join(kept, 'vmlinuz'));
    const wanted = new Set(MODULES);
    const isWanted = (file) => wanted.has(path.basename(file).replace(/\.ko(\.\w+)?$/, ''));
    for (const file of filesBelow([unpacked], (each) => /\.ko(\.\w+)?$/.test(each) && isWanted(each)))
      keepModule(path.join(root, file), kept);
    fs.renameSync(kept, target);
  } finally {
    fs.rmSync(work, { recursive: true, force: true });
  }
  return true;
}
