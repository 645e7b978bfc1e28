/** What the specs of time travel share: a target over a sample trace, and symbols in it. */
import type { Gva } from '../../src/engine/base/address.js';
import { silentLogger } from '../../src/engine/base/log.js';
import type { DebugStop, RunRequest } from '../../src/engine/target.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { TraceReader } from '../../src/engine/trace/reader.js';
import { traceUse } from '../../src/engine/trace/use.js';
import { TravelTarget, type TravelOptions } from '../../src/engine/travel/target.js';
import { tryMachine } from '../../src/machine/choose.js';

export { larger, sample } from '../collections.js';

export interface Opened {
  readonly target: TravelTarget;
  close(): void;
}

export function open(transport: VcpuTransport, folder: string, options: Partial<TravelOptions> = {}): Opened {
  const trace = TraceReader.open(folder);
  const trial = tryMachine(transport, trace.header, true, traceUse(trace));
  if (!trial.ok) throw new Error(`${transport.description} cannot replay ${folder}`);
  const target = TravelTarget.open({
    trace,
    machine: trial.machine,
    log: silentLogger,
    output: () => {},
    memoryLimitBytes: 512 * 2 ** 20,
    stallLimitMicros: 60e6,
    dataBreakpoints: trial.probeReport.dataBreakpoints,
    ...options,
  });
  const close = (): void => {
    target.close();
    trace.close();
  };
  return { target, close };
}

/** Waits for an operation; bounded. */
export function wait(target: TravelTarget): DebugStop {
  for (let slices = 0; slices < 100_000; slices++) {
    const stop = target.poll();
    if (stop) return stop;
  }
  throw new Error(`no stop, at frame ${target.frameTime}`);
}

export function goTo(target: TravelTarget, frameTime: number): DebugStop {
  target.beginGoto(frameTime);
  return wait(target);
}

export function run(
  target: TravelTarget,
  kind: 'continue' | 'step' = 'continue',
  direction: RunRequest['direction'] = 'forward',
  tid = target.currentTid,
): DebugStop {
  target.begin({ direction, tid, mode: { kind } });
  return wait(target);
}

/** The stops of `continue` until one of these kinds, which is the last; at most `limit`. */
export function runUntil(
  target: TravelTarget,
  kinds: readonly DebugStop['kind'][],
  direction: RunRequest['direction'] = 'forward',
  limit = 1000,
): DebugStop[] {
  const stops: DebugStop[] = [];
  while (stops.length < limit) {
    stops.push(run(target, 'continue', direction));
    if (kinds.includes(stops[stops.length - 1].kind)) break;
  }
  return stops;
}

export function symbol(target: TravelTarget, name: string): Gva {
  const address = target.symbol(target.currentTid, name);
  if (address === null) throw new Error(`no symbol ${name}`);
  return address;
}

export function readInt(target: TravelTarget, address: Gva): number {
  const bytes = new Uint8Array(4);
  if (target.readMemory(target.currentTid, address, bytes) < 4) return NaN;
  return new DataView(bytes.buffer).getInt32(0, true);
}
