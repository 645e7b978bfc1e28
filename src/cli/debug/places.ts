/** Where debugging begins. */
import { RevenantError } from '../../engine/base/errors.js';
import type { PlaceText } from '../../engine/base/place.js';
import type { DebugStop, ReplayTarget } from '../../engine/target.js';
import { readCheckpoint } from '../../engine/persist/file.js';
import type { Interrupt } from '../interrupt.js';
import { PlaceNavigator } from '../../recording/navigator.js';
import type { OpenedTarget } from './open-target.js';

export interface PlaceOptions {
  /** With a task or process a frame means one that is not before it begins. */
  goto?: PlaceText;
  /** The task to look at; without a frame: where it begins to exist. */
  task?: number;
  /** The process to look at, by its number or its command's name; without a frame: where its program begins. */
  onProcess?: string;
  /** Right before the last process ends, or the one to look at. */
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
  const program = options.onProcess === undefined ? null : programOf(scan, options.onProcess);
  const task = program?.tid ?? options.task ?? null;
  if (options.from !== undefined) {
    const mark = target.markOf(readCheckpoint(target.session, options.from));
    target.beginGotoMark(mark);
    await arrive(target, interrupt);
    target.forget(mark);
    return taskToLookAt(target, task);
  }
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
  const begin = program?.frame ?? (task === null ? first : scan.birthOf(task));
  if (begin === null) throw usage(`There is no task ${task} in this recording.`);
  const place = options.goto;
  const isEarly = place?.kind === 'frame' && task !== null && place.frame < begin;
  if (place && !isEarly) return toPlace(opened, place, task, interrupt);
  if (options.atEnd) {
    await goToEnd(target, scan, task, first, interrupt);
  } else {
    await goTo(target, Math.max(first, begin), interrupt);
  }
  return taskToLookAt(target, task);
}

async function toPlace(
  opened: Pick<OpenedTarget, 'target' | 'scan' | 'trace'>,
  place: PlaceText,
  task: number | null,
  interrupt: Interrupt,
): Promise<number> {
  const navigator = new PlaceNavigator(opened, interrupt);
  await navigator.check(place);
  const tid = await navigator.to(place);
  // Behind a frame: the task that was there last, if it is not gone.
  return place.kind === 'frame' ? taskToLookAt(opened.target, task) : (task ?? tid);
}

/** The process that executed a program first: of this number, or by this name. Throws E_USAGE. */
function programOf(scan: OpenedTarget['scan'], name: string): { frame: number; tid: number } {
  const found = scan.execOf(name);
  if (found) return found;
  throw usage(`No process ${name} executes a program in this recording.`, '`revenant info` lists its tasks.');
}

/** Straight there, by what checkpoints there are; the end is met right before its frame. */
async function goToEnd(
  target: OpenedTarget['target'],
  scan: OpenedTarget['scan'],
  task: number | null,
  first: number,
  interrupt: Interrupt,
): Promise<void> {
  const end = task === null ? scan.lastExit() : scan.jointEnd(scan.exitOf(task)).frame;
  await goTo(target, Math.max(first, end - 1), interrupt);
  const pid = target.tasks().find(({ tid }) => tid === task)?.pid;
  const isLast = (): boolean => new Set(target.tasks().map((each) => each.pid)).size === 1;
  await continueUntil(
    target,
    interrupt,
    (stop) => stop.kind === 'exited' && (pid === undefined ? isLast() : stop.pid === pid),
  );
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
