/** The behaviour of `--as-rr`, for scripts and front ends written for rr. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client } from '../client.js';
import { sample, serveRecording, type Recording } from './recording.js';
import { MACHINE } from '../../machines.js';

const program = path.resolve(import.meta.dirname, '../../../bin/revenant');

/** The position in a stop reply. */
const ripOf = (reply: string): string => /;10:([0-9a-f]{16});/.exec(reply)![1];

describe('a signal that is stepped back over', () => {
  let recording: Recording;
  beforeAll(async () => {
    recording = await serveRecording(sample('haswell/faults'), { asRr: true });
  });
  afterAll(() => recording.close());

  it('is a separate stop, where it was raised', async () => {
    const client = await Client.connect(recording.endpoint);
    try {
      const signal = await client.ask('vCont;c');
      expect(signal).toMatch(/^T0bthread:/);
      const undone = await client.ask('bs');
      expect([undone.slice(0, 3), ripOf(undone)]).toEqual(['T0b', ripOf(signal)]);
      const before = await client.ask('bs');
      expect(before).toMatch(/^T05thread:/);
      expect(ripOf(before)).not.toBe(ripOf(signal));
      expect(ripOf(await client.ask('vCont;s'))).toBe(ripOf(signal));
      expect(await client.ask('vCont;c')).toBe(signal);
      // Into the handler and back is one step; gdb is not notified of a signal that it passes.
      expect(ripOf(await client.ask('vCont;s'))).not.toBe(ripOf(signal));
      expect(await client.ask('bs')).toMatch(new RegExp(`^T05thread:.*;10:${ripOf(signal)};`));
      expect(await client.ask('QPassSignals:b')).toBe('OK');
      expect(ripOf(await client.ask('bs'))).toBe(ripOf(before));
    } finally {
      client.close();
    }
  });
});

it('a fatal signal is stepped back over from the end of its process', async () => {
  const recording = await serveRecording(sample('zen2/crash'), { asRr: true });
  const client = await Client.connect(recording.endpoint);
  try {
    const signal = await client.ask('vCont;c');
    expect(signal).toMatch(/^T0bthread:/);
    expect(await client.ask('vCont;s')).toMatch(/^T09thread:/);
    const undone = await client.ask('bs');
    expect([undone.slice(0, 3), ripOf(undone)]).toEqual(['T0b', ripOf(signal)]);
    expect(await client.ask('bs')).toMatch(/^T05thread:/);
  } finally {
    client.close();
    await recording.close();
  }
});

it('calls are given up at signals and cannot kill; the program is the file of the recording', () => {
  const trace = sample('skylake-pku/tree');
  const commands = [
    'break insert',
    'continue',
    'print (int)kill((int)getpid(), 9)',
    'print (long)strlen(0)',
    'bt 1',
    'inferior',
  ];
  const flags = commands.flatMap((command) => ['-ex', command]);
  const ours = ['--machine', MACHINE, '--quiet', '--as-rr', '--', '-nx', '-batch', ...flags];
  const { stdout, stderr } = spawnSync(program, ['gdb', trace, ...ours], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  expect(stdout).toMatch(/^\$1 = -1$/m);
  expect(stderr).toMatch(/signaled while in a function called from GDB/);
  expect(stdout).toMatch(/^#0 {2}insert /m);
  expect(stdout).toContain(`(${path.resolve(trace)}/`);
});
