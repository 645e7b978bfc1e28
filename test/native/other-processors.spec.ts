/** What an engine on another processor than x86 needs is compiled for one, where its compiler is installed. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { hasCommand, root } from '../../scripts/lib.mjs';

const compiler = (language: 'gcc' | 'g++'): string => `aarch64-linux-gnu-${language}`;
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'revenant-arm-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));

const cmake = (...args: string[]): void => {
  const { status, stdout, stderr } = spawnSync('cmake', args, { encoding: 'utf8' });
  expect(status, stdout + stderr).toBe(0);
};

it.skipIf(!hasCommand(compiler('g++')))(
  `builds addon and keeper by ${compiler('g++')}, if it is here`,
  () => {
    cmake(
      ...['-S', root, '-B', folder, '-DCMAKE_SYSTEM_NAME=Linux', '-DCMAKE_SYSTEM_PROCESSOR=aarch64'],
      ...[`-DCMAKE_C_COMPILER=${compiler('gcc')}`, `-DCMAKE_CXX_COMPILER=${compiler('g++')}`],
      '-DCMAKE_DISABLE_FIND_PACKAGE_zydis=ON', // a library of this processor's
    );
    cmake('--build', folder);
    expect(fs.readdirSync(path.join(folder, 'Release')).sort()).toEqual(['revenant-keeper', 'revenant.node']);
  },
);
