/**
 * Results of CPUID that are the processor's, or that KVM computes from state that the guest does not have, such as the size
 * of XSAVES areas from IA32_XSS: the program must see the recorded results.
 */
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RevenantError } from '../../src/engine/base/errors.js';
import { silentLogger } from '../../src/engine/base/log.js';
import type { CpuidEntry } from '../../src/engine/kvm/control.js';
import type { Machine } from '../../src/engine/kvm/machine.js';
import { nativeConfig } from '../../src/engine/kvm/native-config.js';
import { probe } from '../../src/engine/kvm/probe.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { ReplaySession } from '../../src/engine/replay/session.js';
import { TraceReader } from '../../src/engine/trace/reader.js';
import { tryMachine } from '../../src/machine/choose.js';
import { toEnd } from '../replay/to-end.js';
import { acquire, makeMachine } from './guest.js';

/** What CET_U and CET_S add to the size of a compacted area. */
const SHADOW_STACKS = 0x28;
const OSXSAVE = 1 << 27;
const OSPKE = 1 << 4;

let transport: VcpuTransport;
beforeAll(async () => {
  transport = await acquire();
});
afterAll(() => transport?.close());

/** The machine's own processor with some results changed, but not the state that KVM computes them from. */
function changed(change: (entry: CpuidEntry) => Partial<CpuidEntry> | null): Machine {
  const { cpuid } = nativeConfig(transport);
  const entries = cpuid.map((entry) => ({ ...entry, ...change(entry) }));
  return makeMachine(transport, { cpuid: entries });
}

const computed: [name: string, (entry: CpuidEntry) => Partial<CpuidEntry> | null][] = [
  [
    'CPUID 0xd.1 EBX',
    ({ function: leaf, index, ebx }) => (leaf === 0xd && index === 1 ? { ebx: ebx + SHADOW_STACKS } : null),
  ],
  [
    'CPUID 0xd.0 EBX',
    ({ function: leaf, index, ebx }) => (leaf === 0xd && index === 0 ? { ebx: ebx + 64 } : null),
  ],
  ['CPUID 0x1 ECX', ({ function: leaf, ecx }) => (leaf === 1 ? { ecx: (ecx & ~OSXSAVE) >>> 0 } : null)],
  [
    'CPUID 0x7.0 ECX',
    ({ function: leaf, index, ecx }) => (leaf === 7 && index === 0 ? { ecx: (ecx & ~OSPKE) >>> 0 } : null),
  ],
];

describe('what is not as recorded', () => {
  it.each(computed)('%s: is answered in software', (name, change) => {
    const machine = changed(change);
    expect(probe(machine)).toMatchObject({
      passed: true,
      cpuidHere: [expect.stringMatching(new RegExp(`^${name} is 0x[0-9a-f]+, recorded 0x`))],
    });
    expect(machine.config).toMatchObject({ cpuidFaulting: true, cpuidInSoftware: true });
    machine.restart();
    expect(probe(machine).passed).toBe(true);
  });

  it('is left to the processor where all of it is as recorded and diversions can intercept it', () => {
    const machine = makeMachine(transport);
    machine.interceptCpuid = () => true;
    expect(probe(machine)).toMatchObject({ passed: true, cpuidHere: [] });
    expect(machine.config.cpuidFaulting).toBe(false);
  });

  it('is hidden where all of it is as recorded, but diversions could not intercept it', () => {
    const machine = makeMachine(transport);
    expect(machine.interceptCpuid(true)).toBe(false);
    expect(probe(machine)).toMatchObject({ passed: true, cpuidHere: [] });
    expect(machine.config.cpuidFaulting).toBe(true);
    expect(machine.hidesCpuid).toBe(true);
  });

  it('is a reason to refuse only where CPUID cannot be made to fault', () => {
    const refuses = changed(computed[0][1]);
    refuses.answerCpuidInSoftware = () => {
      throw new RevenantError('E_MACHINE_CANNOT', 'KVM refused CPUID faulting');
    };
    const ignores = changed(computed[0][1]);
    ignores.answerCpuidInSoftware = () => {};
    for (const machine of [refuses, ignores]) {
      const { passed, findings } = probe(machine);
      expect(passed).toBe(false);
      expect(findings.filter(({ ok }) => !ok).map(({ name }) => name)).toEqual(['CPUID', 'CPUID 0xd.1 EBX']);
    }
  });
});

it('a recording of a kernel with shadow stacks replays to its end', async () => {
  const trace = TraceReader.open(path.resolve(import.meta.dirname, '../../traces/zen2/xcr0probe'));
  const { header } = trace;
  const cpuidRecords = header.cpuidRecords.map((record) =>
    record.eaxIn === 0xd && record.ecxIn === 1 ? { ...record, ebx: record.ebx + SHADOW_STACKS } : record,
  );
  expect(cpuidRecords).not.toEqual(header.cpuidRecords);
  Object.assign(header, { cpuidRecords });
  const trial = tryMachine(transport, header);
  expect(trial.compatibility).toMatchObject({ ok: true, reasons: [] });
  if (!trial.ok) return;
  const { machine } = trial;
  const session = ReplaySession.open({
    trace,
    machine,
    log: silentLogger,
    output: () => {},
    memoryLimitBytes: 2 ** 28,
    stallLimitMicros: 60e6,
  });
  try {
    await toEnd(session);
    expect(session.stats.completedInstructions).toBeGreaterThan(10);
  } finally {
    session.close();
    trace.close();
  }
});
