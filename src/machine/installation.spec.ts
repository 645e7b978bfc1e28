import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RevenantError } from '../engine/base/errors.js';
import type { Places } from './installation.js';
import { findInstallation } from './installation.js';

let folder: string;
let places: Places;
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'installation-'));
  places = {
    root: path.join(folder, 'project'),
    programs: [path.join(folder, 'bin')],
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

function problem(): RevenantError {
  try {
    findInstallation(places);
  } catch (error) {
    if (error instanceof RevenantError) return error;
  }
  throw new Error('nothing was missing');
}

describe('findInstallation', () => {
  it('names what to install or build', () => {
    expect(problem()).toMatchObject({ code: 'E_MACHINE_START' });
    expect(problem().hint).toContain('apt-get install --no-install-recommends qemu-system-x86');
    file('bin/qemu-system-x86_64', 0o755);
    expect(problem().hint).toContain('npm run build');
    file('project/build/native/Release/revenant-keeper', 0o755);
    expect(problem().message).toContain('bare.rom');
    file('project/build/native/Release/bare.rom');
    expect(findInstallation(places).qemu).toBe(path.join(folder, 'bin/qemu-system-x86_64'));
  });

  it('takes the compiled parts of a package where nothing was built', () => {
    file('bin/qemu-system-x86_64', 0o755);
    for (const name of ['revenant-keeper', 'bare.rom']) file(`project/prebuilds/linux-x64/${name}`, 0o755);
    expect(findInstallation(places).image).toBe(path.join(folder, 'project/prebuilds/linux-x64/bare.rom'));
    for (const name of ['revenant-keeper', 'bare.rom']) file(`project/build/native/Release/${name}`, 0o755);
    expect(findInstallation(places).image).toBe(path.join(folder, 'project/build/native/Release/bare.rom'));
  });
});
