import { expect, it } from 'vitest';
import type { BranchCounter } from '../../kvm/branch-counter.js';
import type { Task } from '../../task/task.js';
import { Stop } from '../runner.js';
import { CounterTicks } from './counter.js';
import type { TickStrategy } from './strategy.js';

const SKID = 100;
const BUDGET = 1000;

/**
 * A program that retires `length` branches until a system call, on a processor that stops `late` branches after
 * the counter is due. The exact strategy goes to the limit, branch by branch.
 */
function setUp({ length = 100_000, late = 30, slice = Infinity } = {}) {
  const program = { at: 0, runs: 0, steps: 0 };
  let since = 0;
  let due = 0;
  const counter: BranchCounter = {
    skid: SKID,
    read: () => program.at - since,
    arm(after) {
      since = program.at;
      due = after;
    },
  };
  const runner = {
    interrupted: false,
    run(): Stop {
      program.runs++;
      const stopAt = due === 0 ? Infinity : since + due + late;
      const to = Math.min(length, stopAt, program.at + slice);
      program.at = to;
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
      if (task.ticks === limit) return Stop.overrun;
      program.at++;
      program.steps++;
      task.ticks++;
      return task.ticks === limit ? Stop.ticks : Stop.yielded;
    },
  };
  const task = { ticks: 0 } as Task;
  const strategy = new CounterTicks(counter, runner, rest);
  const run = (limit: number): Stop => {
    for (;;) {
      const stop = strategy.run(task, limit, BUDGET);
      if (stop !== Stop.pending && stop !== Stop.yielded) return stop;
    }
  };
  return { program, task, strategy, run };
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
  expect(strategy.run(task, 70_000, BUDGET)).toBe(Stop.pending);
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
