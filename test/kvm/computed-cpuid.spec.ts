/**
 * Results of CPUID that are the processor's, or that KVM computes from state that the guest does not have, such as the size
 * of XSAVES areas from IA32_XSS: the program must see the recorded results.
 */
import path from 'node:path';
import { describe, expect, it, vi } from 'vitest';
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
import { describeMachines, makeMachine, useTransport } from './guest.js';

/** Leaves that have no APIC ID. */
const COMMON = [0, 7, 0xd];
const APIC_ID = 'CPUID 0x1 EBX';
/** What CET_U and CET_S add to the size of a compacted area. */
const SHADOW_STACKS = 0x28;
const OSXSAVE = 1 << 27;
const OSPKE = 1 << 4;

describeMachines(specsOf);

function specsOf(kind: 'emulated' | 'process'): void {
  let transport: VcpuTransport;
  useTransport(kind, (opened) => (transport = opened));

  /**
   * The machine's own processor with some results changed, but not the state that KVM computes them from. A process is run by
   * any of the host's: of what is not changed it has what they have in common.
   */
  function changed(change: (entry: CpuidEntry) => Partial<CpuidEntry> | null): Machine {
    const { cpuid } = nativeConfig(transport);
    const entries = cpuid.filter(
      (entry) => kind === 'emulated' || COMMON.includes(entry.function) || change(entry) !== null,
    );
    return makeMachine(transport, { cpuid: entries.map((entry) => ({ ...entry, ...change(entry) })) });
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
    ['CPUID 0x1 ECX', ({ function: leaf, ecx }) => (leaf === 1 ? { ecx: (ecx ^ OSXSAVE) >>> 0 } : null)],
    [
      'CPUID 0x7.0 ECX',
      ({ function: leaf, index, ecx }) => (leaf === 7 && index === 0 ? { ecx: (ecx ^ OSPKE) >>> 0 } : null),
    ],
  ];

  describe('what is not as recorded', () => {
    it.each(computed)('%s: is answered in software', (name, change) => {
      const machine = changed(change);
      const { passed, cpuidHere } = probe(machine);
      expect(passed).toBe(true);
      // The APIC ID beside it is of the processor that the program happens to be on.
      const found = kind === 'emulated' ? cpuidHere : cpuidHere.filter((text) => !text.startsWith(APIC_ID));
      expect(found).toEqual([expect.stringMatching(new RegExp(`^${name} is 0x[0-9a-f]+, recorded 0x`))]);
      expect(machine.config).toMatchObject({ cpuidFaulting: true, cpuidInSoftware: true });
      machine.restart();
      expect(probe(machine).passed).toBe(true);
    });

    it('is left to the processor where all of it is as recorded and diversions can intercept it', () => {
      const machine = changed(() => null);
      machine.interceptCpuid = () => true;
      expect(probe(machine)).toMatchObject({ passed: true, cpuidHere: [] });
      expect(machine.config.cpuidFaulting).toBe(false);
    });

    it('is hidden where all of it is as recorded, but diversions could not intercept it', () => {
      const machine = changed(() => null);
      if (kind === 'emulated') expect(machine.interceptCpuid(true)).toBe(false);
      else machine.interceptCpuid = () => false;
      const hides = vi.spyOn(machine, 'answerCpuidInSoftware');
      expect(probe(machine)).toMatchObject({ passed: true, cpuidHere: [] });
      expect(hides).toHaveBeenCalledOnce();
      expect(machine.config.cpuidFaulting).toBe(true);
      // A host's processor may be able to fault.
      if (kind === 'emulated') expect(machine.hidesCpuid).toBe(true);
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
        expect(findings.filter(({ ok }) => !ok).map(({ name }) => name)).toEqual([
          'CPUID',
          'CPUID 0xd.1 EBX',
        ]);
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
}
