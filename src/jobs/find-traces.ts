import fs from 'node:fs';
import path from 'node:path';
import { RevenantError } from '../engine/base/errors.js';

const DEEPEST = 16;

const isTrace = (names: string[]): boolean => names.includes('version') || names.includes('incomplete');

/** Every trace folder below `folder` (itself included), sorted; symbolic links are not followed. */
export function findTraces(folder: string): string[] {
  const found: string[] = [];
  const walk = (at: string, depth: number): void => {
    const entries = fs.readdirSync(at, { withFileTypes: true });
    if (isTrace(entries.map((entry) => entry.name))) {
      found.push(at);
      return;
    }
    if (depth >= DEEPEST) return;
    for (const entry of entries) if (entry.isDirectory()) walk(path.join(at, entry.name), depth + 1);
  };
  try {
    walk(folder, 0);
  } catch (error) {
    throw new RevenantError('E_TRACE_MISSING', `Cannot look for traces: ${(error as Error).message}.`);
  }
  return found.sort();
}

/** A trace's path below the folder that was searched; its own name if that is the trace itself. */
export const traceName = (searched: string, trace: string): string =>
  path.relative(searched, trace) || path.basename(path.resolve(trace));

/** What is expected of a trace, from the files beside it; null where nothing is said. */
export interface Expectation {
  stdout: Uint8Array | null;
  /** As a shell sees it: 128 + signal for a fatal one. */
  status: number | null;
}

/** Reads `expected_stdout` and `expected_status` of a trace folder. */
export function readExpectation(trace: string): Expectation {
  const read = (name: string): Buffer | null => {
    const file = path.join(trace, name);
    return fs.statSync(file, { throwIfNoEntry: false })?.isFile() ? fs.readFileSync(file) : null;
  };
  const status = read('expected_status')?.toString('latin1').trim();
  if (status !== undefined && !/^\d{1,3}$/.test(status)) {
    throw new RevenantError('E_TRACE_CORRUPT', `${trace}/expected_status is not a number from 0 to 255.`);
  }
  return { stdout: read('expected_stdout'), status: status === undefined ? null : Number(status) };
}

/** A wait status as a shell reports it. */
export const shellStatus = (wait: number): number =>
  (wait & 0x7f) === 0 ? (wait >> 8) & 0xff : 128 + (wait & 0x7f);
