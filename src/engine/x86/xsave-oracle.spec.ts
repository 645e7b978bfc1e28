/**
 * Compares the software XSAVE family with this machine's processor, if there is a C compiler.
 * test/kvm/xsave-emulated.spec.ts does the same with emulated ones.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import {
  AREA,
  headerText,
  Op,
  pkruCase,
  pkruStored,
  restoreCase,
  restoreProblem,
  saveCase,
  saveProblem,
  type Answer,
  type Case,
} from '../../../test/kvm/xsave-cases.js';
import { AMD, INTEL, xsaveTraits, type XsaveTraits } from './xsave-traits.js';
import { readU32, resetImage } from './xstate-image.js';
import type { CpuidLeaf, XstateLayout } from './xstate-layout.js';
import { findLeaf, hardwareLayout, PKRU, PKRU_BIT } from './xstate-layout.js';

const ANY = 0xffff_ffff;
const REQUEST = 16 + 2 * AREA;
/** Tries of a case that seems to disagree. */
const ROUNDS = 20;
/** CPUID(1).EAX without the stepping: AMD family 19h, model 1, of which the width of PKRU was measured. */
const ZEN3 = 0xa0_0f10;
const SAVES = ['xsave64', 'xsave', 'xsaveopt64', 'xsavec64', 'xsavec'] as const;

interface Oracle {
  binary: string;
  records: CpuidLeaf[];
  layout: XstateLayout;
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
  let xcr0 = 0n;
  for (const line of lines) {
    const [first, ...rest] = line.split(' ');
    const [eax, ebx, ecx, edx] = rest.map(Number);
    if (first === 'xcr0') xcr0 = (BigInt(ebx) << 32n) | BigInt(eax);
    else if (first === 'leaf0') records.push({ eaxIn: 0, ecxIn: ANY, eax, ebx, ecx, edx });
    else if (first === 'leaf1') records.push({ eaxIn: 1, ecxIn: ANY, eax, ebx, ecx, edx });
    else records.push({ eaxIn: 0xd, ecxIn: Number(first), eax, ebx, ecx, edx });
  }
  const layout = hardwareLayout(records, xcr0);
  if (!(records[1].eax & 2) || layout.size > AREA) return null;
  return { binary, records, layout };
}

const oracle = buildOracle();

function ask(cases: Case[]): Answer[] {
  const input = Buffer.alloc(cases.length * REQUEST);
  cases.forEach((one, index) => {
    const at = index * REQUEST;
    input.writeUInt32LE(one.op, at);
    input.writeBigUInt64LE(one.mask, at + 8);
    input.set(one.state, at + 16);
    input.set(one.area, at + 16 + AREA);
  });
  const { stdout, signal } = spawnSync(oracle!.binary, { input, maxBuffer: 1 << 28 });
  expect([signal, stdout.length]).toEqual([null, input.length]);
  return cases.map((_, index) => {
    const at = index * REQUEST;
    return {
      signal: stdout.readUInt32LE(at),
      inUse: stdout.readBigUInt64LE(at + 8),
      area: new Uint8Array(stdout.subarray(at + 16, at + 16 + AREA)),
      state: new Uint8Array(stdout.subarray(at + 16 + AREA, at + 16 + 2 * AREA)),
    };
  });
}

function mxcsrMask(layout: XstateLayout): number {
  const state = new Uint8Array(AREA);
  state.set(resetImage(layout, 0));
  const [answer] = ask([{ op: Op.xsave64, mask: 0xffff_ffffn, state, area: new Uint8Array(AREA) }]);
  return readU32(answer.state, 28);
}

/**
 * Bytes of PKRU that an instruction of this processor stores. Implementation-defined behaviour is
 * probed, so that the comparison of the rest is valid on any.
 */
function storedPkru(op: number, layout: XstateLayout): number {
  const one = pkruCase(op, layout);
  return pkruStored(one, ask([one])[0], layout);
}

describe.skipIf(!oracle)('on this processor', () => {
  const layout = oracle?.layout ?? hardwareLayout([], 3n);
  const known = xsaveTraits(oracle?.records ?? []);
  // The states were loaded by this processor's XRSTOR, so that what an Intel remembers of them is known.
  const traits = known === INTEL ? { ...INTEL, inUse: 'loaded' as const } : known;
  const mask = oracle ? mxcsrMask(layout) : 0;

  function traitsOf(op: number): XsaveTraits {
    if (!(layout.xcr0 & PKRU)) return traits;
    return { ...traits, storedBytes: { ...traits.storedBytes, [PKRU_BIT]: storedPkru(op, layout) } };
  }

  it.each(SAVES)('%s writes the same bytes', (name) => {
    const cases = Array.from({ length: 300 }, () => saveCase(Op[name], layout));
    const measured = traitsOf(Op[name]);
    expectAgreement(cases, (one, answer) => saveProblem(one, answer, layout, measured));
  });

  it.each(['xrstor64', 'xrstor'] as const)('%s leaves the same state and has the same faults', (name) => {
    const options = { compacted: true, badMxcsr: true };
    const cases = Array.from({ length: 600 }, () => restoreCase(Op[name], layout, options));
    const measured = traitsOf(Op.xsave64);
    let faults = 0;
    expectAgreement(cases, (one, answer) => {
      const problem = restoreProblem(one, answer, layout, measured, { mxcsrMask: mask });
      if (!problem && answer.signal !== 0) faults++;
      return problem;
    });
    expect(faults).toBeGreaterThan(20);
    expect(faults).toBeLessThan(400);
  });

  const signature = findLeaf(oracle?.records ?? [], 1, 0)?.eax ?? 0;
  it.skipIf(signature >>> 4 !== ZEN3 >>> 4 || !(layout.xcr0 & PKRU))(
    'stores what Zen 3 stores of PKRU',
    () => {
      for (const op of [Op.xsave64, Op.xsave]) expect(storedPkru(op, layout)).toBe(AMD.storedBytes[PKRU_BIT]);
    },
  );
});

/**
 * Every case must agree with the processor in one of a few runs: a context switch between two instructions of the
 * oracle may leave XINUSE bits set for components in their initial state.
 */
function expectAgreement(cases: Case[], problemOf: (one: Case, answer: Answer) => string | undefined): void {
  let rest = cases;
  const problems: string[] = [];
  for (let round = 0; round < ROUNDS && rest.length > 0; round++) {
    const answers = ask(rest);
    problems.length = 0;
    rest = rest.filter((one, index) => {
      const problem = problemOf(one, answers[index]);
      if (problem) problems.push(`${problem} (mask ${one.mask.toString(16)}, ${headerText(one.area)})`);
      return problem;
    });
  }
  expect(problems).toEqual([]);
}
