/** A trace with instructions that an older processor lacks, on an emulated one. */
import fs from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { ExitCode } from '../../src/engine/base/errors.js';
import { runCli } from '../cli/run-cli.js';
import { itOn, recording } from '../collections.js';

/** What they print is compared by traces.spec.ts. */
const SILENT = ['zeros', 'approximations', 'legacy approximations'];

/** As a small server's of 2017, and less: no AVX, BMI, ADX, nor anything after SSE3. */
const OLDER = [
  '-movbe',
  '-aes',
  '-pclmulqdq',
  '-ssse3',
  '-sse4.1',
  '-sse4.2',
  '-popcnt',
  '-cx16',
  '-fsgsbase',
];
const CPU = ['--cpu', ['Denverton', ...OLDER].join()];
const MACHINE = ['--machine', 'emulated', ...CPU];

itOn(recording('older/faulting'), 'executes in software what raises #UD there', async (trace) => {
  const { code, stdout, stderr } = await runCli('replay', trace, ...MACHINE);
  expect(stderr).toMatch(/\d{4} instructions that the processor lacks, executed in software/);
  expect(stdout.split('\n').map((line) => line.split(' ')[0])).toEqual(
    'sha aes sse3 sse4 popcnt movbe adx cx16 vex others'.split(' ').concat(''),
  );
  expect(code).toBe(0);
});

itOn(recording('older/faulting'), 'names the groups before it runs', async (trace) => {
  const { stdout } = await runCli('doctor', trace, ...CPU);
  const line =
    /the emulated machine can replay it\n[^]*Completed in software: (.*)\./.exec(stdout)?.[1] ?? '';
  expect(line.split(', ')).toEqual(
    expect.arrayContaining([
      'SSSE3',
      'SSE4.1',
      'SSE4.2',
      'AES',
      'PCLMULQDQ',
      'POPCNT',
      'MOVBE',
      'ADX',
      'SHA',
    ]),
  );
});

itOn(recording('older/faulting'), 'refuses it where nothing is completed', async (trace) => {
  const { code, stdout, stderr } = await runCli('replay', trace, ...MACHINE, '--no-completion');
  expect(stderr).toMatch(/XCR0 bit 2 \(AVX\)/);
  expect(stdout).toBe('');
  expect(code).toBe(ExitCode.machine);
});

itOn(recording('older/silent'), 'executes in software what means something else there', async (trace) => {
  const expected = fs.readFileSync(path.join(trace, 'expected_stdout'), 'utf8');
  expect(expected.split('\n').map((line) => line.replace(/ \w*$/, ''))).toEqual([...SILENT, '']);
  // With counted ticks the program executes copies of its code.
  for (const option of [[], ['--verify-ticks']]) {
    const { code, stdout, stderr } = await runCli('replay', trace, ...MACHINE, ...option);
    expect(stdout, stderr).toBe(expected);
    expect(code).toBe(0);
  }
});

itOn(recording('older/silent'), 'computes approximations of the recording vendor', async (trace) => {
  const expected = fs.readFileSync(path.join(trace, 'expected_stdout'), 'utf8');
  const own = await runCli('replay', trace, '--machine', 'emulated');
  expect(own.stdout, own.stderr).toBe(expected);
  expect(own.stderr).toMatch(/\d{3,} instructions that the processor lacks, executed in software/);
  const without = await runCli('replay', trace, '--machine', 'emulated', '--no-completion');
  expect(without.stdout.split('\n')[0]).toBe(expected.split('\n')[0]);
  expect(without.stdout).not.toBe(expected);
});

itOn(recording('mmx/registers'), 'executes SSSE3 on MMX registers among x87 instructions', async (trace) => {
  const expected = fs.readFileSync(path.join(trace, 'expected_stdout'), 'utf8');
  const { code, stdout, stderr } = await runCli('replay', trace, ...MACHINE);
  expect(stdout, stderr).toBe(expected);
  expect(stderr).toMatch(/68\d instructions that the processor lacks, executed in software/);
  expect(code).toBe(0);
});
