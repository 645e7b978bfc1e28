import { describe, expect, it } from 'vitest';
import { RevenantError } from '../../base/errors.js';
import { Signal, Sys } from '../../base/linux.js';
import { Reg, setSigned } from '../../base/registers.js';
import { Arch, EventKind, SyscallState, TraceFrame } from '../../trace/frame.js';
import { planStep, type PlanState } from './plan.js';
import { Action, Goal, ReplayStep } from './step.js';

const RIP = 0x7f00_1234;
const RUNNING: PlanState = { started: true, entered: false, skipExecution: false, elidable: false };

function frameOf(kind: EventKind, more: Partial<TraceFrame> = {}): TraceFrame {
  const frame = Object.assign(new TraceFrame(), { frameTime: 20, tid: 7, kind, hasRegisters: true }, more);
  setSigned(frame.registers, Reg.rip, RIP);
  return frame;
}

function syscall(number: number, state: number, rax = 0): TraceFrame {
  const frame = frameOf(EventKind.syscall, { syscallNumber: number, syscallState: state });
  setSigned(frame.registers, Reg.rax, rax);
  return frame;
}

function signal(number: number, code: number, deterministic: boolean): TraceFrame {
  const siginfo = new Uint8Array(128);
  new DataView(siginfo.buffer).setInt32(0, number, true);
  new DataView(siginfo.buffer).setInt32(8, code, true);
  return frameOf(EventKind.signal, { siginfo, deterministic });
}

function plan(frame: TraceFrame, state: Partial<PlanState> = {}): ReplayStep {
  const step = new ReplayStep();
  planStep(frame, { ...RUNNING, ...state }, step);
  return step;
}

describe('before the first program', () => {
  it('skips everything, failed execs too', () => {
    const state = { started: false };
    expect(plan(syscall(Sys.write, SyscallState.entering), state).action).toBe(Action.skip);
    expect(plan(syscall(Sys.execve, SyscallState.exiting, -2), state).action).toBe(Action.skip);
    expect(plan(syscall(Sys.execve, SyscallState.exiting), state).action).toBe(Action.exitExec);
  });
});

describe('system calls', () => {
  it('runs to the instruction before the recorded rip', () => {
    expect(plan(syscall(Sys.write, SyscallState.entering))).toMatchObject({
      action: Action.enterSyscall,
      goal: Goal.syscall,
      address: RIP,
    });
  });

  it.each([0x7000_000e, 0x7000_0017, 0x7000_0008, 0x7000_0011])(
    'stops before the untraced slot that ends at %x',
    (rip) => {
      const frame = syscall(Sys.write, SyscallState.entering);
      setSigned(frame.registers, Reg.rip, rip);
      expect(plan(frame)).toMatchObject({ goal: Goal.address, address: rip - 2 });
    },
  );

  it('does not run for exits, restarts, or a second entry of one call', () => {
    expect(plan(syscall(Sys.write, SyscallState.exiting))).toMatchObject({
      action: Action.exitSyscall,
      goal: Goal.none,
    });
    expect(plan(syscall(Sys.restart_syscall, SyscallState.entering))).toMatchObject({
      action: Action.restartSyscall,
      goal: Goal.none,
    });
    expect(plan(syscall(Sys.write, SyscallState.entering), { entered: true }).goal).toBe(Goal.none);
  });

  it('treats a failed exec as any other call', () => {
    expect(plan(syscall(Sys.execve, SyscallState.exiting, -2)).action).toBe(Action.exitSyscall);
  });
});

describe('signals', () => {
  it('waits for the fault of a deterministic one', () => {
    expect(plan(signal(Signal.FPE, 1, true))).toMatchObject({
      action: Action.faultSignal,
      goal: Goal.fault,
      signal: 8,
    });
  });

  it.each([
    ['SIGBUS', Signal.BUS, 2],
    ['a protection-key fault', Signal.SEGV, 4],
    ['a breakpoint that a recorded debugger put into a debug register', Signal.TRAP, 4],
  ])('meets %s before it happens: the cause is not reproduced', (_, number, code) => {
    expect(plan(signal(number, code, true))).toMatchObject({
      action: Action.arrive,
      goal: Goal.target,
      address: RIP,
    });
  });

  it.each([1, 2, 128])('raises a SIGTRAP of the program itself (code %i)', (code) => {
    expect(plan(signal(Signal.TRAP, code, true)).goal).toBe(Goal.fault);
  });

  it('lands an asynchronous one', () => {
    expect(plan(signal(Signal.SEGV, 0, false)).goal).toBe(Goal.target);
  });
});

describe('other events', () => {
  it('does not stop for a reschedule that nothing can observe', () => {
    expect(plan(frameOf(EventKind.sched), { elidable: true }).goal).toBe(Goal.none);
    expect(plan(frameOf(EventKind.sched)).goal).toBe(Goal.target);
  });

  it('runs to the system call that was replaced, which ends after the recorded rip', () => {
    expect(plan(frameOf(EventKind.patchSyscall))).toMatchObject({ goal: Goal.syscall, address: RIP + 2 });
  });

  it('retires one execution without running where the flush said so', () => {
    expect(plan(frameOf(EventKind.sched), { skipExecution: true }).goal).toBe(Goal.none);
  });

  it('refuses 32-bit tasks', () => {
    const frame = frameOf(EventKind.sched, { arch: Arch.x86 });
    expect(() => plan(frame)).toThrow(RevenantError);
    expect(() => plan(frame)).toThrow(/task 7 runs 32-bit code/);
  });

  it('refuses a trace whose first program is a 32-bit one, despite another number of execve', () => {
    const exec = { arch: Arch.x86, syscallState: SyscallState.exiting, syscallNumber: 11 };
    expect(() => plan(frameOf(EventKind.syscall, exec), { started: false })).toThrow(/32-bit code/);
  });

  it('has a plan for every kind of event', () => {
    for (const kind of Object.values(EventKind)) {
      expect(plan(frameOf(kind, { siginfo: new Uint8Array(128) })).action).not.toBe(Action.skip);
    }
  });
});
