import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { AllTable, type Outcome } from './all-table.js';
import { replayAllCommand } from './commands/replay-all.js';
import type { CommandIo } from './output.js';
import type { RunResult } from '../recording/run.js';

const traces = ['traces/skylake-pku/xcr0probe', 'traces/zen2/race'];

function outcome(trace: string, more: Partial<Outcome> = {}): Outcome {
  const result = { startFrame: 0, frameTime: 254, seconds: 24.3, machine: { xcr0: 0x207n } };
  return {
    trace,
    recordedOn: 'AMD Ryzen 9 7950X 16-Core Processor',
    recordedXcr0: 0x2e7n,
    result: result as RunResult,
    problem: null,
    code: null,
    ...more,
  };
}

const lines = (width: number): string[] => {
  const table = new AllTable(traces, width);
  const problem = 'output differs at byte 3, and what is there to say of it takes more than one line';
  return `${table.head()}${table.row(outcome(traces[0]))}${table.row(outcome(traces[1], { problem }))}`.split(
    '\n',
  );
};

it.each([60, 80, 100, 132])('fits into %d columns, and uses them', (width) => {
  for (const line of lines(width)) expect(line.length).toBeLessThanOrEqual(width);
  expect(lines(width)[0].length).toBeGreaterThan(width * 0.6);
});

it('leaves out the least important columns without room', () => {
  expect(lines(80)).toEqual([
    'trace                         recorded on   XCR0    frames     time  result',
    'traces/skylake-pku/xcr0probe  Ryzen 9 7950  0x2e7      254     24 s  as recorded',
    'traces/zen2/race              Ryzen 9 7950  0x2e7      254     24 s  NOT',
    '    output differs at byte 3, and what is there to say of it takes more than one',
    '    line',
    '',
  ]);
  expect(lines(Infinity)[1]).toMatch(
    /Ryzen 9 7950X 16-Core Processor {2}0x2e7 +0x207 +254 +24 s +96 ms {2}as/,
  );
});

it('is printed row by row, as traces are done', async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'all-table-'));
  for (const name of ['a', 'b']) {
    fs.mkdirSync(path.join(folder, name));
    fs.writeFileSync(path.join(folder, name, 'version'), '84\n');
  }
  const said: string[] = [];
  const io: CommandIo = {
    out: (text) => said.push(text),
    err: () => {},
    bytes: () => {},
    isTerminal: () => false,
    columns: () => 80,
    now: () => 0,
  };
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  try {
    await replayAllCommand([folder], { machine: 'auto', stallLimit: 60 }, io, log as never);
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
  expect(said.map((text) => text.split('\n', 1)[0].trim().split(/ +/).at(-1))).toEqual([
    'result',
    'NOT',
    'NOT',
    '',
  ]);
  expect(said[3]).toBe('\n0 as recorded, 2 not\n');
});
