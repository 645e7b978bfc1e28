/** Conditions of gdb's watchpoints, which revenant_gdb.py sends: gdb sends those of breakpoints only. */
import { gva, USER_END } from '../engine/base/address.js';
import { asBefore, type Predicate } from '../engine/base/predicate.js';
import { parseConditions } from './agent/conditions.js';
import type { WatchTest } from './breakpoints.js';
import { PacketError, parseCount } from './packet/fields.js';

/**
 * `ADDRESS,LENGTH,CONDITIONS/...`, with conditions as in `Z` packets, one for each place: those that a write is to meet at
 * least one of. Going backwards gdb stops before the write, so that its conditions are about what was there. Throws
 * PacketError.
 * @param predicatesOf undefined where one of the conditions is none
 */
export function parseWatchTests(
  text: string,
  predicatesOf: (codes: readonly Uint8Array[]) => readonly Predicate[] | undefined,
): WatchTest[] {
  const parts = text.split('/').filter((part) => part !== '');
  return parts.map((part) => {
    const match = /^([^,]+),([^,]+),(.+)$/s.exec(part);
    if (!match) throw new PacketError('a condition is not of the form ADDRESS,LENGTH,CONDITIONS');
    const [address, length] = [parseCount(match[1]), parseCount(match[2])];
    if (address + length > USER_END) throw new PacketError('not user-space addresses', 14);
    const forward = predicatesOf(parseConditions(match[3]));
    const before = forward?.map((predicate) => asBefore(predicate, gva(address), address + length));
    const isKnown = before?.every((predicate) => predicate !== null);
    return {
      address,
      length,
      predicates: { forward, backward: isKnown ? (before as readonly Predicate[]) : undefined },
    };
  });
}
