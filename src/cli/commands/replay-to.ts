import { RevenantError } from '../../engine/base/errors.js';
import type { Logger } from '../../engine/base/log.js';
import { PlaceNavigator } from '../../recording/navigator.js';
import { openLasting } from '../../recording/open-lasting.js';
import { formatPlace, type Place } from '../../recording/place.js';
import { jsonValue } from '../failure.js';
import { Interrupt } from '../interrupt.js';
import type { CommandIo } from '../output.js';
import { formatPosition } from '../position.js';
import { ProgramOutput } from '../program-output.js';
import { Progress } from '../progress.js';
import { recordingOptions, warner, type ReplayCommandOptions } from '../recordings.js';

/**
 * `revenant replay TRACE --goto PLACE` to a place other than a frame, by means of the debugger:
 * breakpoints, and going back to count. Returns the exit code; throws RevenantError.
 */
export async function replayToPlace(
  folder: string,
  place: Place,
  options: ReplayCommandOptions,
  io: CommandIo,
  log: Logger,
): Promise<number> {
  if (options.verifyTicks)
    throw new RevenantError('E_USAGE', `--verify-ticks requires --goto FRAME, not ${formatPlace(place)}.`);
  const progress = new Progress(io, Boolean(options.quiet));
  const turns = new Interrupt();
  const output = new ProgramOutput(io, progress, Boolean(options.json));
  try {
    const opened = await openLasting({
      folder,
      options: recordingOptions(options),
      log,
      turns,
      note: (text) => progress.waiting(text),
      warn: warner(io),
      output: (fd, bytes) => output.write(fd, bytes),
    });
    try {
      const position = await opened.lasting.travel(async (target) => {
        const navigator = new PlaceNavigator(opened.on(target), turns);
        await navigator.check(place);
        await navigator.to(place);
        return target.session.describe();
      });
      progress.clear();
      if (!output.captures) io.out(position ? formatPosition(position) : '');
      else io.out(`${JSON.stringify({ trace: folder, ...output.documents(), position }, jsonValue)}\n`);
    } finally {
      opened.close();
    }
  } finally {
    progress.clear();
    turns.dispose();
  }
  return 0;
}
