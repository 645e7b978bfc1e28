import { silentLogger } from '../../src/engine/base/log.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { ReplaySession, type ReplayOptions } from '../../src/engine/replay/session.js';
import { TraceReader } from '../../src/engine/trace/reader.js';
import { traceUse } from '../../src/engine/trace/use.js';
import { tryMachine } from '../../src/machine/choose.js';

export interface OpenedSession {
  readonly session: ReplaySession;
  close(): void;
}

/** A replay on the emulated machine, with limits that no sample reaches. */
export function openSession(
  transport: VcpuTransport,
  folder: string,
  options: Partial<ReplayOptions> = {},
): OpenedSession {
  const trace = TraceReader.open(folder);
  const trial = tryMachine(transport, trace.header, true, traceUse(trace));
  if (!trial.ok) throw new Error(`${transport.description} cannot replay ${folder}`);
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
  return { session, close };
}
