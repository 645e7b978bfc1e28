/** The processor that the guest sees: XCR0, CPUID, RDTSC. */
import { describe, expect, it } from 'vitest';
import { RevenantError } from '../../src/engine/base/errors.js';
import { Cr4 } from '../../src/engine/kvm/cpuid.js';
import { Exit } from '../../src/engine/kvm/exit.js';
import { nativeConfig } from '../../src/engine/kvm/native-config.js';
import { programs } from '../../src/engine/kvm/probe-programs.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { Exception } from '../../src/engine/x86/constants.js';
import { describeMachines, makeMachine, useTransport, withGuest } from './guest.js';

/** Of XCR0. */
const MPX = 0x18n;
const AMX = 0x6_0000n;

describeMachines(specsOf);

function specsOf(kind: 'emulated' | 'process'): void {
  let transport: VcpuTransport;
  useTransport(kind, (opened) => (transport = opened));

  describe('XCR0', () => {
    it.each([0x3n, 0x7n, 0x203n, 0x207n])('%s is what XGETBV returns, or hidden', (xcr0) => {
      const machine = makeMachine(transport, { xcr0 });
      if (kind === 'emulated') expect(machine.shownXcr0).toBe(xcr0);
      expect(machine.hidesXcr0).toBe(machine.shownXcr0 !== xcr0);
      withGuest(machine, (guest) => {
        guest.run(programs.xgetbv0);
        expect(guest.register('rax')).toBe(machine.shownXcr0);
      });
    });

    it('with a bit that the processor lacks is refused with its name', () => {
      const here = nativeConfig(transport).xcr0;
      // MPX: XCR0 bits 3 and 4, which no processor has beside AMX, bits 17 and 18.
      const [xcr0, text] =
        kind === 'emulated'
          ? [0xe7n, 'bits 5, 6, 7 \\(opmask.*: AVX-512\\)']
          : here & AMX
            ? [here | MPX, 'bits 3, 4 \\(.*MPX\\)']
            : [here | AMX, 'bits 17, 18 \\(.*AMX\\)'];
      const refusal = (): unknown => makeMachine(transport, { xcr0 });
      expect(refusal).toThrow(RevenantError);
      expect(refusal).toThrow(
        new RegExp(`XCR0 ${text}.*recorded XCR0 0x${xcr0.toString(16)}, here at most 0x${here.toString(16)}`),
      );
      if (kind === 'emulated') expect(here).toBe(0x207n);
    });

    it('that no processor can have is refused', (context) => {
      context.skip(kind === 'process', "a process has the host's");
      expect(() => makeMachine(transport, { xcr0: 0x4n })).toThrow(/The emulated machine refused XCR0 0x4/);
    });
  });

  describe('CPUID', () => {
    it("is the processor's own, and faults, or copies of code hide it", () => {
      const machine = makeMachine(transport, { cpuidFaulting: true });
      // The emulated processor cannot be made to fault.
      if (kind === 'emulated') expect(machine.hidesCpuid).toBe(true);
      const vector = machine.hidesCpuid ? Exception.BP : Exception.GP;
      withGuest(machine, (guest) => {
        expect(guest.run(programs.cpuid)).toMatchObject({ exit: Exit.Exception, vector });
      });
    });

    it('shows OSXSAVE and OSPKE as CR4 has them', (context) => {
      context.skip(kind === 'process', "CR4 is the host's");
      const { cr4 } = nativeConfig(transport);
      for (const bits of [cr4, cr4 & ~Cr4.PKE, cr4 & ~(Cr4.PKE | Cr4.OSXSAVE)]) {
        const machine = makeMachine(transport, { cr4: bits, xcr0: 3n });
        withGuest(machine, (guest) => {
          guest.run(programs.cpuid, { rax: 1n });
          expect((guest.register('rcx') >> 27n) & 1n).toBe(bits & Cr4.OSXSAVE ? 1n : 0n);
          guest.run(programs.cpuid, { rax: 7n });
          expect((guest.register('rcx') >> 4n) & 1n).toBe(bits & Cr4.PKE ? 1n : 0n);
        });
      }
    });
  });

  it('runs RDTSC without CR4.TSD only', () => {
    const { cr4 } = nativeConfig(transport);
    for (const [bits, vector] of [
      [cr4, 13],
      [cr4 & ~Cr4.TSD, 3],
    ]) {
      withGuest(makeMachine(transport, { cr4: bits }), (guest) => {
        expect(guest.run(programs.rdtsc).vector).toBe(vector);
      });
    }
  });

  it('returns the CPU number by LSL', (context) => {
    context.skip(kind === 'process', "the descriptor table is the host's");
    const machine = makeMachine(transport, { cpuNumber: 11 });
    withGuest(machine, (guest) => {
      // mov $0x7b, %eax; lsl %eax, %ecx; int3
      guest.run(Uint8Array.of(0xb8, 0x7b, 0, 0, 0, 0x0f, 0x03, 0xc8, 0xcc));
      expect(guest.register('rcx')).toBe(11n);
    });
  });
}
