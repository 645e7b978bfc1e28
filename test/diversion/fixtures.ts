/** A stopped replay, and diversions of it. */
import type { DebugStop, MutableTarget } from '../../src/engine/target.js';
import { silentLogger, type Logger } from '../../src/engine/base/log.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { ReplaySession } from '../../src/engine/replay/session.js';
import { EventKind, SyscallState } from '../../src/engine/trace/frame.js';
import { TraceReader } from '../../src/engine/trace/reader.js';
import { tryMachine } from '../../src/machine/choose.js';

export { traceFolder } from '../collections.js';

export interface Replay {
  session: ReplaySession;
  /** What the program has printed. */
  printed: string;
  advanceTo(frame: number): void;
  toEnd(): void;
  close(): void;
}

export function openReplay(transport: VcpuTransport, folder: string, log: Logger = silentLogger): Replay {
  const trace = TraceReader.open(folder);
  const trial = tryMachine(transport, trace.header);
  if (!trial.ok) throw new Error(`${transport.description} cannot replay ${folder}`);
  const { machine } = trial;
  const replay: Replay = {
    session: ReplaySession.open({
      trace,
      machine,
      log,
      output: (_stream, bytes) => (replay.printed += Buffer.from(bytes).toString()),
      memoryLimitBytes: 2 ** 29,
      stallLimitMicros: 60e6,
      notesFiles: true,
    }),
    printed: '',
    advanceTo(frame) {
      for (let turns = 0; replay.session.frameTime < frame && turns < 100_000; turns++)
        if (replay.session.advance(frame - replay.session.frameTime, 50_000) === 'end') break;
    },
    toEnd() {
      for (let turns = 0; turns < 100_000; turns++) if (replay.session.advance(256, 50_000) === 'end') return;
      throw new Error('the replay does not end');
    },
    close() {
      replay.session.close();
      trace.close();
    },
  };
  return replay;
}

/** The number of the frame before the first program's exit_group. */
export function frameBeforeExit(folder: string): number {
  const trace = TraceReader.open(folder);
  let last = 0;
  for (let frame = trace.advance(); frame; frame = trace.advance()) {
    const isExit =
      frame.kind === EventKind.syscall &&
      frame.syscallNumber === 231 &&
      frame.syscallState !== SyscallState.exiting;
    if (isExit) last = frame.frameTime - 1;
  }
  trace.close();
  return last;
}

/** State that a diversion must not change: registers, vector state, pages in use, of the current task. */
export function standing({ session }: Replay): unknown {
  const { core, tid } = session.stand();
  const task = core.tasks.get(tid)!;
  const state = Buffer.from(core.vectorState(task)).toString('hex');
  const { vector, errorCode, dr6 } = core.machine.context;
  return { tid, registers: [...core.registers(task)], state, vector, errorCode, dr6 };
}

/** Runs to the next stop. */
export function runOn(target: MutableTarget, signal = 0, tid = target.currentTid): DebugStop {
  target.begin({ direction: 'forward', tid, mode: { kind: 'continue' }, signal });
  for (let turns = 0; turns < 10_000; turns++) {
    const stop = target.poll();
    if (stop) return stop;
  }
  throw new Error('the diversion does not stop');
}

export const outputOf = (target: MutableTarget): string =>
  target
    .takeOutput()
    .map(({ bytes }) => Buffer.from(bytes).toString())
    .join('');
