/** A further replay of a job's trace, which goes where questions and checkpoints are. */
import type { Logger } from '../engine/base/log.js';
import type { JobSpec } from '../jobs/spec.js';
import type { ReplayCommandOptions } from './commands/replay.js';
import { PlaceNavigator } from '../recording/navigator.js';
import { type OpenedTarget, openTarget } from './debug/open-target.js';
import { Interrupt } from './interrupt.js';
import type { CommandIo } from './output.js';

export interface JobTarget extends Pick<OpenedTarget, 'target' | 'expressions' | 'close'> {
  readonly navigator: PlaceNavigator;
  /** Gives the event loop a turn; throws after Ctrl-C. */
  turn(): Promise<void>;
}

/** Throws RevenantError. */
export async function openJobTarget(
  spec: JobSpec,
  options: ReplayCommandOptions,
  io: CommandIo,
  log: Logger,
  note: (text: string) => void,
): Promise<JobTarget> {
  const interrupt = new Interrupt();
  try {
    const opened = await openTarget({
      folder: spec.trace,
      options,
      // What there is to warn about was said by the replay before.
      io: { ...io, err() {} },
      log,
      interrupt,
      note,
      output: () => {},
    });
    return {
      target: opened.target,
      expressions: opened.expressions,
      navigator: new PlaceNavigator(opened, interrupt),
      turn: () => interrupt.turn(),
      close: () => {
        opened.close();
        interrupt.dispose();
      },
    };
  } catch (error) {
    interrupt.dispose();
    throw error;
  }
}
