/** A recording opened to be debugged: trace, machine, replay and what a front end needs of them. */
import type { Logger } from '../../engine/base/log.js';
import type { StartDiversion } from '../../engine/debug/target.js';
import { TraceReader } from '../../engine/trace/reader.js';
import { TravelTarget } from '../../engine/travel/target.js';
import { recordedLayout } from '../../engine/x86/xstate-layout.js';
import type { OpenedSession } from '../../debugger/server.js';
import { Session } from '../../debugger/session.js';
import { openTrace, type ReplayCommandOptions } from '../commands/replay.js';
import type { Interrupt } from '../interrupt.js';
import { Machines } from '../machines.js';
import { archiveOf } from '../checkpoint-folders.js';
import type { CommandIo } from '../output.js';
import { TraceScan } from './facts.js';
import { goToPlace, type PlaceOptions } from './places.js';
import { recordedFiles } from './recorded-files.js';

export interface DebugOptions extends ReplayCommandOptions, PlaceOptions {}

export interface OpenContext {
  readonly folder: string;
  readonly options: DebugOptions;
  readonly io: CommandIo;
  readonly log: Logger;
  readonly interrupt: Interrupt;
  readonly divert: StartDiversion | null;
  /** What happens before a debugger is there; for people. */
  readonly note: (text: string) => void;
}

/**
 * Opens a session of its own, with a machine of its own, at the place where debugging begins. What the program prints
 * goes to the debugger's console, once it is there. Throws RevenantError.
 */
export async function openSession(context: OpenContext): Promise<OpenedSession> {
  const { folder, options, io, log, interrupt } = context;
  const trace = openTrace(folder, options, io);
  const machines = new Machines(options, log, context.note);
  const scan = new TraceScan(() => TraceReader.open(folder));
  let session: Session | null = null;
  let target: TravelTarget | null = null;
  const close = (): void => {
    target?.close();
    trace.close();
    machines.close();
  };
  try {
    const { machine, memoryLimitBytes, attestation } = await interrupt.guard(machines.forTrace(trace));
    target = TravelTarget.open({
      trace,
      machine,
      log,
      memoryLimitBytes,
      stallLimitMicros: options.stallLimit * 1e6,
      dataBreakpoints: attestation.dataBreakpoints,
      archive: archiveOf(trace, options),
      output: (stream, bytes) => (session ? session.console(bytes) : io.bytes(stream, bytes)),
    });
    const tid = await goToPlace(target, scan, options, interrupt);
    session = new Session({
      replay: target,
      divert: context.divert,
      layout: recordedLayout(trace.header.cpuidRecords, trace.header.xcr0),
      files: recordedFiles(trace, () => scan.mappedFiles()),
      frameLines: (from, to) => scan.frameLines(from, to),
      log,
    });
    session.begin(tid);
  } catch (error) {
    close();
    throw error;
  }
  return { session, close };
}
