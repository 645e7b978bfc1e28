import path from 'node:path';
import { RevenantError } from '../../src/engine/base/errors.js';
import { seeded, type Random } from '../trace/mutate.js';
import { copyTrace, type DecodedTrace } from './memory-trace.js';
import { decodedChanges, headerChanges, mutateDecoded } from './mutate-decoded.js';

/** A recording, by its folder. */
export interface Decoded {
  readonly sample: string;
  readonly trace: DecodedTrace;
}

/** Numbers in a message, which differ from trace to trace. */
const VALUES = /0x[0-9a-f]+|\b[0-9a-f]{8,}\b|\d+/g;

/** The outcome of a user's error: its code; of a lost machine also the message, since each kind of it is another fault. */
const outcomeOf = ({ code, message }: RevenantError): string =>
  code === 'E_MACHINE_LOST' ? `${code}: ${message.replace(VALUES, '#')}` : code;

/**
 * Performs one of the traces, changed as the seed says; one in sixteen is unchanged.
 * @returns what `perform` returns, or `outcomeOf` the error that a user would see; throws others, with what was changed
 */
export function performChanged(
  traces: readonly Decoded[],
  seed: number,
  perform: (sample: string, changed: DecodedTrace, random: Random) => string,
): string {
  const random = seeded(seed);
  const { sample, trace } = traces[random(traces.length)];
  const copy = copyTrace(trace);
  const changes = { ...decodedChanges, ...headerChanges };
  const what = random(16) === 0 ? 'nothing changed' : mutateDecoded(copy, random, changes);
  try {
    return perform(sample, copy, random);
  } catch (error) {
    if (error instanceof RevenantError && error.code !== 'E_INTERNAL') return outcomeOf(error);
    throw new Error(`${path.basename(sample)}, ${what}: ${String(error)}`, { cause: error });
  }
}
