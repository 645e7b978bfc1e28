/** How a job's worker replays: on machines of this computer. */
import { hex } from '../../engine/base/address.js';
import type { Logger } from '../../engine/base/log.js';
import { writeCheckpoint } from '../../engine/persist/file.js';
import { DivergenceError, formatReport, reportDocument } from '../../engine/replay/report/report.js';
import { openEvaluating, type EvaluatingRecording } from '../../expressions/open.js';
import { Machines, type MachineFacts as RecordingMachine } from '../../recording/machines.js';
import { PlaceNavigator } from '../../recording/navigator.js';
import { openTrace, type RecordingOptions } from '../../recording/open.js';
import { processorName } from '../../recording/processor.js';
import { runSession, type RunResult } from '../../recording/run.js';
import type { Turns } from '../../recording/stops.js';
import { shellStatus, type MachineFacts } from '../model/result.js';
import type { JobSpec } from '../model/spec.js';
import { ReplayAnswerer } from './answerer.js';
import type { Replayer, ReplayOutcome } from './execute.js';

export interface ReplayerOptions {
  readonly log: Logger;
  readonly turns: Turns;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  /** For people, such as that a machine is being started. */
  readonly note: (text: string) => void;
  /** Warnings about the trace; reported once. */
  readonly warn: (text: string) => void;
  /** For the log that is kept of a failure. */
  readonly say: (text: string) => void;
}

/** Of one job after the other. */
export function localReplayer(options: ReplayerOptions): Replayer {
  const { log, turns, note, now, say } = options;
  const open = (spec: JobSpec): Promise<EvaluatingRecording> =>
    openEvaluating({ folder: spec.trace, options: recordingOptions(spec), log, turns, note });
  return {
    open: (spec) => openTrace(spec.trace, recordingOptions(spec), options.warn),
    brand: (reader) => processorName(reader.header),
    replay: async (spec, hooks) => {
      const machines = new Machines(recordingOptions(spec), log, note);
      // Warnings were reported when the trace was first opened.
      const trace = openTrace(spec.trace, recordingOptions(spec));
      try {
        const result = await runSession({
          trace,
          machines,
          turns,
          log,
          output: (fd, bytes) => hooks.output(fd, bytes),
          stallLimit: spec.limits.stallSeconds,
          until: spec.expect.until ?? Infinity,
          verifyTicks: spec.verifyTicks,
          now,
          onLost: say,
          onTurn: (session, seconds) => hooks.progress(session.frameTime, seconds),
        });
        return outcomeOf(result);
      } finally {
        trace.close();
        machines.close();
      }
    },
    answerer: async (spec) => new ReplayAnswerer(spec, await open(spec), turns),
    checkpoint: async (spec, frame, file) => {
      const opened = await open(spec);
      try {
        await new PlaceNavigator(opened, turns).to({ kind: 'frame', frame });
        writeCheckpoint(opened.target.session, file);
      } finally {
        opened.close();
      }
    },
  };
}

const recordingOptions = ({ machine, cpu, limits, unpacked, like, files }: JobSpec): RecordingOptions => ({
  machine,
  cpu: cpu ?? undefined,
  memory: limits.memoryBytes ?? undefined,
  unpacked,
  // A result must depend on the trace alone: it may be cached, and files beside the trace must not change it.
  checkpoints: false,
  like: like ?? undefined,
  files: files.length > 0 ? files : undefined,
  stallLimit: limits.stallSeconds,
});

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
        ? { document: reportDocument(failure.report), text: formatReport(failure.report) }
        : null,
  };
}

const machineFacts = ({ guestXcr0, xcr0, ...rest }: RecordingMachine): MachineFacts => ({
  ...rest,
  guestXcr0: hex(guestXcr0),
  xcr0: hex(xcr0),
});
