import { expect } from 'vitest';
import { silentLogger } from '../../src/engine/base/log.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { ReplaySession, type ReplayOptions } from '../../src/engine/replay/session.js';
import { TraceReader } from '../../src/engine/trace/reader.js';
import { traceUse } from '../../src/engine/trace/use.js';
import { tryMachine } from '../../src/machine/choose.js';

export interface OpenedSession {
  readonly session: ReplaySession;
  /** What is otherwise than on the recorded processor. */
  readonly notes: readonly string[];
  close(): void;
}

/** A replay on a machine, with limits that no sample reaches. */
export const openSession = (
  transport: VcpuTransport,
  folder: string,
  options: Partial<ReplayOptions> = {},
): OpenedSession => openSessionOf(transport, TraceReader.open(folder), options);

/** The same of an open trace, which is closed with it. */
export function openSessionOf(
  transport: VcpuTransport,
  trace: TraceReader,
  options: Partial<ReplayOptions> = {},
): OpenedSession {
  const trial = tryMachine(transport, trace.header, true, traceUse(trace));
  if (!trial.ok)
    throw new Error(
      `${transport.description} cannot replay ${trace.directory}: ${trial.compatibility.reasons.join('\n')}`,
    );
  const session = ReplaySession.open({
    trace,
    machine: trial.machine,
    log: silentLogger,
    output: () => {},
    memoryLimitBytes: 512 * 2 ** 20,
    stallLimitMicros: 60e6,
    ...options,
  });
  const close = (): void => {
    session.close();
    trace.close();
  };
  return { session, notes: trial.compatibility.notes, close };
}

/** A whole replay of an open trace, in less than so many turns: its output, how many instructions were completed, and the machine's notes. */
export function replayWhole(
  transport: VcpuTransport,
  trace: TraceReader,
  turns: number,
): { stdout: string; completed: number; notes: readonly string[] } {
  const chunks: Buffer[] = [];
  const { session, notes, close } = openSessionOf(transport, trace, {
    output: (stream, bytes) => void (stream === 1 && chunks.push(Buffer.from(bytes))),
  });
  try {
    let turn = 0;
    while (session.advance(64, 50_000) !== 'end' && turn < turns) turn++;
    expect(turn).toBeLessThan(turns);
    const stdout = Buffer.concat(chunks).toString();
    return { stdout, completed: session.stats.completedInstructions, notes };
  } finally {
    close();
  }
}
