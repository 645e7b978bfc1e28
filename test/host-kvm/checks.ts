/** What is tried on the host's KVM, as plain data: inside.mjs has the kinds. */
import fs from 'node:fs';
import path from 'node:path';
import { findTraces } from '../../src/jobs/manifest/find-traces.js';

const samples = path.resolve(import.meta.dirname, '../../traces');
const sample = (name: string): string => path.join(samples, name);

export interface Check {
  readonly name: string;
  readonly kind: 'doctor' | 'choice' | 'replay' | 'travel' | 'diversion' | 'checkpoint' | 'gdb';
  readonly trace?: string;
  readonly verifyTicks?: boolean;
}

/** What a check said when it was done. */
export interface Result {
  readonly name: string;
  readonly ok: boolean;
  readonly problem?: string;
  readonly told?: Record<string, unknown>;
  readonly seconds: number;
}

/** Of the larger collection, what the samples lack: threads, timers, shared memory, pipes, a shell. */
const LARGER = [
  'haswell/threads',
  'zen2/bash',
  'zen2/forkpipe',
  'zen2/mappings',
  'zen2/sharedmem',
  'zen2/timers',
];

export const replayOf = (trace: string, name: string): Check & { trace: string } => ({
  name: `replays ${name}`,
  kind: 'replay',
  trace,
});

const tree = sample('skylake-pku/tree');

/**
 * Checks of a few minutes, and the names of those that are left out for lack of their trace.
 * @param larger the folder of the larger collection of traces; null: there is none
 */
export function checks(larger: string | null): { tried: Check[]; leftOut: string[] } {
  const tried: Check[] = [
    { name: 'passes the probe', kind: 'doctor' },
    { name: 'is what auto chooses', kind: 'choice', trace: tree },
    { name: 'runs to places, backwards too, and comes to the same state', kind: 'travel', trace: tree },
    { name: 'calls functions of the program', kind: 'diversion', trace: tree },
    { name: 'continues from checkpoint files', kind: 'checkpoint', trace: sample('zen2/spawn') },
    { name: 'serves gdb', kind: 'gdb', trace: tree },
    { ...replayOf(sample('zen2/race'), 'zen2/race, every tick verified'), verifyTicks: true },
    ...findTraces(samples).map((trace) => replayOf(trace, path.relative(samples, trace))),
  ];
  const leftOut: string[] = [];
  for (const name of LARGER) {
    const check = replayOf(path.join(larger ?? '', name), name);
    if (larger !== null && fs.existsSync(check.trace)) tried.push(check);
    else leftOut.push(check.name);
  }
  return { tried, leftOut };
}
