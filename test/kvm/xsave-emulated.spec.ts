/**
 * The software XSAVE family against emulated processors, with and without protection keys, as
 * recorded on one. src/engine/x86/xsave-oracle.spec.ts uses this processor.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Exit } from '../../src/engine/kvm/exit.js';
import { nativeConfig } from '../../src/engine/kvm/native-config.js';
import type { ProbeGuest } from '../../src/engine/kvm/probe-guest.js';
import { DATA } from '../../src/engine/kvm/probe-guest.js';
import { programs } from '../../src/engine/kvm/probe-programs.js';
import type { Machine } from '../../src/engine/kvm/machine.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { EMULATOR } from '../../src/engine/x86/xsave-traits.js';
import { hardwareLayout, PKRU, type XstateLayout } from '../../src/engine/x86/xstate-layout.js';
import { acquire, makeMachine, program, withGuest } from './guest.js';
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
} from './xsave-cases.js';

const INT3 = 0xcc;
const [UD, GP] = [6, 13];
const SIGSEGV = 11;
const SIGILL = 4;
/** The emulator's MXCSR_MASK. */
const MXCSR_MASK = 0xffff;
/** Each with its operand at (%rdi). */
const INSTRUCTIONS: Readonly<Record<number, Uint8Array>> = {
  [Op.xsave64]: program(0x48, 0x0f, 0xae, 0x27, INT3),
  [Op.xsave]: program(0x0f, 0xae, 0x27, INT3),
  [Op.xsaveopt64]: program(0x48, 0x0f, 0xae, 0x37, INT3),
  [Op.xrstor64]: program(0x48, 0x0f, 0xae, 0x2f, INT3),
  [Op.xrstor]: program(0x0f, 0xae, 0x2f, INT3),
};

function ask(machine: Machine, guest: ProbeGuest, { op, mask, state, area }: Case): Answer {
  const { context } = machine;
  const xstate = context.xstate.subarray(0, AREA);
  xstate.set(state);
  context.requestXrstor();
  guest.data.set(area);
  const registers = { rdi: BigInt(DATA), rax: mask & 0xffff_ffffn, rdx: (mask >> 32n) & 0xffff_ffffn };
  const { exit, vector } = guest.run(INSTRUCTIONS[op], registers);
  const signal = exit !== Exit.Exception || vector === UD ? SIGILL : vector === GP ? SIGSEGV : 0;
  const stored = guest.data.slice(0, AREA);
  const asked = guest.run(programs.xgetbv1);
  const inUse = asked.vector === GP ? null : guest.register('rax');
  xstate.fill(0);
  machine.saveXstate();
  return { signal, inUse, area: stored, state: xstate.slice() };
}

describe.each([
  ['with protection keys', undefined, true],
  ['without', 'EPYC-Rome', false],
] as const)('an emulated processor %s', (_, cpu, keys) => {
  let transport: VcpuTransport;
  let layout: XstateLayout;
  beforeAll(async () => {
    transport = await acquire(cpu);
    const native = nativeConfig(transport);
    layout = hardwareLayout(makeMachine(transport).hardwareCpuid, native.xcr0);
  });
  afterAll(() => transport?.close());

  function problems<T extends Case>(
    cases: T[],
    problemOf: (one: T, answer: Answer) => string | undefined,
  ): string[] {
    const machine = makeMachine(transport);
    return withGuest(machine, (guest) =>
      cases.flatMap((one) => {
        const problem = problemOf(one, ask(machine, guest, one));
        return problem ? [`${problem} (mask ${one.mask.toString(16)}, ${headerText(one.area)})`] : [];
      }),
    );
  }

  it('has them, or has not', () => {
    expect((layout.xcr0 & PKRU) !== 0n).toBe(keys);
  });

  it.each(['xsave64', 'xsave', 'xsaveopt64'] as const)('%s writes the same bytes', (name) => {
    const cases = Array.from({ length: 100 }, () => saveCase(Op[name], layout));
    for (const { state } of cases) state.fill(0, 6, 24); // FOP, FIP and FDP do not exist there
    expect(problems(cases, (one, answer) => saveProblem(one, answer, layout, EMULATOR))).toEqual([]);
  });

  it.each(['xrstor64', 'xrstor'] as const)('%s leaves the same state and has the same faults', (name) => {
    const options = { compacted: false, badMxcsr: false };
    const cases = Array.from({ length: 200 }, () => restoreCase(Op[name], layout, options));
    for (const { state, area } of cases) for (const image of [state, area]) image.fill(0, 6, 24);
    const rules = { mxcsrMask: MXCSR_MASK, hasXsavec: false };
    const seen = problems(cases, (one, answer) => restoreProblem(one, answer, layout, EMULATOR, rules));
    expect(seen).toEqual([]);
  });

  it.skipIf(!keys)('stores eight bytes of PKRU', () => {
    for (const op of [Op.xsave64, Op.xsave, Op.xsaveopt64]) {
      const one = pkruCase(op, layout);
      expect(problems([one], (_one, answer) => `${pkruStored(one, answer, layout)}`)).toEqual([
        expect.stringMatching(/^8 /),
      ]);
    }
  });
});
