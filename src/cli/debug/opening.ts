/** A recording opened to be debugged: trace, machine, replay and what a front end needs of them. */
import path from 'node:path';
import type { Logger } from '../../engine/base/log.js';
import { requirePlace } from '../../engine/base/place.js';
import type { StartDiversion } from '../../engine/target.js';
import { recordedLayout } from '../../engine/x86/xstate-layout.js';
import type { OpenedSession } from '../../debugger/server.js';
import { Session } from '../../debugger/session.js';
import type { ReplayCommandOptions } from '../commands/replay.js';
import type { Interrupt } from '../interrupt.js';
import type { CommandIo } from '../output.js';
import { visitPlace } from '../../recording/navigator.js';
import { openTarget } from './open-target.js';
import { goToPlace, type PlaceOptions } from './places.js';
import { programFiles, recordedFiles } from '../../expressions/recorded-files.js';
import { makeSysroot, type RecordedFile, type Sysroot } from '../../expressions/sysroot.js';

export interface DebugOptions extends ReplayCommandOptions, PlaceOptions {
  /** See `SessionOptions.asRr`. */
  asRr?: boolean;
}

export interface OpenContext {
  readonly folder: string;
  readonly options: DebugOptions;
  readonly io: CommandIo;
  readonly log: Logger;
  readonly interrupt: Interrupt;
  readonly divert: StartDiversion | null;
  /** See `SessionOptions.mapped`. */
  readonly mapped?: (file: string) => void;
  /** What happens before a debugger is there; for people. */
  readonly note: (text: string) => void;
}

/** A session and the trace's copies of the programs and libraries in it. */
export interface OpenedRecording extends OpenedSession {
  programFiles(): Iterable<RecordedFile>;
}

/**
 * Opens a session of its own, with a machine of its own, at the place where debugging begins. What the program prints
 * goes to the debugger's console, once it is there. Throws RevenantError.
 */
export async function openSession(context: OpenContext): Promise<OpenedRecording> {
  const { options, io, log, interrupt } = context;
  let session: Session | null = null;
  let sysroot: Sysroot | null | undefined;
  const opened = await openTarget({
    ...context,
    repeatsOutput: true,
    output: (stream, bytes) => (session ? session.console(bytes) : io.bytes(stream, bytes)),
  });
  const { target, trace, scan } = opened;
  const programs = (): Iterable<RecordedFile> => programFiles(trace, scan.mappedFiles());
  const close = (): void => {
    sysroot?.remove();
    opened.close();
  };
  try {
    const tid = await goToPlace(opened, options, interrupt);
    session = new Session({
      replay: target,
      divert: context.divert,
      layout: recordedLayout(trace.header.cpuidRecords, trace.header.xcr0),
      files: recordedFiles(trace, () => scan.mappedFiles()),
      copyOf: (recorded) => {
        if (sysroot === undefined) sysroot = makeSysroot(programs());
        return sysroot?.placeOf(recorded) ?? null;
      },
      mapped: (file) => {
        sysroot?.add(file);
        context.mapped?.(file);
      },
      facts: scan,
      goTo: (place, turn) => visitPlace(opened, requirePlace(place, 'goto'), turn),
      folder: path.resolve(context.folder),
      log,
      asRr: options.asRr,
    });
    session.begin(tid);
    if (options.atEnd) session.edge = 'end';
  } catch (error) {
    close();
    throw error;
  }
  return { session, close, programFiles: programs };
}
