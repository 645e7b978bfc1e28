/** Where debugging begins. */
import { RevenantError } from '../../engine/base/errors.js';
import type { PlaceText } from '../../engine/base/place.js';
import type { DebugStop, ReplayTarget } from '../../engine/debug/target.js';
import { readCheckpoint } from '../../engine/persist/file.js';
import type { Interrupt } from '../interrupt.js';
import { Journey } from './journey.js';
import type { OpenedTarget } from './open-target.js';

export interface PlaceOptions {
  goto?: PlaceText;
  /** The task to look at; without a frame: where it begins to exist. */
  task?: number;
  /** Right before the last process ends. */
  atEnd?: boolean;
  /** At the first signal that ends a process. */
  atCrash?: boolean;
  /** File of a checkpoint: where it was written. */
  from?: string;
}

const usage = (text: string, hint?: string): RevenantError => new RevenantError('E_USAGE', text, hint);

/** Polls to the stop, with turns for Ctrl-C. */
async function arrive(target: ReplayTarget, interrupt: Interrupt): Promise<DebugStop> {
  for (;;) {
    const stop = target.poll();
    if (stop) return stop;
    await interrupt.turn();
  }
}

async function goTo(target: ReplayTarget, frameTime: number, interrupt: Interrupt): Promise<void> {
  target.beginGoto(frameTime);
  await arrive(target, interrupt);
}

/** Continues until `accept` takes a stop, or to the end. Returns the last stop. */
async function continueUntil(
  target: ReplayTarget,
  interrupt: Interrupt,
  accept: (stop: DebugStop) => boolean,
): Promise<DebugStop> {
  for (;;) {
    target.begin({ direction: 'forward', tid: target.currentTid, mode: { kind: 'continue' } });
    const stop = await arrive(target, interrupt);
    if (stop.kind === 'history-end' || accept(stop)) return stop;
  }
}

/**
 * Takes the replay to where debugging begins; by default the first instruction of the first program. Returns the
 * task to look at. Throws E_USAGE for a place that the recording does not have.
 */
export async function goToPlace(
  opened: Pick<OpenedTarget, 'target' | 'scan' | 'trace'>,
  options: PlaceOptions,
  interrupt: Interrupt,
): Promise<number> {
  const { target, scan } = opened;
  const task = options.task ?? null;
  if (options.from !== undefined) {
    const mark = target.markOf(readCheckpoint(target.session, options.from));
    target.beginGotoMark(mark);
    await arrive(target, interrupt);
    target.forget(mark);
    return taskToLookAt(target, task);
  }
  if (options.goto) return toPlace(opened, options.goto, task, interrupt);
  const first = scan.firstExec();
  if (first === null) throw usage('The recording has no program: it ends before the first exec.');
  if (options.atCrash) {
    const crash = scan.firstFatalSignal(task);
    if (!crash) {
      const who = task === null ? 'No task is' : `Task ${task} is not`;
      throw usage(`${who} ended by a signal in this recording.`);
    }
    await goTo(target, Math.max(first, crash.frameTime - 1), interrupt);
    await continueUntil(target, interrupt, (stop) => stop.kind === 'signal' && stop.tid === crash.tid);
    return crash.tid;
  }
  if (options.atEnd) {
    // Straight there, by what checkpoints there are; the end is met right before its frame.
    await goTo(target, Math.max(first, scan.lastExit() - 1), interrupt);
    await continueUntil(
      target,
      interrupt,
      ({ kind }) => kind === 'exited' && new Set(target.tasks().map(({ pid }) => pid)).size === 1,
    );
  } else {
    const birth = task === null ? first : scan.birthOf(task);
    if (birth === null) throw usage(`There is no task ${task} in this recording.`);
    await goTo(target, Math.max(first, birth), interrupt);
  }
  return taskToLookAt(target, task);
}

async function toPlace(
  opened: Pick<OpenedTarget, 'target' | 'scan' | 'trace'>,
  place: PlaceText,
  task: number | null,
  interrupt: Interrupt,
): Promise<number> {
  const journey = new Journey(opened, interrupt);
  await journey.check(place);
  const tid = await journey.to(place);
  // Behind a frame: the task that was there last, if it is not gone.
  return place.kind === 'frame' ? taskToLookAt(opened.target, task) : (task ?? tid);
}

function taskToLookAt(target: ReplayTarget, task: number | null): number {
  const tasks = target.tasks();
  const chosen = task ?? target.currentTid;
  if (tasks.some(({ tid }) => tid === chosen)) return chosen;
  const list = tasks.map(({ tid, name }) => `${tid} (${name})`).join(', ');
  throw usage(
    `Task ${chosen} does not exist behind frame ${target.frameTime}.`,
    tasks.length === 0 ? 'No task does: choose an earlier frame.' : `These do: ${list}.`,
  );
}
