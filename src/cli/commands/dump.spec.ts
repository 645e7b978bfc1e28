import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { DumpOptions } from './dump.js';
import { dumpCommand } from './dump.js';

const sample = (name: string): string => path.resolve(import.meta.dirname, '../../../traces', name);

function dump(name: string, options: Omit<DumpOptions, 'trace'> = {}): string[] {
  let text = '';
  dumpCommand({ trace: sample(name), ...options }, { out: (more) => (text += more) });
  return text.split('\n').slice(0, -1);
}

const frames = (lines: string[]): string[] => lines.filter((line) => /^ *\d+ +\d+ /.test(line));

describe('dump', () => {
  it('prints one line a frame, records indented below it', () => {
    const lines = dump('zen2/hello-static');
    expect(frames(lines)).toHaveLength(46);
    expect(lines[0]).toMatch(/^ {6}1 +\d+ +1 {2}prctl entering {2}rip 0x[0-9a-f]+$/);
    expect(lines.filter((line) => line.startsWith('  task exec tid='))).toHaveLength(1);
    expect(lines.find((line) => line.includes('[stack]'))).toMatch(/prot_flags:"rw-p", flags:0x102/);
    expect(lines.at(-1)).toMatch(/^ {2}task exit tid=\d+ status=0$/);
  });

  it('takes a frame, a range, an open range', () => {
    expect(frames(dump('zen2/hello-static', { range: '13' }))).toHaveLength(1);
    expect(frames(dump('zen2/hello-static', { range: '3-7' }))).toHaveLength(5);
    expect(frames(dump('zen2/hello-static', { range: '40-' }))).toHaveLength(7);
  });

  it('filters by event kind, by system call, by task', () => {
    expect(frames(dump('zen2/hello-static', { event: 'EXIT' }))).toHaveLength(1);
    const writes = frames(dump('zen2/hello-static', { event: 'execve' }));
    expect(writes.map((line) => line.split(/ +/)[4])).toEqual(['execve', 'execve']);
    expect(dump('zen2/hello-static', { task: 1 })).toEqual([]);
  });

  it('prints registers on demand', () => {
    const [, registers] = dump('zen2/hello-static', { range: '1', registers: true });
    expect(registers).toMatch(/ rax:0xffffffffffffffda .* orig_rax:0x9d .* cs:0x33 eflags:0x246 /);
  });

  it('as JSON is one object a line, with all fields', () => {
    const documents = dump('zen2/hello-static', { json: true }).map((line) => JSON.parse(line));
    expect(documents.map((document) => document.frame)).toEqual(Array.from({ length: 46 }, (_, i) => i + 1));
    expect(documents[0]).toMatchObject({
      event: 'syscall',
      syscall: 'prctl',
      number: 157,
      state: 'entering',
      ticks: 1,
    });
    expect(documents[0].registers).toMatchObject({ rax: '0xffffffffffffffda', cs: '0x33' });
    const exec = documents.find((document) => document.taskEvents[0]?.kind === 'exec');
    expect(exec.extraRegisters).toHaveLength(2 * 832);
    expect(exec.mappings[0]).toMatchObject({
      start: '0x70000000',
      end: '0x70001000',
      source: { kind: 'zero' },
    });
  });

  it('refuses bad ranges and unknown events', () => {
    for (const options of [{ range: 'x' }, { range: '7-3' }, { range: '47' }, { event: 'nonsense' }]) {
      expect(() => dump('zen2/hello-static', options)).toThrow(expect.objectContaining({ code: 'E_USAGE' }));
    }
  });
});
