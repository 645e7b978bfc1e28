/** `revenant job`: the process that does one job of `revenant ci` or `revenant worker`; started by them only. */
import type { Logger } from '../../engine/base/log.js';
import { hex } from '../../engine/base/address.js';
import { RevenantError } from '../../engine/base/errors.js';
import { DivergenceError, formatReport, reportDocument } from '../../engine/replay/report/report.js';
import { shellStatus } from '../../jobs/find-traces.js';
import type { DivergenceDocument, MachineFacts as JobMachineFacts } from '../../jobs/result.js';
import type { Progress, Replayer, ReplayOutcome } from '../../jobs/run/execute.js';
import { executeJob } from '../../jobs/run/execute.js';
import type { RunMessage, WorkerMessage } from '../../jobs/run/protocol.js';
import type { JobSpec } from '../../jobs/spec.js';
import { Interrupt } from '../interrupt.js';
import type { MachineFacts } from '../../recording/machines.js';
import { Machines } from '../../recording/machines.js';
import type { CommandIo } from '../output.js';
import { processorName } from '../../recording/processor.js';
import type { RunResult } from '../run.js';
import { runSession } from '../run.js';
import { createLogger } from '../log.js';
import { openJobTarget } from '../job-target.js';
import { ReplayAnswerer } from '../questions.js';
import { writeCheckpoint } from '../../engine/persist/file.js';
import type { ReplayCommandOptions } from './replay.js';
import { openTrace } from './replay.js';

const PROGRESS_MS = 100;

/** Waits for the job, does it, sends the result. Returns the exit code. */
export async function jobCommand(io: CommandIo): Promise<number> {
  if (!process.send) {
    throw new RevenantError('E_USAGE', 'revenant job is started by revenant ci and revenant worker only.');
  }
  // A parent that is gone wants nothing any more; the connection to the machine ends with us.
  process.once('disconnect', () => process.exit(0));
  // These may be sent to the whole group of processes; the parent decides what they mean.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
  const { spec, artifacts } = await new Promise<RunMessage>((resolve) => process.once('message', resolve));
  // Kept with a failure; the parent keeps the end of what is long.
  const log = await createLogger(io, true, undefined);
  const result = await executeJob(spec, localReplayer(io, log), {
    artifacts,
    progress: throttled(io),
    provisional: (known) => void send({ kind: 'provisional', result: known }),
    say: (text) => io.err(`revenant: ${text}\n`),
  });
  await send({ kind: 'result', result });
  return 0;
}

function send(message: WorkerMessage): Promise<void> {
  return new Promise((resolve) => {
    // An error means that the parent is gone, which `disconnect` has told already.
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

const traceOptions = (spec: JobSpec): ReplayCommandOptions => ({
  machine: spec.machine,
  cpu: spec.cpu ?? undefined,
  memory: spec.limits.memoryBytes ?? undefined,
  unpacked: spec.unpacked,
  // A result follows from the trace alone: it may be kept, and no file beside the trace can change it.
  checkpoints: false,
  like: spec.like ?? undefined,
  files: spec.files.length > 0 ? spec.files : undefined,
  stallLimit: spec.limits.stallSeconds,
});

const note = (text: string): void => void send({ kind: 'note', text });

function localReplayer(io: CommandIo, log: Logger): Replayer {
  return {
    open: (spec) => openTrace(spec.trace, traceOptions(spec), io),
    brand: (reader) => processorName(reader.header),
    replay: async (spec, hooks) => {
      const interrupt = new Interrupt();
      const machines = new Machines(traceOptions(spec), log, note);
      const trace = openTrace(spec.trace, traceOptions(spec), { ...io, err() {} });
      try {
        const result = await runSession({
          trace,
          machines,
          interrupt,
          log,
          output: (fd, bytes) => hooks.output(fd, bytes),
          stallLimit: spec.limits.stallSeconds,
          until: spec.expect.until ?? Infinity,
          verifyTicks: spec.verifyTicks,
          now: () => io.now(),
          onLost: (text) => io.err(`revenant: ${text}\n`),
          onTurn: (session, seconds) => hooks.progress(session.frameTime, seconds),
        });
        return outcomeOf(result);
      } finally {
        trace.close();
        machines.close();
        interrupt.dispose();
      }
    },
    answerer: async (spec) =>
      new ReplayAnswerer(spec, await openJobTarget(spec, traceOptions(spec), io, log, note)),
    checkpoint: async (spec, frame, file) => {
      const { navigator, target, close } = await openJobTarget(spec, traceOptions(spec), io, log, note);
      try {
        await navigator.to({ kind: 'frame', frame });
        writeCheckpoint(target.session, file);
      } finally {
        close();
      }
    },
  };
}

function outcomeOf(result: RunResult): ReplayOutcome {
  const { failure, frameTime, seconds, exitStatus, machine, stats, outcome } = result;
  return {
    complete: outcome === 'end',
    failure,
    frames: frameTime,
    seconds,
    status: exitStatus === null ? null : shellStatus(exitStatus),
    machine: machine && machineFacts(machine),
    stats: stats && { ...stats },
    divergence:
      failure instanceof DivergenceError
        ? {
            document: reportDocument(failure.report) as DivergenceDocument,
            text: formatReport(failure.report),
          }
        : null,
  };
}

const machineFacts = ({
  kind,
  description,
  guestXcr0,
  xcr0,
  hostProblem,
}: MachineFacts): JobMachineFacts => ({
  kind,
  description,
  guestXcr0: hex(guestXcr0),
  xcr0: hex(xcr0),
  hostProblem,
});
