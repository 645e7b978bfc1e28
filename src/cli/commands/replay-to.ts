import { PlaceNavigator } from '../../recording/navigator.js';
import { RevenantError } from '../../engine/base/errors.js';
import type { Logger } from '../../engine/base/log.js';
import { formatPlace, type PlaceText } from '../../engine/base/place.js';
import { openTarget } from '../debug/open-target.js';
import { jsonValue } from '../failure.js';
import { Interrupt } from '../interrupt.js';
import type { CommandIo } from '../output.js';
import { formatPosition } from '../position.js';
import { Progress } from '../progress.js';
import { ProgramOutput, type ReplayCommandOptions } from './replay.js';

/**
 * `revenant replay TRACE --goto PLACE` to a place that is no frame, with what debugging does: breakpoints, and going back to
 * count. Returns the exit code; throws RevenantError.
 */
export async function replayToPlace(
  folder: string,
  place: PlaceText,
  options: ReplayCommandOptions,
  io: CommandIo,
  log: Logger,
): Promise<number> {
  if (options.verifyTicks)
    throw new RevenantError(
      'E_USAGE',
      `--verify-ticks goes with --goto FRAME, not with ${formatPlace(place)}.`,
    );
  const progress = new Progress(io, Boolean(options.quiet));
  const interrupt = new Interrupt();
  const output = new ProgramOutput(io, progress, Boolean(options.json));
  const note = (text: string): void => progress.waiting(text);
  const write = (fd: 1 | 2, bytes: Uint8Array): void => output.write(fd, bytes);
  try {
    const opened = await openTarget({ folder, options, io, log, interrupt, note, output: write });
    try {
      const navigator = new PlaceNavigator(opened, interrupt);
      await navigator.check(place);
      await navigator.to(place);
      const position = opened.target.session.describe();
      progress.clear();
      if (!output.captures) io.out(position ? formatPosition(position) : '');
      else io.out(`${JSON.stringify({ trace: folder, ...output.documents(), position }, jsonValue)}\n`);
    } finally {
      opened.close();
    }
  } finally {
    progress.clear();
    interrupt.dispose();
  }
  return 0;
}
