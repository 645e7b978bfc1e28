/**
 * Every trace that must replay, in one table: the samples, the larger collection, the groups of recordings and the
 * cases, each in the emulated machine and in the process machine, with the bytes that it printed and its exit status where
 * they are known.
 */
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { findTraces } from '../../src/jobs/manifest/find-traces.js';
import { TraceReader } from '../../src/engine/trace/reader.js';
import { tryMachine } from '../../src/machine/choose.js';
import { openProcess } from '../../src/machine/process.js';
import { surveyMachine } from '../../src/machine/survey.js';
import { emulatedProblem } from '../../scripts/emulated-parts.mjs';
import { runCli } from '../cli/run-cli.js';
import {
  caseFolder,
  caseNames,
  largerCollection,
  MISSING,
  recordingGroups,
  recordings,
  samples,
} from '../collections.js';

const root = path.resolve(import.meta.dirname, '../..');

/** Unsupported traces, by group or by trace, with the expected error; anything else is a failure. */
const unsupported: Record<string, string> = {
  'x86-32': 'E_UNSUPPORTED',
};

/** What no process can carry, whatever the processor: refused before it runs. */
const unsupportedInProcess: Record<string, string> = {
  ...unsupported,
  'traces/haswell/ldt': 'E_MACHINE_CANNOT',
};

/** What takes minutes with an exit for each page. */
const tooSlow: Record<string, string> = {
  'memory/big1000': 'a gigabyte is filled by one exit for each page',
};

interface Outcome {
  traces: {
    problem: string | null;
    code: string | null;
    frames: number;
    xcr0: { recorded: string; guest: string };
  }[];
}

const entry = (table: Record<string, string>, group: string, name: string): string | undefined =>
  table[group] ?? table[`${group}/${name}`];

async function replays(machine: string, group: string, trace: string, name: string): Promise<void> {
  const { code, stdout, stderr } = await runCli(
    'replay',
    '--all',
    trace,
    '--machine',
    machine,
    '--json',
    '--quiet',
  );
  const [outcome] = (JSON.parse(stdout) as Outcome).traces;
  const rerun = `bin/revenant replay ${path.relative(root, trace)} --machine ${machine}`;
  const refusal = entry(machine === 'process' ? unsupportedInProcess : unsupported, group, name);
  if (refusal) {
    expect(outcome, rerun).toMatchObject({ code: refusal, frames: 0 });
    return;
  }
  expect(outcome.problem, `${stderr}to see it again: ${rerun}`).toBeNull();
  expect(outcome.frames).toBeGreaterThan(0);
  expect(outcome.xcr0.guest).toBe(outcome.xcr0.recorded);
  expect(code).toBe(0);
}

const emulatedMissing = emulatedProblem();

/** The process machine, if there is one here. */
const examined = await surveyMachine('process', {});

/** Why this processor or kernel cannot carry a trace in a process, or null. */
function whyNotInProcess(trace: string): string | null {
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

const folders: { group: string; folder: string }[] = [
  { group: 'traces', folder: samples },
  ...(largerCollection ? [{ group: 'larger', folder: largerCollection }] : []),
  ...recordingGroups.map((group) => ({ group, folder: recordings(group)! })),
  ...caseNames.map((name) => ({ group: name === 'rr-tests' ? name : 'cases', folder: caseFolder(name)! })),
];

describe.each(folders)('every trace of $group below $folder', ({ group, folder }) => {
  for (const trace of findTraces(folder)) {
    const name = path.relative(folder, trace);
    const reason = entry(tooSlow, group, name);
    if (emulatedMissing !== null) it.skip(`${name}, emulated (skipped: ${emulatedMissing})`, () => {});
    else if (reason) it.skip(`${name}, emulated (skipped: ${reason})`, () => {});
    else it(`${name}, emulated`, () => replays('emulated', group, trace, name));
    it(`${name}, in a process`, ({ skip }) => {
      const problem = whyNotInProcess(trace);
      if (problem !== null) skip(problem);
      return replays('process', group, trace, name);
    });
  }
});

if (!largerCollection) it.skip(`the larger collection (skipped: ${MISSING})`, () => {});
