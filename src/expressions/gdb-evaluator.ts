/**
 * Expressions with types from debug information: gdb evaluates them, connected to a gdb server of
 * ours on a diversion. Calls in an expression run in the diversion; their failures are reported as
 * for other calls.
 */
import path from 'node:path';
import { RevenantError } from '../engine/base/errors.js';
import type { Logger } from '../engine/base/log.js';
import type { DebugStop, MutableTarget, ReplayTarget } from '../engine/target.js';
import { mappedFiles } from '../engine/trace/landmarks.js';
import { TraceReader } from '../engine/trace/reader.js';
import { recordedLayout } from '../engine/x86/xstate-layout.js';
import { failureOf } from '../diversion/call/caller.js';
import { DebugServer, type Address } from '../debugger/server.js';
import { Session, type RecordingFacts } from '../debugger/session.js';
import { programOf } from '../debugger/program.js';
import { announce } from '../debugger/resume.js';
import { GdbProcess, type GdbAnswer, type GdbRequest } from './gdb-process.js';
import { recordedFiles } from '../debugger/files/trace-copies.js';
import type { CallFrame, Seat } from '../recording/divert.js';
import { programFiles } from '../recording/program-files.js';
import { makeSysroot, type Sysroot } from '../recording/sysroot.js';

export interface GdbEvaluatorOptions {
  readonly replay: ReplayTarget;
  readonly trace: TraceReader;
  /** The gdb to run. */
  readonly gdb: string;
  readonly log: Logger;
}

/** Interval of calls of `turn`. */
const TURN_MILLIS = 20;
/** sockaddr_un has room for 107 bytes. */
const MAX_SOCKET_PATH = 107;

/** One gdb with the symbols that it has read, and its connection. */
interface Running {
  readonly gdb: GdbProcess;
  readonly server: DebugServer;
  readonly sysroot: Sysroot | null;
}

interface Shown {
  readonly diversion: MutableTarget;
  readonly pid: number;
  /** The file that the process runs. */
  readonly program: string;
}

const facts: RecordingFacts = {
  frameLines: () => notAsked(),
  frameWithin: () => notAsked(),
  jointEnd: () => notAsked(),
  seconds: () => notAsked(),
  frameOfTicks: () => notAsked(),
  birthOf: () => notAsked(),
};

function notAsked(): never {
  throw new RevenantError('E_INTERNAL', 'Expressions do not ask about the recording.');
}

/** One gdb for all expressions of one replay; started with the first. */
export class GdbEvaluator {
  private running: Promise<Running> | null = null;
  private alive: Running | null = null;
  private session: Session | null = null;
  /** The state that gdb has read last; null: it must reconnect. */
  private shown: Shown | null = null;
  private failure: RevenantError | null = null;
  /** Something has run in the diversion. */
  private ran = false;
  private failedConnection: unknown = null;

  constructor(private readonly options: GdbEvaluatorOptions) {}

  /** Starts gdb, which then gets ready by itself. Throws E_DEBUGGER (NoGdb). */
  async prepare(): Promise<void> {
    const { gdb } = await this.start();
    await gdb.spawned;
  }

  /**
   * @returns gdb's answer, and whether anything has run in the diversion for it @throws
   * RevenantError E_EXPRESSION: gdb has ended; E_DIVERSION: a call did not return; E_DEBUGGER
   * (NoGdb); what `turn` throws
   */
  evaluate(text: string, seat: Seat): Promise<GdbAnswer & { readonly ran: boolean }> {
    return this.request({ evaluate: text }, seat);
  }

  /** The stack of the task. Throws as `evaluate`. */
  async stack(seat: Seat): Promise<readonly CallFrame[]> {
    return (await this.request({ stack: true }, seat)).frames ?? [];
  }

  private async request(request: GdbRequest, seat: Seat): Promise<GdbAnswer & { readonly ran: boolean }> {
    const { gdb, server } = await this.start();
    this.failure = null;
    try {
      await this.show(gdb, server, seat);
      this.ran = false;
      const answer = await this.ask(gdb, request, seat);
      const { failure } = this;
      if (answer.error !== undefined && failure) {
        this.shown = null;
        throw failure;
      }
      return { ...answer, ran: this.ran };
    } catch (error) {
      if (error !== this.failure) await this.stop();
      throw error;
    } finally {
      this.session?.takeBack();
    }
  }

  /** Ends gdb. Precondition: nothing is being evaluated. */
  close(): void {
    void this.stop();
  }

  private start(): Promise<Running> {
    return (this.running ??= this.launch());
  }

  private async launch(): Promise<Running> {
    const { trace, gdb } = this.options;
    const reader = TraceReader.open(trace.directory, { header: trace.header });
    let sysroot: Sysroot | null;
    try {
      sysroot = makeSysroot(programFiles(trace, mappedFiles(reader)));
    } finally {
      reader.close();
    }
    const process = new GdbProcess(gdb, sysroot);
    try {
      const server = await DebugServer.listen({
        address: addressIn(sysroot),
        open: () => Promise.resolve({ session: this.openSession(), close: () => {} }),
        onFailure: (error) => (this.failedConnection = error),
      });
      const alive = { gdb: process, server, sysroot };
      this.alive = alive;
      return alive;
    } catch (error) {
      process.close();
      sysroot?.remove();
      throw error;
    }
  }

  private seat: Seat | null = null;

  /** The session that gdb connects to. */
  private openSession(): Session {
    const { replay, trace, log } = this.options;
    const { header } = trace;
    const session = new Session({
      replay,
      divert: null,
      layout: recordedLayout(header.cpuidRecords, header.xcr0),
      files: recordedFiles(trace, () => new Map()),
      copyOf: () => null,
      mapped: (file) => this.alive?.sysroot?.add(file),
      facts,
      goTo: () => notAsked(),
      folder: path.resolve(trace.directory),
      log,
    });
    this.session = session;
    if (this.seat) this.lend(session, this.seat);
    return session;
  }

  private lend(session: Session, { diversion, buffers, tid }: Seat): void {
    session.lend(diversion, buffers, {
      note: (stop) => this.note(diversion, tid, stop),
      failed: (error) => (this.failure = error),
    });
    session.attach(session.pidOf(tid));
    session.select(tid);
  }

  private note(diversion: MutableTarget, tid: number, stop: DebugStop): void {
    this.ran = true;
    this.failure = failureOf(diversion, tid, stop);
  }

  /** Updates gdb's view of the diversion. */
  private async show(gdb: GdbProcess, server: DebugServer, seat: Seat): Promise<void> {
    this.seat = seat;
    const { session, shown } = this;
    const { diversion, tid } = seat;
    const pid = diversion.tasks().find((task) => task.tid === tid)?.pid ?? tid;
    const now: Shown = { diversion, pid, program: programOf(diversion, pid) };
    this.shown = null;
    if (session && !session.closed && shown?.pid === pid && shown.program === now.program) {
      this.lend(session, seat);
      announce(session);
      const synchronize = shown.diversion === diversion ? 'changed' : 'moved';
      await this.require(gdb, { synchronize }, seat);
    } else {
      await this.require(gdb, { connect: server.endpoint }, seat);
    }
    this.shown = now;
  }

  private async require(gdb: GdbProcess, request: GdbRequest, seat: Seat): Promise<void> {
    const { error } = await this.ask(gdb, request, seat);
    if (error === undefined) return;
    throw this.failedConnection ?? new RevenantError('E_EXPRESSION', `gdb cannot read the program: ${error}`);
  }

  private async ask(gdb: GdbProcess, request: GdbRequest, { turn }: Seat): Promise<GdbAnswer> {
    const answer = gdb.ask(request);
    for (;;) {
      const done = await within(answer, TURN_MILLIS);
      if (done) return done;
      try {
        await turn();
      } catch (error) {
        answer.catch(() => {});
        throw error;
      }
    }
  }

  /** The next expression starts another gdb. Waits for a running diversion to stop. */
  private async stop(): Promise<void> {
    const { alive, running } = this;
    this.alive = null;
    this.running = null;
    this.session = null;
    this.shown = null;
    if (alive) await end(alive);
    else if (running) await running.then(end, () => {});
  }
}

/** Process and files are removed immediately, even while something is waited for. */
function end({ gdb, server, sysroot }: Running): Promise<void> {
  gdb.close();
  const closed = server.close();
  sysroot?.remove();
  return closed;
}

/** The answer, or null if there is none within that time. */
async function within(answer: Promise<GdbAnswer>, millis: number): Promise<GdbAnswer | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => (timer = setTimeout(() => resolve(null), millis)));
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A socket in a folder of mode 0700, if possible. */
function addressIn(sysroot: Sysroot | null): Address {
  const socket = sysroot && path.join(sysroot.names, '.socket');
  return socket !== null && Buffer.byteLength(socket) <= MAX_SOCKET_PATH
    ? { kind: 'unix', path: socket }
    : { kind: 'tcp', host: '127.0.0.1', port: 0 };
}
