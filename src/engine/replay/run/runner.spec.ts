import { describe, expect, it } from 'vitest';
import { Signal } from '../../base/linux.js';
import { Reg, getUnsigned, newRegisters, setSigned } from '../../base/registers.js';
import { Exit } from '../../kvm/exit.js';
import { Selector } from '../../kvm/layout.js';
import type { Task } from '../../task/task.js';
import { ReplayRunner, Stop } from './runner.js';

const AT = 0x40_1000;
const [DB, UD] = [1, 6];

/** Runs a program whose code at AT this is, and that stops with this vector. */
function stopWith(vector: number, rip: number, code: readonly number[]): [Stop, ReplayRunner, number] {
  const registers = newRegisters();
  registers[2 * Reg.cs] = Selector.userCs;
  setSigned(registers, Reg.rip, rip);
  const context = { registers, vector, dr6: 0, dataBreakpoints: 0, hasBreakpoint: () => false };
  const space = {
    stale: { flushBy: () => {} },
    read: (at: number, into: Uint8Array): number => {
      const bytes = code.slice(at - AT, at - AT + into.length);
      into.set(bytes);
      return bytes.length;
    },
  };
  const task = { space, preload: {} } as unknown as Task;
  const machine = { context, run: () => Exit.Exception, staged: { staged: 0 }, config: {} };
  const runner = new ReplayRunner({ machine, current: task } as unknown as ConstructorParameters<
    typeof ReplayRunner
  >[0]);
  return [runner.run(task, 1000), runner, getUnsigned(registers, Reg.rip)];
}

describe('INT1', () => {
  it.each([
    ['raised as processors do', DB, AT + 1],
    ['not known to the machine', UD, AT],
  ])('is a SIGTRAP after it, %s', (_, vector, rip) => {
    const [stop, runner, after] = stopWith(vector, rip, [0xf1, 0x90]);
    expect([stop, runner.signal, runner.vector, after]).toEqual([Stop.fault, Signal.TRAP, DB, AT + 1]);
  });
});
