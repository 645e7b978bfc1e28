/**
 * The table of every trace that must replay: the samples, the larger collection, the groups of recordings and the cases,
 * with what is expected of each.
 */
import path from 'node:path';
import { expect } from 'vitest';
import { findTraces } from '../../src/jobs/manifest/find-traces.js';
import { TraceReader } from '../../src/engine/trace/reader.js';
import { tryMachine } from '../../src/machine/choose.js';
import type { MachineKind } from '../../src/machine/kinds.js';
import { openProcess } from '../../src/machine/process.js';
import { surveyMachine } from '../../src/machine/survey.js';
import { runCli } from '../cli/run-cli.js';
import {
  caseFolder,
  caseNames,
  largerCollection,
  recordingGroups,
  recordings,
  samples,
} from '../collections.js';

const root = path.resolve(import.meta.dirname, '../..');

export interface Listed {
  readonly group: string;
  readonly trace: string;
  /** Below the group's folder. */
  readonly name: string;
}

const folders: readonly { group: string; folder: string }[] = [
  { group: 'traces', folder: samples },
  ...(largerCollection ? [{ group: 'larger', folder: largerCollection }] : []),
  ...recordingGroups.map((group) => ({ group, folder: recordings(group)! })),
  ...caseNames.map((name) => ({ group: name === 'rr-tests' ? name : 'cases', folder: caseFolder(name)! })),
];

/** By the folder that they are below. */
export const table: readonly { group: string; folder: string; traces: readonly Listed[] }[] = folders.map(
  ({ group, folder }) => ({
    group,
    folder,
    traces: findTraces(folder).map((trace) => ({ group, trace, name: path.relative(folder, trace) })),
  }),
);

/** Something about some traces, by group or by trace (`zen2/tree` of a group is `GROUP/zen2/tree`). */
export type ByTrace = Readonly<Record<string, string>>;

export const entryOf = (entries: ByTrace, { group, name }: Listed): string | undefined =>
  entries[group] ?? entries[`${group}/${name}`];

/** Unsupported traces, with the expected error; anything else is a failure. */
const unsupported: ByTrace = {
  'x86-32': 'E_UNSUPPORTED',
};

/** What no process can carry, whatever the processor: refused before it runs. */
const unsupportedInProcess: ByTrace = {
  ...unsupported,
  'traces/haswell/ldt': 'E_MACHINE_CANNOT',
  'layout/full': 'E_MACHINE_CANNOT',
};

export const refusalOf = (machine: MachineKind, listed: Listed): string | undefined =>
  entryOf(machine === 'process' ? unsupportedInProcess : unsupported, listed);

interface Replayed {
  readonly problem: string | null;
  readonly code: string | null;
  readonly frames: number;
  readonly verifiedTicks: number;
  readonly fallbacks: number;
  readonly xcr0: { readonly recorded: string; readonly guest: string };
}

/** Replays a trace by the command, and expects what was recorded: output, exit status, or the refusal. */
export async function expectAsRecorded(
  machine: MachineKind,
  listed: Listed,
  ...options: string[]
): Promise<Replayed> {
  const { trace } = listed;
  const words = ['--machine', machine, ...options];
  const { code, stdout, stderr } = await runCli('replay', '--all', trace, ...words, '--json', '--quiet');
  const [replayed] = (JSON.parse(stdout) as { traces: Replayed[] }).traces;
  const rerun = `bin/revenant replay ${path.relative(root, trace)} ${words.join(' ')}`;
  const refusal = refusalOf(machine, listed);
  if (refusal) {
    expect(replayed, rerun).toMatchObject({ code: refusal, frames: 0 });
    return replayed;
  }
  expect(replayed.problem, `${stderr}to see it again: ${rerun}`).toBeNull();
  expect(replayed.frames).toBeGreaterThan(0);
  expect(replayed.xcr0.guest).toBe(replayed.xcr0.recorded);
  expect(code).toBe(0);
  return replayed;
}

/** The process machine, if there is one here. */
const examined = await surveyMachine('process', {});

/** Why this processor or kernel cannot carry a trace in a process, or null. */
export function whyNotInProcess(trace: string): string | null {
  if (examined.problem !== null) return examined.problem;
  const reader = TraceReader.open(trace);
  try {
    if (reader.incomplete && reader.header.cpuidRecords.length === 0) return null;
    const transport = openProcess();
    try {
      const { compatibility } = tryMachine(transport, reader.header);
      return compatibility.ok ? null : compatibility.reasons[0];
    } finally {
      transport.close();
    }
  } finally {
    reader.close();
  }
}
