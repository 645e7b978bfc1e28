import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RevenantError } from '../engine/base/errors.js';
import type { Places } from './installation.js';
import { byRelease, findInstallation, findKernel } from './installation.js';

let folder: string;
let places: Places;
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'installation-'));
  places = {
    root: path.join(folder, 'project'),
    programs: [path.join(folder, 'bin')],
    system: path.join(folder, 'system'),
    cache: path.join(folder, 'cache'),
  };
});
afterEach(() => {
  fs.rmSync(folder, { recursive: true });
});

function file(name: string, mode = 0o644): void {
  const full = path.join(folder, name);
  fs.mkdirSync(path.dirname(full), { recursive: true });
  fs.writeFileSync(full, '', { mode });
}

function kernel(base: string, release: string): void {
  file(`${base}/boot/vmlinuz-${release}`);
  file(`${base}/lib/modules/${release}/kernel/arch/x86/kvm/kvm-amd.ko`);
}

function problem(): RevenantError {
  try {
    findInstallation(places);
  } catch (error) {
    if (error instanceof RevenantError) return error;
  }
  throw new Error('nothing was missing');
}

describe('findKernel', () => {
  it('takes the newest installed one that has kvm-amd', () => {
    kernel('system', '6.1.0-9-amd64');
    kernel('system', '6.1.0-56-amd64');
    file('system/boot/vmlinuz-6.9.0-1-amd64');
    file('system/lib/modules/6.9.0-1-amd64/kernel/arch/x86/kvm/kvm.ko');
    expect(findKernel(places)?.release).toBe('6.1.0-56-amd64');
  });

  it('prefers the one that set-up unpacked', () => {
    kernel('system', '6.9.0-1-amd64');
    kernel('project/build/kernel/linux-image-6.1.0-56-cloud-amd64', '6.1.0-56-cloud-amd64');
    expect(findKernel(places)?.release).toBe('6.1.0-56-cloud-amd64');
  });

  it('finds the one in the cache of a user who does not own the package', () => {
    kernel('cache/kernel/linux-image-6.1.0-56-cloud-amd64', '6.1.0-56-cloud-amd64');
    expect(findKernel(places)?.release).toBe('6.1.0-56-cloud-amd64');
  });

  it('sorts releases by their numbers', () => {
    expect(['6.1.0-9', '6.1.0-56', '5.10.0-60'].sort(byRelease)).toEqual([
      '6.1.0-56',
      '6.1.0-9',
      '5.10.0-60',
    ]);
  });
});

describe('findInstallation', () => {
  it('names the packages to install one after another', () => {
    expect(problem()).toMatchObject({ code: 'E_MACHINE_START' });
    expect(problem().hint).toContain('apt-get install --no-install-recommends qemu-system-x86');
    file('bin/qemu-system-x86_64', 0o755);
    expect(problem().hint).toContain('apt-get install linux-image-cloud-amd64');
    kernel('system', '6.1.0-56-amd64');
    expect(problem().hint).toContain('npm run build');
    file('project/build/native/Release/revenant-keeper', 0o755);
    file('project/build/native/Release/vcpud', 0o755);
    expect(findInstallation(places).kernel.release).toBe('6.1.0-56-amd64');
  });

  it('takes the compiled parts of a package where nothing was built', () => {
    file('bin/qemu-system-x86_64', 0o755);
    kernel('system', '6.1.0-56-amd64');
    for (const name of ['revenant-keeper', 'vcpud']) file(`project/prebuilds/linux-x64/${name}`, 0o755);
    expect(findInstallation(places).vcpud).toBe(path.join(folder, 'project/prebuilds/linux-x64/vcpud'));
    for (const name of ['revenant-keeper', 'vcpud']) file(`project/build/native/Release/${name}`, 0o755);
    expect(findInstallation(places).vcpud).toBe(path.join(folder, 'project/build/native/Release/vcpud'));
  });
});
