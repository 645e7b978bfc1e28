import { constants } from 'node:os';
import { expect, it } from 'vitest';
import { CounterLostError, type BranchCounter } from '../../kvm/branch-counter.js';
import type { Task } from '../../task/task.js';
import { Stop } from '../run/runner.js';
import { CounterTicks } from './counter.js';
import { Aim, type TickStrategy } from './strategy.js';

const { EAGAIN } = constants.errno;
const SKID = 100;
const BUDGET = 1000;
const EVENT = 0x40_1000;

/**
 * A program that retires `length` branches until a system call, on a
 * processor that stops `late` branches after the counter is due, and whose counter is lost `lostAt` branches on. The
 * exact strategy goes to the limit, branch by branch.
 */
function setUp({ length = 100_000, late = 30, slice = Infinity, lostAt = Infinity } = {}) {
  const program = { at: 0, runs: 0, steps: 0, disarmed: 0 };
  let since = 0;
  let due = 0;
  const counter: BranchCounter = {
    skid: SKID,
    read() {
      if (program.at >= lostAt) throw new CounterLostError(EAGAIN);
      return program.at - since;
    },
    arm(after) {
      since = program.at;
      due = after;
    },
    disarm() {
      program.disarmed++;
      due = 0;
    },
  };
  const runner = {
    interrupted: false,
    holds: false,
    run(): Stop {
      program.runs++;
      if (runner.holds) {
        runner.holds = false;
        return Stop.breakpoint;
      }
      const stopAt = due === 0 ? Infinity : since + due + late;
      const to = Math.min(length, stopAt, program.at + slice);
      program.at = to;
      runner.interrupted = false;
      // Once, as native/kvm has it.
      if (to === stopAt) due = 0;
      runner.interrupted = to === stopAt && to !== length;
      return to === length ? Stop.syscall : Stop.pending;
    },
  };
  const rest: TickStrategy = {
    name: 'branches',
    counts: true,
    settled: true,
    watch() {},
    cancel() {},
    run(task, limit) {
      expect(due).toBe(0);
      if (task.ticks === limit) return Stop.overrun;
      program.at++;
      program.steps++;
      task.ticks++;
      return task.ticks === limit ? Stop.ticks : Stop.yielded;
    },
  };
  const task = { ticks: 0 } as Task;
  const strategy = new CounterTicks(counter, runner, rest);
  const run = (limit: number, aim: number = Aim.byTicks): Stop => {
    for (;;) {
      const stop = strategy.run(task, limit, BUDGET, aim);
      if (stop !== Stop.pending && stop !== Stop.yielded) return stop;
    }
  };
  return { program, runner, task, strategy, run };
}

it('counts a run that nothing limits', () => {
  const { program, task, run } = setUp({ length: 5000 });
  expect(run(Infinity)).toBe(Stop.syscall);
  expect(task.ticks).toBe(5000);
  expect(program.runs).toBe(1);
});

it.each([0, 1, 30, SKID])('comes to a limit exactly, however late the processor stops: %i', (late) => {
  const { program, task, run } = setUp({ late });
  expect(run(70_000)).toBe(Stop.ticks);
  expect(task.ticks).toBe(70_000);
  expect(program.at).toBe(70_000);
  expect(program.runs).toBe(1);
  expect(program.steps).toBe(SKID + 1 - late);
  expect(run(99_000)).toBe(Stop.ticks);
  expect(program.at).toBe(99_000);
});

it('counts once what a budget cuts in pieces', () => {
  const { task, strategy, run } = setUp({ slice: 777 });
  expect(strategy.run(task, 70_000, BUDGET, Aim.byTicks)).toBe(Stop.pending);
  expect(strategy.settled).toBe(false);
  expect(run(70_000)).toBe(Stop.ticks);
  expect(task.ticks).toBe(70_000);
  expect(strategy.settled).toBe(true);
});

it('tells when the program goes past the limit', () => {
  const { run } = setUp({ late: SKID + 1 });
  expect(run(70_000)).toBe(Stop.overrun);
});

it('leaves ticks that are not known alone', () => {
  const { task, run } = setUp();
  task.ticks = -1;
  expect(run(Infinity)).toBe(Stop.syscall);
  expect(task.ticks).toBe(-1);
});

it('does not let the other strategy be ended by a counter that is armed', () => {
  const { program, task, run } = setUp({ length: 5_000 });
  expect(run(70_000)).toBe(Stop.syscall);
  task.ticks = 69_950;
  program.at = 0;
  expect(run(70_000)).toBe(Stop.ticks);
  expect(program.disarmed).toBe(1);
});

it('tells that the counter is lost, and adds nothing to the ticks', () => {
  const { task, run } = setUp({ lostAt: 60_000 });
  expect(() => run(70_000)).toThrow(CounterLostError);
  expect(task.ticks).toBe(0);
  const still = setUp({ length: 5000, lostAt: 5000 });
  expect(() => still.run(Infinity)).toThrow(CounterLostError);
  expect(still.task.ticks).toBe(0);
});

it('counts what was executed when the machine is halted, once', () => {
  const { program, task, strategy, run } = setUp({ slice: 777 });
  strategy.run(task, Infinity, BUDGET, Aim.byItself);
  strategy.halted(task);
  expect(strategy.settled).toBe(true);
  expect(task.ticks).toBe(777);
  expect(program.at).toBe(777);
  expect(run(Infinity)).toBe(Stop.syscall);
  expect(task.ticks).toBe(100_000);
  strategy.halted(task);
  expect(task.ticks).toBe(100_000);
});

it('knows no ticks any more if the counter is lost when the machine is halted, and does not go on', () => {
  const { task, strategy } = setUp({ slice: 777, lostAt: 700 });
  strategy.run(task, Infinity, BUDGET, Aim.byItself);
  strategy.halted(task);
  expect(task.ticks).toBe(-1);
  expect(() => strategy.run(task, Infinity, BUDGET, Aim.byItself)).toThrow(CounterLostError);
});

it('runs freely to where the program stops by itself, however near', () => {
  const { program, task, run } = setUp({ length: 50 });
  expect(run(50, Aim.byItself)).toBe(Stop.syscall);
  expect(task.ticks).toBe(50);
  expect(program).toMatchObject({ runs: 1, steps: 0 });
  const past = setUp({ length: 60 });
  expect(past.run(50, Aim.byItself)).toBe(Stop.overrun);
  const endless = setUp({ length: Infinity });
  expect(endless.run(50, Aim.byItself)).toBe(Stop.overrun);
});

it.each([0, 30, SKID])('leaves the last stretch to the other strategy: %i late', (late) => {
  const { program, task, run } = setUp({ late });
  expect(run(70_000, EVENT)).toBe(Stop.ticks);
  expect(task.ticks).toBe(70_000);
  expect(program.at).toBe(70_000);
  expect(program.steps).toBe(SKID + 1 - late);
  expect(run(70_000, EVENT)).toBe(Stop.overrun);
});

it('deals with an exit that came while the machine was halted, before anything counts', () => {
  const { runner, program, task, strategy, run } = setUp({ slice: 69_996 });
  expect(strategy.run(task, 70_000, BUDGET, EVENT)).not.toBe(Stop.breakpoint);
  strategy.halted(task);
  task.ticks = program.at = 70_000;
  runner.holds = true;
  expect(run(70_000, EVENT)).toBe(Stop.breakpoint);
  expect(task.ticks).toBe(70_000);
  expect(program.steps).toBe(0);
});
