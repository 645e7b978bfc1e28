/** The processor that the guest sees: XCR0, CPUID, RDTSC. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RevenantError } from '../../src/engine/base/errors.js';
import { Cr4 } from '../../src/engine/kvm/cpuid.js';
import { Exit } from '../../src/engine/kvm/exit.js';
import { nativeConfig } from '../../src/engine/kvm/native-config.js';
import { programs } from '../../src/engine/kvm/probe-programs.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { acquire, makeMachine, withGuest } from './guest.js';

let transport: VcpuTransport;
beforeAll(async () => {
  transport = await acquire();
});
afterAll(() => transport?.close());

describe('XCR0', () => {
  it.each([0x3n, 0x7n, 0x203n, 0x207n])('%s is what XGETBV returns', (xcr0) => {
    const machine = makeMachine(transport, { xcr0 });
    withGuest(machine, (guest) => {
      guest.run(programs.xgetbv0);
      expect(guest.register('rax')).toBe(xcr0);
    });
  });

  it('with a bit that the processor lacks is refused with its name', () => {
    const refusal = (): unknown => makeMachine(transport, { xcr0: 0xe7n });
    expect(refusal).toThrow(RevenantError);
    expect(refusal).toThrow(
      /XCR0 bits 5, 6, 7 \(opmask.*: AVX-512\).*recorded XCR0 0xe7, here at most 0x207/,
    );
  });

  it('that no processor can have is refused', () => {
    expect(() => makeMachine(transport, { xcr0: 0x4n })).toThrow(/The emulated machine refused XCR0 0x4/);
  });
});

describe('CPUID', () => {
  it("is the emulated processor's own, which cannot be made to fault: copies of code hide it", () => {
    const machine = makeMachine(transport, { cpuidFaulting: true });
    expect(machine.hidesCpuid).toBe(true);
    withGuest(machine, (guest) => {
      expect(guest.run(programs.cpuid)).toMatchObject({ exit: Exit.Exception, vector: 3 });
    });
  });

  it('shows OSXSAVE and OSPKE as CR4 has them', () => {
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

it('returns the CPU number by LSL', () => {
  const machine = makeMachine(transport, { cpuNumber: 11 });
  withGuest(machine, (guest) => {
    // mov $0x7b, %eax; lsl %eax, %ecx; int3
    guest.run(Uint8Array.of(0xb8, 0x7b, 0, 0, 0, 0x0f, 0x03, 0xc8, 0xcc));
    expect(guest.register('rcx')).toBe(11n);
  });
});
