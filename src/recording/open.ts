/** Opens a trace: a machine for it, and a replay that can go to any place. Every front end starts here. */
import { type Logger, silentLogger } from '../engine/base/log.js';
import { recordingDoubt } from '../engine/trace/header.js';
import { TraceReader } from '../engine/trace/reader.js';
import { TravelTarget } from '../engine/travel/target.js';
import { archiveOf, type CheckpointOptions } from './checkpoint-folders.js';
import { CodePlaces } from './code-places.js';
import { isLoss } from './losses.js';
import { Machines, type MachineFacts, type MachineOptions } from './machines.js';
import { uninterrupted, type Turns } from './stops.js';
import { TraceIndex } from './trace-index.js';

/** Options for opening a trace. */
export interface TraceOptions {
  /** The trace was not packed: files of this machine that it refers to are used. */
  readonly unpacked?: boolean;
  /** Folders whose files the trace may refer or link to. */
  readonly files?: readonly string[];
  /** For a trace whose recorder was killed: the folder of another by the same rr and machine. */
  readonly like?: string;
}

export interface RecordingOptions extends MachineOptions, TraceOptions, CheckpointOptions {
  /** Longest time in the guest without reaching the next frame, in seconds. Default 60. */
  readonly stallLimit?: number;
}

export interface OpenContext {
  /** The trace folder. */
  readonly folder: string;
  readonly options: RecordingOptions;
  readonly log?: Logger;
  /** Default: no interruption. */
  readonly turns?: Turns;
  /** Called when a machine is started, with a message for the user. */
  readonly note?: (text: string) => void;
  /** Gets warnings about the trace: a file is not the recorded one, the recorder was killed. */
  readonly warn?: (text: string) => void;
  /** Gets what the recorded program prints while it is replayed. */
  readonly output?: (stream: 1 | 2, bytes: Uint8Array) => void;
  /** See TravelOptions. */
  readonly repeatsOutput?: boolean;
}

export interface OpenedRecording {
  readonly trace: TraceReader;
  /** Initially before the first frame. */
  readonly target: TravelTarget;
  readonly index: TraceIndex;
  readonly places: CodePlaces;
  /** The frame at which the first program begins. */
  readonly firstFrame: number;
  readonly machine: MachineFacts;
  /**
   * After the loss of the machine: a replay on another one, also before the first frame. Memory and
   * checkpoints of `lost` can be read until it is released. Throws RevenantError.
   */
  another(lost: TravelTarget): Promise<TravelTarget>;
  release(lost: TravelTarget): void;
  /** Releases the machine. */
  close(): void;
}

const STALL_LIMIT_SECONDS = 60;
const ignore = (): void => {};

/**
 * Opens a trace to be replayed.
 * @param warn gets warnings about files of this machine that are not the recorded ones, and about the trace
 */
export function openTrace(
  folder: string,
  { unpacked, files, like }: TraceOptions,
  warn: (text: string) => void = ignore,
): TraceReader {
  const trace = TraceReader.open(folder, {
    onForeignFile: unpacked ? warn : undefined,
    fileFolders: files,
    header: like === undefined ? undefined : TraceReader.headerOf(like),
  });
  if (trace.incomplete) warn(`the recorder of ${folder} was killed; what it had written is replayed`);
  const doubt = recordingDoubt(trace.header);
  if (doubt !== null) warn(doubt);
  return trace;
}

/**
 * Throws RevenantError: the trace cannot be read, or has no program; no machine can replay it. Nothing is left open
 * then.
 */
export async function openRecording(context: OpenContext): Promise<OpenedRecording> {
  const { folder, options, log = silentLogger, turns = uninterrupted, note = ignore, output } = context;
  const trace = openTrace(folder, options, context.warn);
  const machines = new Machines(options, log, note);
  const release = (): void => {
    trace.close();
    machines.close();
  };
  try {
    const index = new TraceIndex(() => TraceReader.open(folder));
    const firstFrame = index.requireProgram();
    const open = async (): Promise<{ target: TravelTarget; facts: MachineFacts }> => {
      const { machine, memoryLimitBytes, probeReport, facts } = await turns.guard(machines.forTrace(trace));
      trace.restore(trace.beginning);
      const target = TravelTarget.open({
        trace,
        machine,
        log,
        memoryLimitBytes,
        stallLimitMicros: (options.stallLimit ?? STALL_LIMIT_SECONDS) * 1e6,
        dataBreakpoints: probeReport.dataBreakpoints,
        archive: archiveOf(trace, options),
        output: output ?? ignore,
        repeatsOutput: context.repeatsOutput,
      });
      return { target, facts };
    };
    const { target, facts } = await open();
    let current = target;
    const close = (): void => {
      try {
        current.close();
      } catch (error) {
        // The memory of a lost machine cannot be freed.
        if (!isLoss(error)) throw error;
      } finally {
        release();
      }
    };
    return {
      ...{ trace, target, index, places: new CodePlaces(target, trace), firstFrame, machine: facts },
      another: async (lost) => {
        machines.abandon(lost.session.core.machine);
        return (current = (await open()).target);
      },
      release: (lost) => lost.session.core.machine.close(),
      close,
    };
  } catch (error) {
    release();
    throw error;
  }
}
