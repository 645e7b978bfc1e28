/** A recording opened to be debugged: trace, machine, replay and what a debugger needs of them. */
import path from 'node:path';
import { silentLogger } from '../engine/base/log.js';
import type { StartDiversion } from '../engine/target.js';
import { recordedLayout } from '../engine/x86/xstate-layout.js';
import { PlaceNavigator, visitPlace } from '../recording/navigator.js';
import type { OpenContext } from '../recording/open.js';
import { openLasting } from '../recording/open-lasting.js';
import { requirePlace } from '../recording/place.js';
import { programFiles } from '../recording/program-files.js';
import { goToStart, type StartPlace } from '../recording/start-place.js';
import { uninterrupted } from '../recording/stops.js';
import { makeSysroot, type RecordedFile, type Sysroot } from '../recording/sysroot.js';
import { recordedFiles } from './files/trace-copies.js';
import type { OpenedSession } from './server.js';
import { Session } from './session.js';

/** `output` gets what the program prints before a debugger is there. */
export interface OpenSessionContext extends Omit<OpenContext, 'repeatsOutput'> {
  readonly start: StartPlace;
  readonly divert: StartDiversion | null;
  /** See `SessionOptions.asRr`. */
  readonly asRr?: boolean;
  /** See `SessionOptions.mapped`. */
  readonly mapped?: (file: string) => void;
}

/** A session and the trace's copies of the programs and libraries in it. */
export interface DebuggedRecording extends OpenedSession {
  programFiles(): Iterable<RecordedFile>;
}

/**
 * Opens a separate session, with its own machine, at the place where debugging begins. The
 * program's output goes to the debugger's console, once it is connected. Throws RevenantError.
 */
export async function openSession(context: OpenSessionContext): Promise<DebuggedRecording> {
  const { start, turns = uninterrupted } = context;
  let session: Session | null = null;
  let sysroot: Sysroot | null | undefined;
  const opened = await openLasting({
    ...context,
    note: (text) => (session ? session.say(`[${text}]`) : context.note?.(text)),
    repeatsOutput: true,
    output: (stream, bytes) => (session ? session.console(bytes) : context.output?.(stream, bytes)),
  });
  const { lasting, trace, index } = opened;
  const { divert } = context;
  const programs = (): Iterable<RecordedFile> => programFiles(trace, index.mappedFiles());
  const close = (): void => {
    sysroot?.remove();
    opened.close();
  };
  try {
    const tid = await lasting.travel((target) => {
      const here = opened.on(target);
      return goToStart(here, new PlaceNavigator(here, turns), start);
    });
    const made = new Session({
      replay: lasting,
      recover: (loss) => lasting.recover(loss),
      divert: divert && ((_replay, say) => divert(lasting.replay, say)),
      layout: recordedLayout(trace.header.cpuidRecords, trace.header.xcr0),
      files: recordedFiles(trace, () => index.mappedFiles()),
      copyOf: (recorded) => {
        if (sysroot === undefined) sysroot = makeSysroot(programs());
        return sysroot?.placeOf(recorded) ?? null;
      },
      mapped: (file) => {
        sysroot?.add(file);
        context.mapped?.(file);
      },
      facts: index,
      goTo: (place, turn) =>
        lasting.travel((target) => visitPlace(opened.on(target), requirePlace(place, 'goto'), turn)),
      folder: path.resolve(context.folder),
      log: context.log ?? silentLogger,
      asRr: context.asRr,
    });
    session = made;
    await made.lasting(() => made.begin(tid));
    if (start.atEnd) made.edge = 'end';
  } catch (error) {
    close();
    throw error;
  }
  return { session, close, programFiles: programs };
}
