import { describe, expect, it } from 'vitest';
import type { ProbeReport } from '../engine/kvm/probe.js';
import type { CpuidRecord } from '../engine/trace/records.js';
import type { XstateComponent } from '../engine/x86/xstate-layout.js';
import { recordedLayout } from '../engine/x86/xstate-layout.js';
import type { MachineCapabilities, TraceRequirements } from './requirements.js';
import { approximatesOtherwise, completesApproximations, incompatibleError, judge } from './requirements.js';

const leaf = (eaxIn: number, ecxIn: number, eax = 0, ebx = 0, ecx = 0, edx = 0): CpuidRecord => ({
  eaxIn,
  ecxIn,
  eax,
  ebx,
  ecx,
  edx,
});

/** CPUID of a processor with AVX, and PKRU at this offset. */
const cpuid = (pkru: number, xsavec = 0): CpuidRecord[] => [
  leaf(0xd, 0, 0x207, pkru + 8, pkru + 8),
  leaf(0xd, 1, xsavec),
  leaf(0xd, 2, 256, 576),
  leaf(0xd, 9, 8, pkru),
  leaf(0x80000008, 0xffffffff, 0x3028),
];

const needs = (change: Partial<TraceRequirements> = {}): TraceRequirements => ({
  xcr0: 0x207n,
  layout: {
    xcr0: 0x207n,
    size: 2696,
    components: [
      { bit: 2, offset: 576, size: 256, aligned: false },
      { bit: 9, offset: 2688, size: 8, aligned: false },
    ],
  },
  cpuid: cpuid(2688),
  cpuidFaulting: false,
  addressBits: 48,
  ...change,
});

const capabilities = (change: Partial<MachineCapabilities> = {}): MachineCapabilities => ({
  kind: 'emulated',
  description: 'some machine',
  xcr0: 0x207n,
  cpuid: cpuid(2688),
  completes: false,
  probeReport: null,
  ...change,
});

const probeReport = (name: string): ProbeReport => ({
  kind: 'host',
  description: 'some machine',
  xcr0Seen: 7n,
  findings: [
    { name, expected: 'a', seen: 'b', ok: false },
    { name: 'single step', expected: 'c', seen: 'c', ok: true },
  ],
  passed: false,
  xsavec: true,
  xgetbv1: true,
  compactedXrstor: true,
  cpuidHere: [],
  leftOut: [],
  dataBreakpoints: true,
  branchCounterProblem: 'none here',
});

describe('judge', () => {
  it('takes a machine that has everything', () => {
    expect(judge(needs(), capabilities())).toEqual({ ok: true, reasons: [], notes: [], hint: undefined });
  });

  it('names the exceptions that the machine leaves out', () => {
    const seen = {
      ...probeReport(''),
      findings: [],
      passed: true,
      leftOut: ['simd', 'x87'],
    } satisfies ProbeReport;
    const { ok, notes } = judge(needs(), capabilities({ probeReport: seen }));
    expect(ok).toBe(true);
    expect(notes).toEqual([
      'Exceptions that are completed in replays, most not in diversions: #XM, #MF of x87 and MMX instructions.',
    ]);
  });

  it('names a missing XCR0 bit and where it can be had', () => {
    const compatibility = judge(needs(), capabilities({ xcr0: 7n, completes: false }));
    expect(compatibility.ok).toBe(false);
    expect(compatibility.reasons.join()).toContain('XCR0 bit 9 (PKRU, protection keys)');
    expect(compatibility.hint).toContain('The default emulated machine has it');
    expect(judge(needs(), capabilities({ xcr0: 7n, completes: false, kind: 'host' })).hint).toContain(
      '--machine emulated',
    );
    expect(incompatibleError(compatibility)).toMatchObject({
      code: 'E_MACHINE_CANNOT',
      hint: compatibility.hint,
    });
  });

  it('believes that there is no XSAVE, but not of who offers components of it', () => {
    const features = (ecx: number): CpuidRecord => ({ eaxIn: 1, ecxIn: 0, eax: 0, ebx: 0, ecx, edx: 0 });
    const recorded = needs({ xcr0: 3n, cpuid: [...cpuid(2688), features((1 << 26) | (1 << 27))] });
    const without = { cpuid: [...cpuid(2688), features(0)] };
    expect(judge(recorded, capabilities({ ...without, xcr0: 3n })).reasons).toEqual([
      'The recording has XSAVE and XGETBV, which some machine does not have.',
    ]);
    // The probe finds out what there is.
    expect(judge(recorded, capabilities(without)).reasons).toEqual([]);
  });

  it('keeps protection keys beside a processor that lacks them', () => {
    const compatibility = judge(needs(), capabilities({ xcr0: 7n, completes: true }));
    expect(compatibility).toMatchObject({ ok: true, reasons: [] });
    expect(compatibility.notes.join('\n')).toMatch(/PKRU/);
  });

  it('does not promise what the emulator lacks', () => {
    const compatibility = judge(needs({ xcr0: 0xe7n }), capabilities({ kind: 'host' }));
    expect(compatibility.hint).toMatch(
      /in software, without --no-completion.* whose processor has XCR0 bits .*AVX-512/,
    );
    expect(compatibility.hint).not.toContain('--machine');
  });

  it('keeps AVX-512 beside a processor that lacks it, where instructions are completed', () => {
    const avx512: XstateComponent[] = [
      { bit: 2, offset: 576, size: 256, aligned: false },
      { bit: 5, offset: 1088, size: 64, aligned: false },
      { bit: 6, offset: 1152, size: 512, aligned: false },
      { bit: 7, offset: 1664, size: 1024, aligned: false },
    ];
    const features = { eaxIn: 7, ecxIn: 0, eax: 0, ebx: (1 << 16) | (1 << 31), ecx: 0, edx: 0 };
    const wanted = needs({
      xcr0: 0xe7n,
      layout: { xcr0: 0xe7n, size: 2688, components: avx512 },
      cpuid: [...cpuid(2688), features],
    });
    const { ok, notes } = judge(wanted, capabilities({ completes: true }));
    expect(judge(wanted, capabilities({ completes: true, kind: 'process' }))).toMatchObject({ ok, notes });
    expect(judge(wanted, capabilities({ kind: 'process' })).reasons.join()).toMatch(
      /AVX-512.* does not have/,
    );
    expect(ok).toBe(true);
    expect(notes).toEqual([
      'Kept beside the processor, which does not have it: XCR0 bits 5, 6, 7 (opmask, ZMM_Hi256, Hi16_ZMM: AVX-512).',
      'XSAVE, XSAVEC, XSAVEOPT, XRSTOR, XGETBV and CPUID are completed in software, in the recorded layout.',
      'Completed in software: AVX512F, AVX512VL.',
    ]);
  });

  it('takes AVX-512 where the processor has it at other offsets', () => {
    const at = (offsets: readonly [opmask: number, upper: number, high: number, pkru: number]) =>
      [64, 512, 1024, 8].map((size, index) => leaf(0xd, [5, 6, 7, 9][index], size, offsets[index]));
    const [intel, amd] = [at([1088, 1152, 1664, 2688]), at([832, 896, 1408, 2432])];
    const ofXcr0 = (xcr0: bigint, records: CpuidRecord[]): CpuidRecord[] => [
      leaf(0xd, 0, Number(xcr0), 2696, 2696),
      leaf(0xd, 1, 2),
      leaf(0xd, 2, 256, 576),
      ...records,
    ];
    for (const [there, here] of [
      [intel, amd],
      [amd, intel],
    ]) {
      const recorded = ofXcr0(0xe7n, there.slice(0, 3));
      const wanted = needs({ xcr0: 0xe7n, layout: recordedLayout(recorded, 0xe7n), cpuid: recorded });
      const processor = { kind: 'process', xcr0: 0x2e7n, cpuid: ofXcr0(0x2e7n, here) } as const;
      const { ok, notes } = judge(wanted, capabilities({ ...processor, completes: true }));
      expect(ok).toBe(true);
      expect(
        notes.slice(0, 3).every((note) => /^XSAVE areas have (opmask|ZMM_Hi256|Hi16_ZMM) at/.test(note)),
      ).toBe(true);
      expect(notes.join()).not.toContain('beside');
    }
  });

  it('refuses tiles in a process whose processor has them', () => {
    const tiles = [leaf(0xd, 17, 64, 2752), leaf(0xd, 18, 8192, 2816)];
    const recorded = [leaf(0xd, 0, 0x60207, 11008, 11008), ...cpuid(2688, 2).slice(1), ...tiles];
    const wanted = needs({ xcr0: 0x60207n, layout: recordedLayout(recorded, 0x60207n), cpuid: recorded });
    const here = (edx: number) => [...cpuid(2688, 2), leaf(7, 0, 0, 0, 0, edx)];
    const judged = (kind: 'process' | 'host', edx: number) =>
      judge(wanted, capabilities({ kind, completes: true, cpuid: here(edx) }));
    expect(judged('process', 0).ok).toBe(true);
    expect(judged('process', 1 << 24).reasons.join()).toMatch(/tiles \(AMX\)/);
    expect(judged('host', 1 << 24).ok).toBe(true);
  });

  it('takes components at other offsets, and says what that costs', () => {
    const { ok, notes } = judge(needs(), capabilities({ cpuid: cpuid(832) }));
    expect(ok).toBe(true);
    expect(notes).toEqual([
      'XSAVE areas have PKRU at 2688 (8 bytes) in the recording and at 832 (8 bytes) here.',
      'XSAVE, XSAVEC, XSAVEOPT, XRSTOR, XGETBV and CPUID are completed in software, in the recorded layout.',
    ]);
  });

  it('refuses addresses that are too wide', () => {
    expect(judge(needs({ addressBits: 57 }), capabilities()).reasons.join()).toContain(
      '57 bits; here they have 48',
    );
  });

  it('believes what the probe saw, and says what it means', () => {
    const { ok, reasons } = judge(needs(), capabilities({ probeReport: probeReport('XCR0 by XGETBV') }));
    expect(ok).toBe(false);
    expect(reasons).toHaveLength(1);
    expect(reasons[0]).toMatch(/expected a, seen b: the program would see another XCR0/);
  });

  it('takes results of CPUID that are answered in software, and names a few', () => {
    const differing = [1, 2, 3, 4, 5].map((n) => `CPUID 0xd.${n} EBX is 0x1, recorded 0x2`);
    const seen = { ...probeReport(''), findings: [], passed: true, cpuidHere: differing };
    const { ok, notes } = judge(needs(), capabilities({ probeReport: seen }));
    expect(ok).toBe(true);
    expect(notes.join()).toMatch(
      /answered from the recording: here CPUID 0xd.1 .*; CPUID 0xd.3 .*, and 2 more\./,
    );
  });

  it('knows whose approximations are the recorded ones', () => {
    expect(approximatesOtherwise(needs(), capabilities({ kind: 'host' }))).toBe(false);
    expect(approximatesOtherwise(needs(), capabilities({ kind: 'emulated' }))).toBe(true);
    const vendor = { eaxIn: 0, ecxIn: 0xffff_ffff, eax: 0, ebx: 0x6874_7541, ecx: 0, edx: 0 };
    expect(approximatesOtherwise(needs({ cpuid: [vendor] }), capabilities({ kind: 'host' }))).toBe(true);
  });

  it('computes them by the tables of Intel and AMD, not what an emulator recorded', () => {
    const [intel, amd] = [leaf(0, 0xffff_ffff, 0, 0x756e_6547), leaf(0, 0xffff_ffff, 0, 0x6874_7541)];
    const emulator = leaf(0x4000_0000, 0xffff_ffff, 0, 0x5447_4354);
    const completes = (recorded: CpuidRecord[], kind: 'emulated' | 'host', here: CpuidRecord[]) =>
      completesApproximations(
        needs({ cpuid: recorded }),
        capabilities({ kind, cpuid: here, completes: true }),
      );
    expect(completes([intel], 'host', [amd])).toBe(true);
    expect(completes([intel], 'host', [intel])).toBe(false);
    expect(completes([amd], 'emulated', [intel])).toBe(true);
    expect(completes([amd, emulator], 'emulated', [amd])).toBe(false);
    expect(completes([amd, emulator], 'host', [amd])).toBe(false);
    expect(completes([], 'emulated', [amd])).toBe(false);
  });

  it('notes XSAVEC, which is completed in software', () => {
    const { ok, notes } = judge(needs({ cpuid: cpuid(2688, 2) }), capabilities());
    expect(ok).toBe(true);
    expect(notes).toEqual(['Completed in software: XSAVEC.']);
  });
});
