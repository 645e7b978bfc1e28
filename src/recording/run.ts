import { RevenantError } from '../engine/base/errors.js';
import { OutputClosed } from '../engine/base/system-errors.js';
import type { Logger } from '../engine/base/log.js';
import type { CheckpointFiles } from '../engine/persist/archive.js';
import type { Position } from '../engine/replay/state/position.js';
import { tickStrategyFor } from '../engine/replay/ticks/choose.js';
import type { TicksOption } from './ticks-options.js';
import type { ReplayStats } from '../engine/replay/session.js';
import { ReplaySession } from '../engine/replay/session.js';
import type { TraceReader } from '../engine/trace/reader.js';
import { isLoss, Losses, lostText, PrintedOnce } from './losses.js';
import type { Machine } from '../engine/kvm/machine.js';
import type { MachineFacts, Machines } from './machines.js';
import type { Turns } from './stops.js';

/** Frames between two turns of the event loop: some ten milliseconds, so that Ctrl-C takes effect immediately. */
export const FRAMES_A_TURN = 256;
/** Guest time without an exit after which the event loop gets a turn. */
const BUDGET_MICROS = 50_000;

export interface RunOptions {
  trace: TraceReader;
  machines: Machines;
  turns: Turns;
  log: Logger;
  output: (fd: 1 | 2, bytes: Uint8Array) => void;
  /** Seconds the guest may run without reaching the next frame. */
  stallLimit: number;
  /** FrameTime after which to stop; Infinity for the whole trace. */
  until: number;
  /** Count every tick and compare each frame's. */
  verifyTicks?: boolean;
  /** How the program runs to its events; by default as the machine can. */
  ticks?: TicksOption;
  /** Checkpoints on the way to `until`. */
  archive?: (session: ReplaySession) => CheckpointFiles;
  /** Called when the machine was lost and another is leased. */
  onLost?: (text: string) => void;
  /** The replay starts after this frame. */
  onJump?: (frame: number) => void;
  /** Milliseconds of a monotonic clock. */
  now: () => number;
  /** Called every few milliseconds of replay. */
  onTurn: (session: ReplaySession, seconds: number) => void;
}

export interface RunResult {
  /** `end`: the trace's last frame was replayed; `reached`: `until` was; `failed`: see `failure`. */
  outcome: 'end' | 'reached' | 'failed';
  /** The error that ended the replay. */
  failure: unknown;
  /** The frame after which the replay began: of a checkpoint, or 0. */
  startFrame: number;
  /** FrameTime of the last frame that was replayed. */
  frameTime: number;
  /** Null if the replay did not start. */
  stats: ReplayStats | null;
  /** Seconds of replaying and freeing memory, without starting the machine. */
  seconds: number;
  /** wait(2) status of the first program, or null if the trace or the replay ended before it. */
  exitStatus: number | null;
  recordedXcr0: bigint;
  machine: MachineFacts | null;
  position: Position | null;
}

/**
 * Replays a trace to its end, to a frame or to a failure, yielding to the event loop. If the
 * machine is lost on the way, the replay is repeated on another one, without repeating its output.
 * Throws only errors that end the command (Ctrl-C, standard output closed).
 */
export async function runSession(options: RunOptions): Promise<RunResult> {
  const printed = new PrintedOnce(options.output);
  const losses = new Losses();
  for (;;) {
    const result = await runOnce({ ...options, output: (fd, bytes) => printed.write(fd, bytes) });
    const { failure, frameTime } = result;
    if (!options.machines.mayServe(failure) || !losses.mayGoOn(failure, frameTime)) return result;
    options.onLost?.(lostText(failure as RevenantError, frameTime));
    options.trace.restore(options.trace.beginning);
    printed.again();
  }
}

async function runOnce(options: RunOptions): Promise<RunResult> {
  const result: RunResult = {
    outcome: 'failed',
    failure: null,
    startFrame: 0,
    frameTime: 0,
    stats: null,
    seconds: 0,
    exitStatus: null,
    recordedXcr0: options.trace.header.xcr0,
    machine: null,
    position: null,
  };
  let session: ReplaySession | null = null;
  let used: Machine | null = null;
  let begun = options.now();
  try {
    const machine = await options.turns.guard(options.machines.forTrace(options.trace));
    result.machine = machine.facts;
    used = machine.machine;
    begun = options.now();
    session = ReplaySession.open({
      trace: options.trace,
      machine: machine.machine,
      log: options.log,
      output: options.output,
      memoryLimitBytes: machine.memoryLimitBytes,
      stallLimitMicros: options.stallLimit * 1e6,
      verifyTicks: options.verifyTicks,
      tickStrategy: tickStrategyFor(machine.probeReport, Boolean(options.verifyTicks), options.ticks),
    });
    result.startFrame = options.archive?.(session).goTowards(options.until) ?? 0;
    if (result.startFrame > 0) options.onJump?.(result.startFrame);
    const running = session;
    result.outcome = await advanceTo(running, options.until, () => {
      options.onTurn(running, (options.now() - begun) / 1000);
      return options.turns.turn();
    });
    result.exitStatus = session.exitStatus;
    if (options.until !== Infinity) result.position = session.describe();
  } catch (error) {
    if (endsCommand(error)) throw error;
    result.failure = error;
  } finally {
    if (session) {
      result.frameTime = session.frameTime;
      result.stats = session.stats;
    }
    if (used && isLoss(result.failure)) options.machines.left(used);
    endSession(session, options.machines, result);
    result.seconds = (options.now() - begun) / 1000;
  }
  return result;
}

/** Frees guest memory for the next trace; after a failure the machine itself is released. */
function endSession(session: ReplaySession | null, machines: Machines, result: RunResult): void {
  if (result.failure !== null && result.machine) machines.discard(result.machine.kind);
  // Lost while it was being inspected.
  else if (isLoss(result.failure)) machines.close();
  else session?.close();
}

/** Advances exactly to a frame, or to the end of the recording, with turns of the event loop in between. */
export async function advanceTo(
  session: ReplaySession,
  frame: number,
  turn: () => Promise<void>,
): Promise<'end' | 'reached'> {
  for (;;) {
    const left = frame - session.frameTime;
    if (left <= 0) return 'reached';
    if (session.advance(Math.min(left, FRAMES_A_TURN), BUDGET_MICROS) === 'end') return 'end';
    await turn();
  }
}

const endsCommand = (error: unknown): boolean =>
  error instanceof OutputClosed || (error instanceof RevenantError && error.code === 'E_INTERRUPTED');
