/** The first output of `revenant gdb`, and what gdb loads automatically. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { caseTrace, itOn, sample } from '../../collections.js';
import { MACHINE } from '../../machines.js';

const program = path.resolve(import.meta.dirname, '../../../bin/revenant');

function gdb(trace: string, ...commands: string[]): { out: string; err: string } {
  return gdbWith([], trace, ...commands);
}

function gdbWith(options: string[], trace: string, ...commands: string[]): { out: string; err: string } {
  const flags = commands.flatMap((command) => ['-ex', command]);
  const ours = ['--machine', MACHINE, '--quiet'];
  const line = ['gdb', trace, ...ours, '--', '-nx', '-batch', ...options, ...flags];
  const done = spawnSync(program, line, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  return { out: done.stdout, err: done.stderr };
}

it('is two lines; what gdb asks of the process is answered from the recording', () => {
  // Other sessions of this user are in the usual one.
  const temporary = fs.mkdtempSync(path.join(os.tmpdir(), 'start-'));
  onTestFinished(() => fs.rmSync(temporary, { recursive: true }));
  vi.stubEnv('TMPDIR', temporary);
  onTestFinished(() => void vi.unstubAllEnvs());
  const { out, err } = gdb(sample('skylake-pku/tree'), 'info proc', 'help revenant', 'info sharedlibrary');
  const [where, help, ...rest] = out.split('\n');
  expect(where).toMatch(
    /^tree, process \d+, replay \d+: 0x[0-9a-f]+ in _start \(\) from \S+ld-linux-x86-64.so.2$/,
  );
  expect(help).toBe('Type "help revenant" for the commands of recordings.');
  const text = rest.join('\n');
  expect(text).toMatch(/^process \d+\ncmdline = '\S*tree.*'\ncwd = '\/.*'\nexe = '\/.*tree'\n/);
  expect(text).toMatch(/reverse-continue/);
  expect(text).toMatch(/ld-linux-x86-64.so.2\n/);
  expect(err).toBe('');
  expect(fs.readdirSync(temporary).filter((name) => name.startsWith('revenant-gdb.'))).toEqual([]);
});

it('fits into a terminal, and lists the processes of the recording', () => {
  const commands = ['info os processes', 'info os threads'];
  const { out } = gdbWith(['-iex', 'set width 80'], sample('skylake-pku/tree'), ...commands);
  const [where, , ...rest] = out.split('\n');
  expect(where).toMatch(/^tree, process \d+, replay \d+: 0x[0-9a-f]+ in _start \(\)$/);
  expect(rest.join('\n')).toMatch(
    /^pid +attached +program[^]*\n(\d+) +yes +\/\S+\/tree \/[^]*\npid +tid[^]*\n\1 +\1 +yes +tree/,
  );
});

itOn(
  caseTrace('except'),
  'loads the printers of libstdc++, obeys auto-load off, goes back to before libraries',
  (trace) => {
    const stop = ['break stop_here', 'continue', 'up', 'print nodes'];
    const map = /std::map with 2 elements = \{\["a"\] = \{name = "alpha", v = std::vector of length 3/;
    const { out } = gdb(
      trace,
      ...stop,
      'print nodes.size()',
      'info auto-load python-scripts',
      'catch throw',
      'continue',
      'reverse-continue',
      'reverse-continue',
      'continue',
    );
    expect(out).toMatch(map);
    expect(out).toMatch(/\$2 = 2\n/);
    expect(out).toMatch(/Yes +\S+libstdc\+\+\.so\.[\d.]+-gdb\.py/);
    expect(out).toMatch(/No more reverse-execution history[^]*Breakpoint 1, stop_here/);
    const refused = gdb(trace, 'set auto-load off', ...stop);
    expect(refused.out).toMatch(/print_nodes|_M_t/);
    expect(refused.out).not.toMatch(map);
  },
);
