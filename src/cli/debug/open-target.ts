/** A trace, a machine for it, and a replay that goes anywhere: what debugging and questions begin with. */
import type { Logger } from '../../engine/base/log.js';
import { TraceReader } from '../../engine/trace/reader.js';
import { TravelTarget } from '../../engine/travel/target.js';
import { openTrace, type ReplayCommandOptions } from '../commands/replay.js';
import type { Interrupt } from '../interrupt.js';
import { Machines } from '../../recording/machines.js';
import { archiveOf } from '../checkpoint-folders.js';
import type { CommandIo } from '../output.js';
import { Expressions } from '../../expressions/expressions.js';
import { TraceScan } from './facts.js';

export interface OpenTargetOptions {
  readonly folder: string;
  readonly options: ReplayCommandOptions;
  readonly io: CommandIo;
  readonly log: Logger;
  readonly interrupt: Interrupt;
  /** The gdb that evaluates expressions with types. */
  readonly gdb?: string;
  /** That a machine is started; for people. */
  readonly note: (text: string) => void;
  /** What the recorded program prints while it is replayed. */
  readonly output: (stream: 1 | 2, bytes: Uint8Array) => void;
  /** See TravelOptions. */
  readonly repeatsOutput?: boolean;
}

export interface OpenedTarget {
  /** Stands before the first frame. */
  readonly target: TravelTarget;
  readonly trace: TraceReader;
  readonly scan: TraceScan;
  readonly expressions: Expressions;
  close(): void;
}

/** Throws RevenantError; nothing is left open then. */
export async function openTarget(context: OpenTargetOptions): Promise<OpenedTarget> {
  const { folder, options, io, log, interrupt } = context;
  const trace = openTrace(folder, options, io);
  const machines = new Machines(options, log, context.note);
  try {
    const { machine, memoryLimitBytes, attestation } = await interrupt.guard(machines.forTrace(trace));
    const target = TravelTarget.open({
      trace,
      machine,
      log,
      memoryLimitBytes,
      stallLimitMicros: options.stallLimit * 1e6,
      dataBreakpoints: attestation.dataBreakpoints,
      archive: archiveOf(trace, options),
      output: context.output,
      repeatsOutput: context.repeatsOutput,
    });
    const { gdb = 'gdb', note } = context;
    const expressions = new Expressions({ replay: target, trace, gdb, log, note });
    const close = (): void => {
      try {
        expressions.close();
        target.close();
      } finally {
        trace.close();
        machines.close();
      }
    };
    return { target, trace, expressions, scan: new TraceScan(() => TraceReader.open(folder)), close };
  } catch (error) {
    trace.close();
    machines.close();
    throw error;
  }
}
