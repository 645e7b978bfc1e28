/** Compares the software XSAVE family with this machine's processor, where there is a C compiler to ask it. */

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { AreaChunk } from './xsavec.js';
import { composeXsave, composeXsavec, composeXsaveopt } from './xsavec.js';
import { readU32, readU64, resetImage, writeU32, writeU64, xgetbv1 } from './xstate-image.js';
import type { CpuidLeaf, XstateLayout } from './xstate-layout.js';
import { COMPACTED, compactedLayout, hardwareLayout } from './xstate-layout.js';
import { loadXrstor } from './xrstor.js';

const AREA = 4096;
const Op = { xsave64: 0, xsave: 1, xsaveopt64: 2, xsavec64: 3, xsavec: 4, xrstor64: 5, xrstor: 6 } as const;
const VENDOR_AMD = 0x68747541;

interface Oracle {
  binary: string;
  layout: XstateLayout;
  pointersOnlyOnError: boolean;
}

const directory = mkdtempSync(join(tmpdir(), 'revenant-xsave-'));
afterAll(() => rmSync(directory, { recursive: true }));

/** The compiled oracle, or null without a compiler or without XSAVEC in the processor. */
function buildOracle(): Oracle | null {
  const binary = join(directory, 'oracle');
  const source = new URL('./xsave-oracle.c', import.meta.url).pathname;
  if (spawnSync('cc', ['-O1', '-o', binary, source]).status !== 0) return null;
  const lines = execFileSync(binary, ['cpuid'], { encoding: 'utf8' }).trim().split('\n');
  const records: CpuidLeaf[] = [];
  let [xcr0, vendor] = [0n, 0];
  for (const line of lines) {
    const [first, ...rest] = line.split(' ');
    const [a, b, c, d] = rest.map(Number);
    if (first === 'xcr0') xcr0 = (BigInt(b) << 32n) | BigInt(a);
    else if (first === 'vendor') vendor = a;
    else records.push({ eaxIn: 0xd, ecxIn: Number(first), eax: a, ebx: b, ecx: c, edx: d });
  }
  const layout = hardwareLayout(records, xcr0);
  if (!(records[1].eax & 2) || layout.size > AREA) return null;
  return { binary, layout, pointersOnlyOnError: vendor === VENDOR_AMD };
}

const oracle = buildOracle();

let seed = 0x9e37_79b9;
function random(limit: number): number {
  seed ^= seed << 13;
  seed ^= seed >>> 17;
  seed ^= seed << 5;
  return (seed >>> 0) % limit;
}

const PKRU = 1n << 9n;
/** Each bit of XCR0 with probability 1/2. PKRU stays as it is: a random one would lock the oracle out. */
const someOf = (xcr0: bigint): bigint => BigInt.asUintN(32, BigInt(random(0x1_0000_0000))) & xcr0 & ~PKRU;

function fill(image: Uint8Array, start: number, end: number): void {
  for (let i = start; i < end; i++) image[i] = random(256);
}

/** Random contents for the components of `components`; valid for XRSTOR. */
function randomComponents(image: Uint8Array, layout: XstateLayout, components: bigint): void {
  if (components & 1n) {
    writeU32(image, 0, 0x37f | (random(4) << 10));
    // An unmasked invalid operation pending; bit 6 of FCW always reads 1.
    if (random(3) === 0) writeU32(image, 0, 0x8081_0340 | (random(32) << 1));
    image[4] = random(2) ? random(256) : 0;
    if (random(2)) fill(image, 8, 14);
    if (random(2)) fill(image, 16, 22);
    if (random(3)) for (let i = 0; i < 8; i++) fill(image, 32 + 16 * i, 42 + 16 * i);
    // Selectors are not kept in 64-bit images.
    image.fill(0, 12, 16);
    image.fill(0, 20, 24);
  }
  writeU32(image, 24, random(2) ? 0x1f80 : 0x1f80 | random(64));
  if (components & 2n && random(4)) fill(image, 160, 416);
  for (const { bit, offset, size } of layout.components) {
    if (bit !== 9 && (components >> BigInt(bit)) & 1n && random(4)) fill(image, offset, offset + size);
  }
  writeU64(image, 512, components);
}

function randomState(layout: XstateLayout): Uint8Array {
  const image = resetImage(layout, 0);
  randomComponents(image, layout, someOf(layout.xcr0));
  writeU64(image, 512, readU64(image, 512) | (layout.xcr0 & PKRU));
  return image;
}

interface Case {
  op: number;
  mask: bigint;
  state: Uint8Array;
  area: Uint8Array;
}

interface Answer {
  signal: number;
  inUse: bigint;
  area: Uint8Array;
  state: Uint8Array;
}

function ask(cases: Case[], { binary }: Oracle): Answer[] {
  const input = Buffer.alloc(cases.length * (16 + 2 * AREA));
  cases.forEach((one, index) => {
    const at = index * (16 + 2 * AREA);
    input.writeUInt32LE(one.op, at);
    input.writeBigUInt64LE(one.mask, at + 8);
    input.set(one.state, at + 16);
    input.set(one.area, at + 16 + AREA);
  });
  const { stdout, signal } = spawnSync(binary, { input, maxBuffer: 1 << 28 });
  expect([signal, stdout.length]).toEqual([null, input.length]);
  return cases.map((_, index) => {
    const at = index * (16 + 2 * AREA);
    return {
      signal: stdout.readUInt32LE(at),
      inUse: stdout.readBigUInt64LE(at + 8),
      area: new Uint8Array(stdout.subarray(at + 16, at + 16 + AREA)),
      state: new Uint8Array(stdout.subarray(at + 16 + AREA, at + 16 + 2 * AREA)),
    };
  });
}

function mxcsrMaskOf(processor: Oracle): number {
  const [state, area] = [resetImage(processor.layout, 0), new Uint8Array(AREA)];
  const [answer] = ask([{ op: Op.xsave64, mask: -1n & 0xffff_ffffn, state, area }], processor);
  return readU32(answer.state, 28);
}

/** First differing offset, or -1. */
function difference(a: Uint8Array, b: Uint8Array): number {
  return Buffer.from(a).equals(Buffer.from(b)) ? -1 : a.findIndex((byte, index) => byte !== b[index]);
}

function applied(area: Uint8Array, chunks: AreaChunk[]): Uint8Array {
  const result = area.slice();
  for (const { offset, bytes } of chunks) result.set(bytes, offset);
  return result;
}

describe.skipIf(!oracle)('on this processor', () => {
  const { layout, pointersOnlyOnError } = oracle ?? {
    layout: hardwareLayout([], 3n),
    pointersOnlyOnError: false,
  };
  const mxcsrMask = oracle ? mxcsrMaskOf(oracle) : 0;
  const masks = [-1n, 0xeen, 7n, 6n, 4n, 2n, 1n, 0n];

  function saveCase(op: number): Case {
    const mask = random(2) ? BigInt.asUintN(64, masks[random(masks.length)]) : someOf(layout.xcr0);
    const area = Uint8Array.from({ length: AREA }, () => random(256));
    // XSAVE reads XSTATE_BV, and faults on a compacted header.
    if (op !== Op.xsavec && op !== Op.xsavec64) {
      area.fill(0, 512, 576);
      writeU64(area, 512, someOf(layout.xcr0));
    }
    return { op, mask, state: randomState(layout), area };
  }

  function compose({ op, mask, state, area }: Case): AreaChunk[] {
    const old = readU64(area, 512);
    const wide = op !== Op.xsave && op !== Op.xsavec;
    const rules = { wide, pointersOnlyOnError };
    if (op === Op.xsavec64 || op === Op.xsavec) return composeXsavec(state, layout, layout, mask, rules);
    if (op === Op.xsaveopt64) return composeXsaveopt(state, layout, layout, mask, old, rules);
    return composeXsave(state, layout, layout, mask, old, rules);
  }

  it.each(['xsave64', 'xsave', 'xsaveopt64', 'xsavec64', 'xsavec'] as const)(
    '%s writes the same bytes',
    (name) => {
      const cases = Array.from({ length: 300 }, () => saveCase(Op[name]));
      expectAgreement(cases, (one, answer) => {
        const [ours, theirs] = [applied(one.area, compose(one)), answer.area];
        const mxcsrMask = theirs.subarray(28, 32);
        if (difference(mxcsrMask, one.area.subarray(28, 32)) !== -1) ours.set(mxcsrMask, 28);
        if (answer.signal !== 0) return `signal ${answer.signal}`;
        return compared(ours, theirs) ?? comparedInUse(one.state, answer);
      });
    },
  );

  /** An area as a program might leave it: standard or compacted, now and then with a header that is refused. */
  function restoreCase(op: number): Case {
    const area = new Uint8Array(AREA);
    const components = someOf(layout.xcr0);
    if (random(2)) {
      const compaction = components | someOf(layout.xcr0);
      randomComponents(area, compactedLayout(layout, compaction), components);
      writeU64(area, 520, compaction | COMPACTED);
    } else {
      randomComponents(area, layout, components);
    }
    if (random(4) === 0) area[512 + random(64)] ^= 1 << random(8);
    if (random(8) === 0) area[24 + random(4)] ^= 1 << random(8);
    const mask = random(2) ? BigInt.asUintN(64, masks[random(masks.length)] & ~PKRU) : someOf(layout.xcr0);
    return { op, mask, state: randomState(layout), area };
  }

  it.each(['xrstor64', 'xrstor'] as const)('%s leaves the same state and faults alike', (name) => {
    const cases = Array.from({ length: 600 }, () => restoreCase(Op[name]));
    let faults = 0;
    expectAgreement(cases, ({ op, mask, state, area }, answer) => {
      const rules = { wide: op === Op.xrstor64, mxcsrMask };
      const result = loadXrstor(area, state, layout, layout, mask, rules);
      if ((result === null ? 11 : 0) !== answer.signal) return `signal ${answer.signal}`;
      if (!result) return void faults++;
      // What XSAVE64 with all bits makes of our result is what it made of the processor's state.
      const chunks = composeXsave(result, layout, layout, -1n, 0n, { pointersOnlyOnError, mxcsrMask });
      return compared(applied(new Uint8Array(AREA), chunks), answer.state) ?? comparedInUse(result, answer);
    });
    expect(faults).toBeGreaterThan(20);
    expect(faults).toBeLessThan(400);
  });

  function comparedInUse(state: Uint8Array, { inUse }: Answer): string | undefined {
    const ours = xgetbv1(state, layout, pointersOnlyOnError) & 0xffff_ffffn;
    return ours === inUse ? undefined : `XGETBV(1) ${inUse}, ours ${ours}`;
  }
});

function compared(ours: Uint8Array, theirs: Uint8Array): string | undefined {
  const at = difference(ours, theirs);
  return at < 0 ? undefined : `byte ${at}: ${theirs[at]}, ours ${ours[at]}`;
}

/**
 * Every case must agree with the processor in one of a few runs: a context switch between two instructions of the
 * oracle may leave XINUSE bits set for components in their initial state.
 */
function expectAgreement(cases: Case[], problemOf: (one: Case, answer: Answer) => string | undefined): void {
  let rest = cases;
  const problems: string[] = [];
  for (let round = 0; round < 6 && rest.length > 0; round++) {
    const answers = ask(rest, oracle!);
    problems.length = 0;
    rest = rest.filter((one, index) => {
      const problem = problemOf(one, answers[index]);
      if (problem) problems.push(`${problem} (mask ${one.mask.toString(16)}, ${hexOf(one.area)})`);
      return problem;
    });
  }
  expect(problems).toEqual([]);
}

const hexOf = (area: Uint8Array): string => Buffer.from(area.subarray(512, 576)).toString('hex');
