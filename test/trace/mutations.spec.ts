import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { RevenantError } from '../../src/engine/base/errors.js';
import { TraceReader } from '../../src/engine/trace/reader.js';
import type { Random } from './mutate.js';
import { changes, changeWords, decompressed, messagesOf, recompressed, seeded } from './mutate.js';

/**
 * Damaged traces: whatever is done to the files, reading everything ends, soon, in nothing worse than
 * a RevenantError. A failure names its seed; FIRST moves to other damage.
 */

const FIRST = 1;
const COUNT = 2000;
const BATCH = 200;
const batches = Array.from({ length: COUNT / BATCH }, (_, i) => FIRST + i * BATCH);
/** For one trace of some 200 KB; healthy ones take a few milliseconds, on a busy computer many. */
const LIMIT_MS = 20_000;
const MAX_READ = 1 << 22;

const root = path.resolve(import.meta.dirname, '../..');
const hello = path.resolve(root, '../shared/traces/zen2/hello');
const sample = fs.existsSync(hello) ? hello : path.join(root, 'traces/zen2/hello-static');
const streams = ['events', 'mmaps', 'tasks', 'data'];
const originals = new Map(
  ['version', ...streams].map((name) => [name, fs.readFileSync(path.join(sample, name))]),
);
const plain = new Map(streams.map((name) => [name, decompressed(originals.get(name)!)]));
const messages = new Map(['events', 'mmaps', 'tasks'].map((name) => [name, messagesOf(plain.get(name)!)]));

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mutations-'));
const trace = path.join(folder, 'trace');
fs.mkdirSync(trace);
for (const name of fs.readdirSync(sample)) {
  if (name.startsWith('mmap_')) fs.copyFileSync(path.join(sample, name), path.join(trace, name));
}
afterAll(() => fs.rmSync(folder, { recursive: true }));

const pick = <T>(random: Random, from: readonly T[]): T => from[random(from.length)];

/** Writes the sample with one thing wrong; returns what was done. */
function damage(random: Random): string {
  for (const [name, bytes] of originals) fs.writeFileSync(path.join(trace, name), bytes);
  const write = (name: string, bytes: Buffer): void => fs.writeFileSync(path.join(trace, name), bytes);
  const change = pick(random, Object.keys(changes));
  switch (random(5)) {
    case 0: {
      const name = pick(random, [...originals.keys()]);
      write(name, changes[change](Buffer.from(originals.get(name)!), random));
      return `${change} in ${name}`;
    }
    case 1: {
      const [to, from] = [pick(random, [...originals.keys()]), pick(random, [...originals.keys()])];
      write(to, originals.get(from)!);
      if (random(3) === 0) fs.rmSync(path.join(trace, pick(random, [...originals.keys()])));
      return `${from} in place of ${to}`;
    }
    case 2: {
      const name = pick(random, streams);
      write(name, recompressed(changes[change](Buffer.from(plain.get(name)!), random), random));
      return `${change} in decompressed ${name}`;
    }
    default: {
      const name = pick(random, [...messages.keys()]);
      write(name, recompressed(changeWords(messages.get(name)!, random), random));
      return `words of a message of ${name}`;
    }
  }
}

const buffer = new Uint8Array(1 << 16);

/** Reads all that a trace offers. Returns the number of frames. */
function readAll(): number {
  const reader = TraceReader.open(trace);
  try {
    for (let frame = reader.advance(); frame !== null; frame = reader.advance()) {
      reader.peek(1 + (frame.frameTime % 4));
      reader.nextTaskEvent(frame.frameTime);
      for (let map = reader.nextMapping(frame.frameTime); map; map = reader.nextMapping(frame.frameTime)) {
        if (map.source.kind !== 'file') continue;
        const file = reader.openBacking(map);
        file.read(Math.min(map.fileOffsetBytes, file.size), buffer);
      }
      for (const write of frame.memWrites.slice(0, frame.memWriteCount)) {
        // Holes take no place in the file: a write may be larger than anybody wants to read.
        const end = Math.min(write.size, MAX_READ);
        for (let at = 0; at < end; at += buffer.length) {
          reader.readWrite(write, at, buffer.subarray(0, Math.min(buffer.length, end - at)));
        }
        const last = Math.min(write.size, 4096);
        reader.readWrite(write, write.size - last, buffer.subarray(0, last));
      }
    }
    return reader.frameTime;
  } finally {
    reader.close();
  }
}

function outcomeOfReading(what: string): string {
  try {
    readAll();
    return 'read to the end';
  } catch (error) {
    if (error instanceof RevenantError && error.code !== 'E_INTERNAL') return error.code;
    throw new Error(`${what}: ${String(error)}`, { cause: error });
  }
}

const listing = (): string =>
  JSON.stringify(
    fs
      .readdirSync(folder, { recursive: true, withFileTypes: true })
      .map((entry) => entry.name)
      .sort(),
  );

describe(`${COUNT} damaged copies of ${path.basename(sample)}`, () => {
  const outcomes = new Map<string, number>();

  // In batches: a test that never yields for a minute looks dead to the runner.
  it.each(batches)('from seed %i on end in frames or a RevenantError, each in time', (first) => {
    for (let seed = first; seed < first + BATCH; seed++) {
      const what = damage(seeded(seed));
      const before = listing();
      const begun = performance.now();
      const outcome = outcomeOfReading(`seed ${seed}, ${what}`);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      expect(performance.now() - begun, `seed ${seed}, ${what}`).toBeLessThan(LIMIT_MS);
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
      'existsSync',
      'realpathSync',
      'readdirSync',
      'constants',
    ];
    expect([...new Set(calls)].filter((call) => !reading.includes(call.slice(3)))).toEqual([]);
    expect(calls).toContain('fs.openSync');
  });
});
