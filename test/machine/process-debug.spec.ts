/** The debug registers of the process machine, by each of the two means that Linux has for them. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { gva } from '../../src/engine/base/address.js';
import { Reg, setSigned, type RegisterWords } from '../../src/engine/base/registers.js';
import { Exit } from '../../src/engine/kvm/exit.js';
import type { Machine } from '../../src/engine/kvm/machine.js';
import { CODE, DATA } from '../../src/engine/kvm/probe-guest.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { examine } from '../../src/machine/examine.js';
import { openProcess } from '../../src/machine/process.js';
import { makeMachine, program, withGuest } from '../kvm/guest.js';
import { problemOfProcess } from '../machines.js';

const STORE = program(0x48, 0x89, 0x07, 0x90, 0xcc); // mov %rax, (%rdi); nop; int3
const DEBUG = 1;
const TRAP_FLAG = 0x302n;
const STEP = 1 << 14;

describe.each(['events', 'tracing'] as const)('debug registers by %s', (debugRegisters) => {
  const problem = problemOfProcess({ debugRegisters });

  describe.skipIf(problem !== null)(`(skipped: ${problem})`, () => {
    let transport: VcpuTransport;
    let machine: Machine;
    beforeEach(() => {
      transport = openProcess({ memoryMiB: 64, debugRegisters });
      machine = makeMachine(transport);
    });
    afterEach(() => transport.close());

    it('are as a processor has them', () => {
      const { findings, passed } = examine(transport);
      expect(findings.filter(({ ok }) => !ok)).toEqual([]);
      const [data] = findings.filter(({ name }) => name.startsWith('data breakpoint'));
      expect(data.seen).toBe('present');
      expect(passed).toBe(true);
    });

    it('tell of the data breakpoint that a stepped instruction hit, and of none that it did not', () => {
      withGuest(machine, (guest) => {
        machine.context.setDataBreakpoint(2, gva(DATA + 8), 8, false);
        machine.context.setDataBreakpoint(3, gva(DATA + 64), 4, true);
        const hit = guest.run(STORE, { rdi: BigInt(DATA + 8), eflags: TRAP_FLAG });
        expect(hit).toMatchObject({ exit: Exit.Exception, vector: DEBUG, rip: BigInt(CODE + 3) });
        expect(hit.dr6 & (STEP | 15)).toBe(STEP | 4);
        const next = guest.go();
        expect(next).toMatchObject({ vector: DEBUG, rip: BigInt(CODE + 4) });
        expect(next.dr6 & (STEP | 15)).toBe(STEP);
      });
    });

    it('stop at each of four breakpoints, and at none that was taken away', () => {
      withGuest(machine, (guest) => {
        const nops = program(0x90, 0x90, 0x90, 0x90, 0xcc);
        for (const index of [0, 1, 2, 3] as const) machine.context.setBreakpoint(index, gva(CODE + index));
        let outcome = guest.run(nops);
        for (const index of [0, 1, 2, 3] as const) {
          expect([outcome.vector, outcome.rip, outcome.dr6 & 15]).toEqual([
            DEBUG,
            BigInt(CODE + index),
            1 << index,
          ]);
          machine.context.setBreakpoint(index, null);
          outcome = guest.go();
        }
        expect(outcome.rip).toBe(BigInt(CODE + 5));
      });
    });

    it('survive that a staged call stores where a data breakpoint is', () => {
      withGuest(machine, (guest) => {
        const call = program(0x0f, 0x05, 0xcc);
        expect(guest.run(call).exit).toBe(Exit.Syscall);
        const before = machine.context.registers.slice() as RegisterWords;
        const after = before.slice() as RegisterWords;
        setSigned(after, Reg.rax, 7);
        machine.staged.begin(before, after, 0);
        machine.staged.write(DATA + 8, 0, 8)!.fill(0x55);
        machine.staged.end();
        machine.context.setDataBreakpoint(0, gva(DATA + 8), 8, false);
        guest.run(call);
        expect(guest.data[8]).toBe(0x55);
        machine.staged.clear();
        machine.context.release(0);
        expect(guest.run(STORE, { rdi: BigInt(DATA) }).rip).toBe(BigInt(CODE + 5));
      });
    });
  });
});
