/** A part of `npm run faults`: one fault of each kind, with the commands that replay. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { emulatedProblem } from '../../scripts/emulated-parts.mjs';
import { root } from './commands.js';

const canIsolate = spawnSync('unshare', ['--net', '--mount', '--pid', '--fork', 'true']).status === 0;
const ONLY = [' replay', ' ci', 'stdout full info'].flatMap((text) => ['--only', text]);

it.skipIf(!canIsolate)(
  'commands say what fails around them (skipped where no namespaces may be made)',
  async () => {
    const child = spawn(process.execPath, ['scripts/faults.mjs', '--quick', ...ONLY], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let stdout = '';
    child.stdout.on('data', (bytes: Buffer) => (stdout += bytes.toString('utf8')));
    const [status] = (await once(child, 'close')) as [number | null];
    expect(stdout).toMatch(
      /^stdout full +replay +74 +Cannot write standard output: no space left on device\.$/m,
    );
    expect(stdout).toMatch(/^reports on a full disk +ci +74 /m);
    // In the emulated machine it may not be enough.
    expect(stdout).toMatch(/^ulimit -n 64 +replay +(?:0 +replayed|71) /m);
    expect(stdout).toMatch(
      emulatedProblem() === null
        ? /^ulimit -v 4000000 +replay +71 .*(?:address space|allocate memory)/m
        : /^ulimit -v 4000000 +replay +4 +The process machine cannot be used: its memory /m,
    );
    expect(stdout).toMatch(/ as they should be, 0 not$/m);
    expect(status, stdout).toBe(0);
  },
);
