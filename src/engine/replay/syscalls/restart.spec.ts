import { describe, expect, it } from 'vitest';
import { Sys } from '../../base/linux.js';
import { Reg, getSigned, newRegisters, setSigned } from '../../base/registers.js';
import type { Task } from '../../task/task.js';
import { EventKind, SyscallState, TraceFrame } from '../../trace/frame.js';
import type { ReplayCore } from '../state/core.js';
import { deliverSignal, enterHandler } from '../perform/signals.js';
import { performExit } from './exit.js';
import { isInterrupted, restartCall } from './restart.js';

const PAUSE = 34;
const RIP = 0x7000_0002;

/** A task that has just returned from `pause` with `result`, and frames for it. */
function returned(result: number) {
  const task = {
    registers: newRegisters(),
    syscall: PAUSE,
    group: { actions: { of: () => ({ mask: 0n, flags: 0 }) } },
  } as unknown as Task;
  const core = {
    header: { rrcallBase: 1000 },
    registers: () => task.registers,
    applyMemWrites: () => {},
    loadRegisters: (_: Task, { registers }: TraceFrame) => task.registers.set(registers),
  } as unknown as ReplayCore;
  const frame = (rax: number, rip = RIP): TraceFrame => {
    const made = Object.assign(new TraceFrame(), { kind: EventKind.syscall, hasRegisters: true });
    Object.assign(made, { syscallNumber: PAUSE, syscallState: SyscallState.exiting });
    setSigned(made.registers, Reg.rax, rax);
    setSigned(made.registers, Reg.orig_rax, PAUSE);
    setSigned(made.registers, Reg.rip, rip);
    return made;
  };
  const exit = frame(result);
  task.registers.set(exit.registers);
  performExit(core, task, exit);
  return { core, task, frame };
}

const register = (task: Task, slot: number): number => getSigned(task.registers, slot);

describe('a call that a signal interrupted', () => {
  it.each([-512, -513, -514])('is made again with its own number after %i', (result) => {
    const { core, task, frame } = returned(result);
    deliverSignal(core, task, frame(result));
    expect(isInterrupted(core, task)).toBe(true);
    restartCall(core, task);
    expect(register(task, Reg.rax)).toBe(PAUSE);
    expect(register(task, Reg.rip)).toBe(RIP - 2);
    expect(isInterrupted(core, task)).toBe(false);
  });

  it('is continued by restart_syscall after -516', () => {
    const { core, task } = returned(-516);
    restartCall(core, task);
    expect(register(task, Reg.rax)).toBe(Sys.restart_syscall);
  });

  it('is left where a frame says otherwise', () => {
    const rewound = returned(-514);
    deliverSignal(rewound.core, rewound.task, rewound.frame(PAUSE, RIP - 2));
    expect(isInterrupted(rewound.core, rewound.task)).toBe(false);
    expect(rewound.task.syscall).toBe(-1);

    const handled = returned(-514);
    enterHandler(handled.core, handled.task, handled.frame(0, 0x40_0000));
    expect(isInterrupted(handled.core, handled.task)).toBe(false);
  });

  it('is not made again where a debugger took its number away', () => {
    const { core, task } = returned(-514);
    setSigned(task.registers, Reg.orig_rax, -1);
    expect(isInterrupted(core, task)).toBe(false);
  });
});

it('does not take a register that a program sets itself for the result of an interrupted call', () => {
  const { core, task } = returned(0);
  setSigned(task.registers, Reg.rax, -514);
  expect(isInterrupted(core, task)).toBe(false);
});
