/** `revenant job`: the process that runs one job of `revenant ci` or `revenant worker`, which start it. */
import { RevenantError } from '../../engine/base/errors.js';
import { executeJob, type Progress } from '../../jobs/run/execute.js';
import type { RunMessage, WorkerMessage } from '../../jobs/run/protocol.js';
import { localReplayer } from '../../jobs/run/replayer.js';
import { uninterrupted } from '../../recording/stops.js';
import { createLogger } from '../log.js';
import type { CommandIo } from '../output.js';
import { warner } from '../recordings.js';

const PROGRESS_MS = 100;

/** Receives the job, runs it, sends the result. Returns the exit code. */
export async function jobCommand(io: CommandIo): Promise<number> {
  if (!process.send) {
    throw new RevenantError('E_USAGE', 'revenant job is started by revenant ci and revenant worker only.');
  }
  // Without a parent the job is pointless; exiting closes the connection to the machine.
  process.once('disconnect', () => process.exit(0));
  // These may be sent to the whole process group; the parent handles them.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
  const { spec, artifacts } = await new Promise<RunMessage>((resolve) => process.once('message', resolve));
  const say = (text: string): void => io.err(`revenant: ${text}\n`);
  const replayer = localReplayer({
    // Stored with a failure; the parent truncates a long log to its end.
    log: await createLogger(io, true, undefined),
    turns: uninterrupted,
    now: () => io.now(),
    note: (text) => void send({ kind: 'note', text }),
    warn: warner(io),
    say,
  });
  const result = await executeJob(spec, replayer, {
    artifacts,
    progress: throttled(io),
    provisional: (known) => void send({ kind: 'provisional', result: known }),
    say,
  });
  await send({ kind: 'result', result });
  return 0;
}

function send(message: WorkerMessage): Promise<void> {
  return new Promise((resolve) => {
    // An error means that the parent exited, which `disconnect` has already reported.
    process.send!(message, undefined, undefined, () => resolve());
  });
}

/** At most ten reports a second: a frame takes microseconds on a good machine. */
function throttled(io: CommandIo): (at: Progress) => void {
  let last = -Infinity;
  return (at) => {
    if (io.now() - last < PROGRESS_MS && at.frame > 0) return;
    last = io.now();
    void send({ kind: 'progress', ...at });
  };
}
