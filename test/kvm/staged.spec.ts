/** Staged system calls: those completed in ring 0, or by the process's handler, and those left to the engine. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Reg, newRegisters, setSigned, type RegisterWords } from '../../src/engine/base/registers.js';
import { Exit } from '../../src/engine/kvm/exit.js';
import type { Machine } from '../../src/engine/kvm/machine.js';
import { CODE, DATA, type ProbeGuest } from '../../src/engine/kvm/probe-guest.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { acquireMachine } from '../machines.js';
import { makeMachine, program, withGuest } from './guest.js';

let transport: VcpuTransport;
let machine: Machine;
beforeAll(async () => {
  transport = await acquireMachine();
  machine = makeMachine(transport);
});
afterAll(() => transport?.close());
const staged = () => machine.staged;

const NUMBER = 39;
const CANONICAL_FLAGS = 0x246;
/** Twice: mov $39, %eax; syscall. Then int3. */
const CALL = [0xb8, NUMBER, 0, 0, 0, 0x0f, 0x05];
const twoCalls = program(...CALL, ...CALL, 0xcc);
const RDI = 0x1122_3344_5566_7788n;

/** Runs to the first call, which is not staged, and returns the registers at its exit. */
function firstCall(guest: ProbeGuest): RegisterWords {
  expect(guest.run(twoCalls, { rdi: RDI }).exit).toBe(Exit.Syscall);
  return machine.context.registers.slice() as RegisterWords;
}

/** As the recorder would see the return from a call that found `before`. */
function returned(before: RegisterWords, result: number): RegisterWords {
  const after = before.slice() as RegisterWords;
  setSigned(after, Reg.rax, result);
  setSigned(after, Reg.rcx, -1);
  for (const slot of [Reg.r11, Reg.eflags]) setSigned(after, slot, CANONICAL_FLAGS);
  setSigned(after, Reg.orig_rax, NUMBER);
  return after;
}

/** Stages both calls, the second seven bytes after the first; each stores `bytes` at `at`. */
function stageBoth(before: RegisterWords, at: number, bytes: number[], change?: number): void {
  for (const call of [0, 1]) {
    const registers = before.slice() as RegisterWords;
    registers[2 * Reg.rip] += call * CALL.length;
    // The second finds what the first has left; rcx and r11 are not compared.
    if (change !== undefined && call === 1) registers[2 * change + 1] ^= 1;
    expect(staged().begin(registers, returned(registers, 1000 + call), 0)).toBe(true);
    staged()
      .write(at + 64 * call, 0, bytes.length)!
      .set(bytes);
    staged().end();
  }
}

function eachGuest(work: (guest: ProbeGuest) => void): void {
  withGuest(machine, (guest) => {
    try {
      work(guest);
    } finally {
      staged().clear();
    }
  });
}

describe('calls that the program makes as expected', () => {
  it('are completed in the guest, and the run ends after the last', () => {
    eachGuest((guest) => {
      const before = firstCall(guest);
      const bytes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
      stageBoth(before, DATA + 5, bytes);
      expect(guest.run(twoCalls, { rdi: RDI }).exit).toBe(Exit.Staged);
      expect(staged().consumed).toBe(2);
      expect(guest.register('rip')).toBe(BigInt(CODE + 2 * CALL.length));
      expect(guest.register('rax')).toBe(1001n);
      expect(guest.register('rcx')).toBe(0xffff_ffff_ffff_ffffn);
      expect(guest.register('r11')).toBe(BigInt(CANONICAL_FLAGS));
      expect(guest.register('orig_rax')).toBe(BigInt(NUMBER));
      expect(guest.register('rdi')).toBe(RDI);
      for (const at of [5, 69]) {
        expect([...guest.data.subarray(at - 1, at + 12)]).toEqual([0, ...bytes, 0]);
      }
      expect(guest.go()).toMatchObject({ exit: Exit.Exception, vector: 3 });
      expect(guest.register('eflags') & 0xfffn).toBe(BigInt(CANONICAL_FLAGS));
    });
  });
});

describe('anything else', () => {
  it.each(['rax', 'rbx', 'rdx', 'rdi', 'rsp', 'r8', 'r15', 'fs_base'] as const)(
    'leaves: another value in %s',
    (name) => {
      eachGuest((guest) => {
        const before = firstCall(guest);
        stageBoth(before, DATA, [7], Reg[name]);
        expect(guest.run(twoCalls, { rdi: RDI }).exit).toBe(Exit.Syscall);
        expect(staged().consumed).toBe(1);
        expect(guest.register('rip')).toBe(BigInt(CODE + 2 * CALL.length));
        expect(guest.register('rax')).toBe(BigInt(NUMBER));
        expect([guest.data[0], guest.data[64]]).toEqual([7, 0]);
      });
    },
  );

  it('leaves: an exception between two calls', () => {
    eachGuest((guest) => {
      const before = firstCall(guest);
      stageBoth(before, DATA, [7]);
      expect(guest.run(program(...CALL, 0xcc), { rdi: RDI })).toMatchObject({ vector: 3 });
      expect(staged().consumed).toBe(1);
    });
  });

  it.each([
    ['memory that the program may only read', CODE],
    ['unmapped memory', 0x7fff_f000],
    ['the end of mapped memory', DATA + 5 * 4096 - 4],
  ])('leaves as the call itself: a store to %s', (_, at) => {
    eachGuest((guest) => {
      const before = firstCall(guest);
      stageBoth(before, at, [1, 2, 3, 4, 5, 6, 7, 8]);
      const outcome = guest.run(twoCalls, { rdi: RDI });
      expect(outcome).toMatchObject({ exit: Exit.Syscall, rip: BigInt(CODE + CALL.length) });
      expect(staged().consumed).toBe(0);
      expect(machine.context.registers.subarray(0, 2 * Reg.orig_rax)).toEqual(
        before.subarray(0, 2 * Reg.orig_rax),
      );
      expect(guest.go()).toMatchObject({ exit: Exit.Syscall, rip: BigInt(CODE + 2 * CALL.length) });
    });
  });

  it('leaves after `clear`', () => {
    eachGuest((guest) => {
      stageBoth(firstCall(guest), DATA, [7]);
      staged().clear();
      expect(guest.run(twoCalls, { rdi: RDI }).exit).toBe(Exit.Syscall);
      expect(guest.data[0]).toBe(0);
    });
  });
});

it('reports lack of room, and earlier calls stay staged', () => {
  eachGuest((guest) => {
    const before = firstCall(guest);
    stageBoth(before, DATA, [7]);
    let more = 0;
    while (staged().begin(newRegisters(), newRegisters(), 0) && staged().write(0, 0, 1000)) {
      staged().end();
      more++;
    }
    expect(more).toBeGreaterThan(10);
    expect(more).toBeLessThan(100);
    expect(staged().write(0, 0, 1 << 20)).toBeNull();
    expect(guest.run(twoCalls, { rdi: RDI })).toMatchObject({ exit: Exit.Exception, vector: 3 });
    expect(staged().consumed).toBe(2);
  });
});
