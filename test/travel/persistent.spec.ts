/** Checkpoint files, from which another session continues. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RevenantError } from '../../src/engine/base/errors.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { readCheckpoint, readPreamble, writeCheckpoint } from '../../src/engine/persist/file.js';
import type { TravelTarget } from '../../src/engine/travel/target.js';
import { MACHINE, acquireMachine, machineFor } from '../machines.js';
import { goTo, open, run, sample, symbol } from './open.js';

let transport: VcpuTransport;
let folder: string;
beforeAll(async () => {
  transport = await acquireMachine();
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'checkpoints-'));
});
afterAll(() => {
  transport.close();
  fs.rmSync(folder, { recursive: true });
});

/** All state that a program can observe. */
const stateOf = (target: TravelTarget): unknown =>
  target.tasks().map(({ tid, pid, name }) => ({
    ...{ tid, pid, name },
    registers: Buffer.from(target.registers(tid).buffer).toString('hex'),
    vectors: Buffer.from(target.vectorState(tid)).toString('base64'),
    memory: target.memoryDigest(tid),
    executable: target.executable(pid),
    mappings: target.mappings(tid).map(({ start, end, prot, name: of }) => `${start}-${end} ${prot} ${of}`),
  }));

/** Traces and a frame in their middle: processes, shared memory, signals, descriptors, threads. */
const PLACES: [string, number][] = [
  ['zen2/spawn', 260],
  ['zen2/race', 200],
  ['haswell/ldt', 150],
  ['haswell/faults', 170],
  ['skylake-pku/tree', 100],
  ['zen2/hello-static', 1],
];

describe('a checkpoint in a file', () => {
  it.each(PLACES.filter(([name]) => machineFor(sample(name)) === MACHINE))(
    '%s after frame %i continues to the same end',
    (name, frame) => {
      const file = path.join(folder, 'state');
      const written: string[] = [];
      let [there, end] = [null as unknown, 0];
      const first = open(transport, sample(name), {
        output: (_, bytes) => written.push(Buffer.from(bytes).toString()),
      });
      try {
        goTo(first.target, frame);
        const bytes = writeCheckpoint(first.target.session, file);
        expect(fs.statSync(file).size).toBe(bytes);
        there = stateOf(first.target);
        goTo(first.target, 1e6);
        end = first.target.frameTime;
      } finally {
        first.close();
      }
      const again: string[] = [];
      const second = open(transport, sample(name), {
        output: (_, bytes) => again.push(Buffer.from(bytes).toString()),
      });
      try {
        second.target.session.restore(readCheckpoint(second.target.session, file));
        expect(second.target.frameTime).toBe(frame);
        expect(stateOf(second.target)).toEqual(there);
        goTo(second.target, 1e6);
        expect(second.target.frameTime).toBe(end);
        expect(written.join('').endsWith(again.join(''))).toBe(true);
      } finally {
        second.close();
      }
    },
  );

  it('is also one in the middle of an interval, from where steps go back, too', () => {
    const file = path.join(folder, 'inside');
    const first = open(transport, sample('skylake-pku/tree'));
    let there: unknown;
    try {
      goTo(first.target, 60);
      first.target.addBreakpoint({ pid: null, address: symbol(first.target, 'insert') });
      for (let hits = 0; hits < 7; hits++) run(first.target);
      there = stateOf(first.target);
      writeCheckpoint(first.target.session, file);
    } finally {
      first.close();
    }
    expect(readPreamble(file)).toMatchObject({ inside: true });
    const second = open(transport, sample('skylake-pku/tree'));
    try {
      second.target.session.restore(readCheckpoint(second.target.session, file));
      expect(stateOf(second.target)).toEqual(there);
    } finally {
      second.close();
    }
  });
});

/** A file taken apart, its document changed, and put together with a digest that agrees. */
function forge(file: Buffer, change: (document: Record<string, unknown>) => void): Buffer {
  const start = file.indexOf(10, file.indexOf(10) + 1) + 1;
  const length = file.readUInt32LE(start);
  const document = JSON.parse(
    inflateRawSync(file.subarray(start + 4, start + 4 + length)).toString(),
  ) as Record<string, unknown>;
  change(document);
  const packed = deflateRawSync(JSON.stringify(document));
  const size = Buffer.alloc(4);
  size.writeUInt32LE(packed.length);
  const content = Buffer.concat([
    file.subarray(0, start),
    size,
    packed,
    file.subarray(start + 4 + length, file.length - 32),
  ]);
  return Buffer.concat([content, createHash('sha256').update(content).digest()]);
}

/** Replaces one value somewhere in a document, chosen by a number. */
function spoil(node: unknown, choice: number): void {
  const places: [Record<string, unknown>, string][] = [];
  const walk = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    for (const key of Object.keys(value)) {
      const child = (value as Record<string, unknown>)[key];
      if (!Array.isArray(value) || value.length < 64) places.push([value as Record<string, unknown>, key]);
      walk(child);
    }
  };
  walk(node);
  const [object, key] = places[choice % places.length];
  const values = [
    -1,
    1e300,
    0.5,
    2 ** 52,
    '',
    'x',
    null,
    [],
    {},
    [[0, 0]],
    true,
    '0xffffffffffffffff',
    4096,
    2 ** 47,
  ];
  object[key] = values[Math.floor(choice / 7) % values.length];
}

let good: Buffer;

describe('an unusable file', () => {
  let opened: ReturnType<typeof open>;
  const file = (): string => path.join(folder, 'bad');
  const read = (bytes: Buffer): 'read' | RevenantError => {
    fs.writeFileSync(file(), bytes);
    const { session } = opened.target;
    try {
      session.drop(readCheckpoint(session, file()));
      return 'read';
    } catch (error) {
      if (!(error instanceof RevenantError)) throw error;
      return error;
    }
  };
  beforeAll(() => {
    opened = open(transport, sample('zen2/spawn'));
    goTo(opened.target, 150);
    writeCheckpoint(opened.target.session, file());
    good = fs.readFileSync(file());
  });
  afterAll(() => opened.close());

  it('is refused when it is missing, cut off, changed, or something else', () => {
    expect(read(good)).toBe('read');
    for (const bytes of [Buffer.alloc(0), Buffer.from('ELF'), good.subarray(0, 40), good.subarray(0, -1)])
      expect(read(bytes)).toMatchObject({ code: 'E_CHECKPOINT' });
    for (let at = 0; at < good.length; at += Math.ceil(good.length / 50)) {
      const bytes = Buffer.from(good);
      bytes[at] ^= 0x10;
      expect(read(bytes), `byte ${at}`).toMatchObject({ code: 'E_CHECKPOINT' });
    }
    fs.rmSync(file());
    expect(() => readCheckpoint(opened.target.session, file())).toThrow(/cannot be used as a checkpoint/);
  });

  it('may lie as it likes: it is refused or read, and gives all memory back', () => {
    const { memory } = opened.target.session.core;
    // A first one fills caches of files.
    read(good);
    const before = memory.pagesInUse;
    const results = new Map<string, number>();
    for (let choice = 1; choice < 400; choice++) {
      const result = read(forge(good, (document) => spoil(document, choice * 7919)));
      const kind = result === 'read' ? result : result.code;
      results.set(kind, (results.get(kind) ?? 0) + 1);
      expect(memory.pagesInUse, `choice ${choice}`).toBe(before);
    }
    expect([...results.keys()].sort()).toEqual(['E_CHECKPOINT', 'read']);
    expect(results.get('E_CHECKPOINT')).toBeGreaterThan(100);
  });
});

describe('a checkpoint of another session', () => {
  const file = path.join(os.tmpdir(), `checkpoint-${process.pid}`);
  afterAll(() => fs.rmSync(file, { force: true }));

  it('is refused when it is of another trace', () => {
    const other = open(transport, sample('zen2/crash'));
    try {
      fs.writeFileSync(file, good);
      expect(() => readCheckpoint(other.target.session, file)).toThrow(/it is of trace/);
    } finally {
      other.close();
    }
  });

  it('with a wrong state is detected by a divergence, and the trace is replayed from its beginning', () => {
    const lie = forge(good, (document) => {
      const [task] = document.tasks as { registers: string }[];
      const registers = Buffer.from(task.registers, 'base64');
      registers.fill(0x11, 0, 40);
      task.registers = registers.toString('base64');
    });
    fs.writeFileSync(file, lie);
    const warnings: string[] = [];
    const log = { debug() {}, info() {}, warn: (_: object, text: string) => void warnings.push(text) };
    const other = open(transport, sample('zen2/spawn'), { log });
    try {
      other.target.session.restore(readCheckpoint(other.target.session, file));
      expect(goTo(other.target, 1e6).kind).toBe('history-end');
      expect(warnings.join()).toMatch(/a checkpoint from a file may be wrong/);
    } finally {
      other.close();
    }
  });
});
