/** Results of LAR, LSL, VERR and VERW for the descriptor table, which must be as in Linux. */
import { expect, it } from 'vitest';
import type { Machine } from '../../src/engine/kvm/machine.js';
import { describeMachines, makeMachine, program, useTransport, withGuest } from './guest.js';

const CPU_NUMBER = 0x3005;
/** Whose limit is the number. */
const NUMBER = 0x78;
/** lar %edi, %eax; setz %bl; lsl %edi, %ecx; verr %di; setz %dl; verw %di; setz %r8b; int3 */
const look = program(
  ...[0x0f, 0x02, 0xc7, 0x0f, 0x94, 0xc3, 0x0f, 0x03, 0xcf, 0x0f, 0x00, 0xe7, 0x0f, 0x94, 0xc2],
  ...[0x0f, 0x00, 0xef, 0x41, 0x0f, 0x94, 0xc0, 0xcc],
);

describeMachines(specsOf);

function specsOf(kind: 'emulated' | 'process'): void {
  let machine: Machine;
  useTransport(kind, (transport) => (machine = makeMachine(transport, { cpuNumber: CPU_NUMBER })));

  /** Bits of LAR's result that are defined: bits 19 to 16, the limit's on processors, are 0 in QEMU's emulator. */
  const LAR_DEFINED = 0xf0_ff00n;
  // Observed on Linux 6.18 by a program that tries every selector; others are invisible to programs.
  const visible: Readonly<Record<number, readonly [lar: number, lsl: number, writable: bigint]>> = {
    0x20: [0xc0fb00, 0xffff_ffff, 0n],
    0x28: [0xc0f300, 0xffff_ffff, 1n],
    0x30: [0xa0fb00, 0xffff_ffff, 0n],
    [NUMBER]: [0x40f500, CPU_NUMBER, 0n],
  };

  it('has the results of Linux for every selector', () => {
    withGuest(machine, (guest) => {
      for (let selector = 0; selector < 0x100; selector++) {
        const outcome = guest.run(look, { rdi: BigInt(selector) });
        expect(outcome.vector, outcome.text).toBe(3);
        const seen = (['rbx', 'rax', 'rcx', 'rdx', 'r8'] as const).map((name) => guest.register(name));
        seen[1] &= LAR_DEFINED;
        // The kernel's, of the processor that it ran on.
        if (kind === 'process' && (selector & ~3) === NUMBER) seen[2] = BigInt(CPU_NUMBER);
        const entry = selector & 4 ? undefined : visible[selector & ~7];
        const expected = entry
          ? [1n, BigInt(entry[0]), BigInt(entry[1]), 1n, entry[2]]
          : [0n, 0n, 0n, 0n, 0n];
        expect(seen, `selector 0x${selector.toString(16)}`).toEqual(expected);
      }
    });
  });
}
