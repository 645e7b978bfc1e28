import { expect, it, vi } from 'vitest';
import { Cr4 } from '../../src/engine/kvm/cpuid.js';
import { ControlOffset } from '../../src/engine/kvm/layout.js';
import { probe, type Exceptions } from '../../src/engine/kvm/probe.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { WATCHED } from '../../src/engine/x86/unraised.js';
import { describeMachines, makeMachine, useTransport } from './guest.js';

describeMachines(specsOf);

function specsOf(kind: 'emulated' | 'process'): void {
  let transport: VcpuTransport;
  useTransport(kind, (opened) => (transport = opened));

  it('finds the machine faithful', () => {
    const machine = makeMachine(transport);
    const probeReport = probe(machine);
    expect(probeReport.findings.filter((finding) => !finding.ok)).toEqual([]);
    expect(probeReport.findings.length).toBeGreaterThan(15);
    expect(probeReport.passed).toBe(true);
    expect(probeReport.xcr0Seen).toBe(machine.shownXcr0);
  });

  it('finds every exception raised, or completed in replays', () => {
    const machine = makeMachine(transport);
    const before = runs(transport);
    const { findings, leftOut } = probe(machine, 'every');
    expect(findings.filter((finding) => !finding.ok)).toEqual([]);
    expect(findings.length).toBeGreaterThan(120);
    if (kind === 'emulated') expect(runs(transport) - before).toBeLessThan(250);
    if (kind === 'emulated') expect(leftOut).toEqual(expect.arrayContaining([...WATCHED]));
    // Nothing of it stays: the same vCPU does as before.
    expect(probe(machine).findings.filter((finding) => !finding.ok)).toEqual([]);
  });

  it('probes only what is needed before a replay', () => {
    const machine = makeMachine(transport);
    const runsOf = (exceptions: Exceptions): number => {
      const before = runs(transport);
      probe(machine, exceptions);
      return runs(transport) - before;
    };
    // Each of the others takes one run at least. A counter, and the state that a processor has, take some in both.
    const every = runsOf('every');
    const all = machine.leftOut;
    const watched = runsOf('watched');
    expect(every - watched).toBeGreaterThan(70);
    expect([...machine.leftOut].sort()).toEqual([...all].filter((kind) => WATCHED.has(kind)).sort());
    if (kind === 'process') return;
    expect(watched).toBeLessThan(60);
    expect(machine.leftOut.size).toBe(WATCHED.size);
  });

  it('does so again in the same VM, whose memory it left zeroed', () => {
    const machine = makeMachine(transport);
    probe(machine);
    const free = new Uint8Array(machine.pool, machine.firstFree, 0x10000);
    expect(free.every((byte) => byte === 0)).toBe(true);
    expect(probe(machine).passed).toBe(true);
  });

  it('detects a machine that is not as requested', () => {
    const machine = makeMachine(transport);
    vi.spyOn(machine, 'config', 'get').mockReturnValue({
      ...machine.config,
      cr4: machine.config.cr4 & ~Cr4.TSD,
    });
    const { passed, findings } = probe(machine);
    expect(passed).toBe(false);
    expect(findings.filter(({ ok }) => !ok)).toEqual([
      { name: 'RDTSC', expected: '#BP at 0x400003', seen: '#GP at 0x400000', ok: false },
    ]);
  });

  it('detects an XCR0 that is not as requested', (context) => {
    context.skip(kind === 'process', "a process has the host's, and hides it");
    const machine = makeMachine(transport);
    const lied = { ...machine.config, xcr0: 3n };
    vi.spyOn(machine, 'config', 'get').mockReturnValue(lied);
    const probeReport = probe(machine);
    expect(probeReport.passed).toBe(false);
    expect(probeReport.findings.find((finding) => finding.name === 'XCR0 by XGETBV')).toEqual({
      name: 'XCR0 by XGETBV',
      expected: '0x3 (x87, SSE)',
      seen: '0x207 (x87, SSE, AVX, PKRU)',
      ok: false,
    });
  });

  /** KVM_RUNs of this vCPU so far. */
  const runs = ({ pool }: VcpuTransport): number => new Uint32Array(pool, ControlOffset.runIoctls, 1)[0];
}
