import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { larger, traceFolder } from '../collections.js';
import { DamagedTrace } from './damaged-trace.js';
import { seeded } from './mutate.js';

/**
 * Damaged traces: reading everything ends soon, at worst with a RevenantError. A failure names its seed; FIRST selects
 * other damage.
 */

const FIRST = 1;
const COUNT = 2000;
const BATCH = 200;
const batches = Array.from({ length: COUNT / BATCH }, (_, i) => FIRST + i * BATCH);
/** Processor time for one trace of some 200 KB; healthy ones take a few milliseconds. */
const LIMIT_MICROS = 10e6;

const root = path.resolve(import.meta.dirname, '../..');
const sample = larger('zen2/hello') ?? traceFolder('zen2/hello-static')!;
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mutations-'));
const damaged = new DamagedTrace(sample, folder);
afterAll(() => fs.rmSync(folder, { recursive: true }));

const listing = (): string =>
  JSON.stringify(
    fs
      .readdirSync(folder, { recursive: true, withFileTypes: true })
      .map((entry) => entry.name)
      .sort(),
  );

describe(`${COUNT} damaged copies of ${path.basename(sample)}`, () => {
  const outcomes = new Map<string, number>();

  // In batches: the runner treats a test that does not yield for a minute as hung.
  it.each(batches)('from seed %i on end in frames or a RevenantError, each in time', (first) => {
    for (let seed = first; seed < first + BATCH; seed++) {
      const what = damaged.damage(seeded(seed));
      const before = listing();
      const begun = process.cpuUsage();
      const outcome = damaged.outcome(`seed ${seed}, ${what}`);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      expect(process.cpuUsage(begun).user, `seed ${seed}, ${what}`).toBeLessThan(LIMIT_MICROS);
      expect(listing(), `seed ${seed}, ${what}`).toBe(before);
    }
  });

  it('were of all kinds', () => {
    expect(outcomes.get('read to the end')).toBeGreaterThan(COUNT / 50);
    expect(outcomes.get('E_TRACE_CORRUPT')).toBeGreaterThan(COUNT / 4);
    expect(outcomes.get('E_TRACE_MISSING')).toBeGreaterThan(0);
  });
});

describe('the trace layer', () => {
  it('has one file that touches the file system, and that one only reads', () => {
    const layer = path.join(root, 'src/engine/trace');
    const sources = fs
      .readdirSync(layer)
      .filter((name) => name.endsWith('.ts') && !name.endsWith('.spec.ts'));
    const users = sources.filter((name) =>
      /node:(fs|child_process)/.test(fs.readFileSync(path.join(layer, name), 'utf8')),
    );
    expect(users).toEqual(['source.ts']);
    const calls = fs.readFileSync(path.join(layer, 'source.ts'), 'utf8').match(/\bfs\.\w+/g);
    const reading = [
      'openSync',
      'readSync',
      'closeSync',
      'fstatSync',
      'statSync',
      'lstatSync',
      'existsSync',
      'realpathSync',
      'readdirSync',
      'constants',
    ];
    expect([...new Set(calls)].filter((call) => !reading.includes(call.slice(3)))).toEqual([]);
    expect(calls).toContain('fs.openSync');
  });
});
