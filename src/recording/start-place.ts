/** Where debugging begins. */
import { RevenantError } from '../engine/base/errors.js';
import type { PlaceNavigator, NavigatedReplay } from './navigator.js';
import type { Place } from './place.js';
import type { TraceIndex } from './trace-index.js';

export interface StartPlace {
  /** With a task or process, a frame before its beginning means its beginning. */
  goto?: Place;
  /** The task to debug; without a frame: where it starts to exist. */
  task?: number;
  /** The process to debug, by number or command name; without a frame: where its program starts. */
  onProcess?: string;
  /** Right before the last process ends, or the selected one. */
  atEnd?: boolean;
  /** At the first signal that ends a process. */
  atCrash?: boolean;
  /** File of a checkpoint: where it was written. */
  from?: string;
}

const usage = (text: string, hint?: string): RevenantError => new RevenantError('E_USAGE', text, hint);

/**
 * Goes to where debugging begins; by default the first instruction of the first program. Returns
 * the task to debug. Throws E_USAGE for a place that the recording does not have.
 */
export async function goToStart(
  replay: NavigatedReplay,
  navigator: PlaceNavigator,
  start: StartPlace,
): Promise<number> {
  const { index, firstFrame } = replay;
  const program = start.onProcess === undefined ? null : programOf(index, start.onProcess);
  const task = program?.tid ?? start.task ?? null;
  if (start.from !== undefined) {
    await navigator.toCheckpoint(start.from);
    return taskToLookAt(replay, task);
  }
  if (start.atCrash) return navigator.toCrash(task);
  const begin = program?.frame ?? (task === null ? firstFrame : index.birthOf(task));
  if (begin === null) throw usage(`There is no task ${task} in this recording.`);
  const place = start.goto;
  const isEarly = place?.kind === 'frame' && task !== null && place.frame < begin;
  if (place && !isEarly) {
    await navigator.check(place);
    const tid = await navigator.to(place);
    // After a frame: the task of that frame, if it still exists.
    return place.kind === 'frame' ? taskToLookAt(replay, task) : (task ?? tid);
  }
  if (start.atEnd) await navigator.toEnd(task);
  else await navigator.toFrame(Math.max(firstFrame, begin));
  return taskToLookAt(replay, task);
}

/** The process that executed a program first: of this number, or by this name. Throws E_USAGE. */
function programOf(index: TraceIndex, name: string): { frame: number; tid: number } {
  const found = index.execOf(name);
  if (found) return found;
  throw usage(`No process ${name} executes a program in this recording.`, '`revenant info` lists its tasks.');
}

function taskToLookAt({ target }: Pick<NavigatedReplay, 'target'>, task: number | null): number {
  const tasks = target.tasks();
  const chosen = task ?? target.currentTid;
  if (tasks.some(({ tid }) => tid === chosen)) return chosen;
  const list = tasks.map(({ tid, name }) => `${tid} (${name})`).join(', ');
  throw usage(
    `Task ${chosen} does not exist after frame ${target.frameTime}.`,
    tasks.length === 0 ? 'No task does: use an earlier frame.' : `These do: ${list}.`,
  );
}
