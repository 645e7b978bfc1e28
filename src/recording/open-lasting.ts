/** A recording opened for a session that survives the loss of its machine by leasing another. */
import type { TravelTarget } from '../engine/travel/target.js';
import { CodePlaces } from './code-places.js';
import { LastingTarget } from './lasting-target.js';
import { Losses } from './losses.js';
import { openRecording, type OpenContext, type OpenedRecording } from './open.js';

export interface LastingRecording extends OpenedRecording {
  /** Survives the machine of `target`, which only it may move. */
  readonly lasting: LastingTarget;
  /** The recording with the current target of `lasting`; its symbols are kept. */
  on(target: TravelTarget): OpenedRecording;
}

/** As `openRecording`, for a front end that uses one replay for long. */
export async function openLasting(context: OpenContext): Promise<LastingRecording> {
  for (const losses = new Losses(); ;) {
    try {
      return await openOnce(context);
    } catch (error) {
      if (!losses.mayGoOn(error, 0)) throw error;
      context.note?.(`${(error as Error).message} Leasing another machine`);
    }
  }
}

async function openOnce(context: OpenContext): Promise<LastingRecording> {
  const { output = (): void => {}, note = (): void => {} } = context;
  let lasting: LastingTarget | null = null;
  const opened = await openRecording({
    ...context,
    output: (stream, bytes) => (lasting ? lasting.print(stream, bytes) : output(stream, bytes)),
  });
  try {
    const made: LastingTarget = new LastingTarget({
      target: opened.target,
      another: () => opened.another(made.replay),
      release: opened.release,
      output,
      note,
    });
    lasting = made;
    let here: OpenedRecording = opened;
    const on = (target: TravelTarget): OpenedRecording => {
      if (target !== here.target) here = { ...opened, target, places: new CodePlaces(target, opened.trace) };
      return here;
    };
    return { ...opened, lasting: made, on };
  } catch (error) {
    opened.close();
    throw error;
  }
}
