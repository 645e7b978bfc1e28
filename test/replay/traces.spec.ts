/**
 * Every trace that must replay, in one table: the samples, the larger collection, the groups of recordings and the
 * cases, each in the emulated machine, with the bytes that it printed and its exit status where they are known.
 */
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { findTraces } from '../../src/jobs/manifest/find-traces.js';
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

/** What is refused as yet, by group or by trace, with the error that says so; anything else is a failure. */
const unsupported: Record<string, string> = {
  'x86-32': 'E_UNSUPPORTED',
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

async function replays(group: string, trace: string, name: string): Promise<void> {
  const { code, stdout, stderr } = await runCli(
    'replay',
    '--all',
    trace,
    '--machine',
    'emulated',
    '--json',
    '--quiet',
  );
  const [outcome] = (JSON.parse(stdout) as Outcome).traces;
  const rerun = `bin/revenant replay ${path.relative(root, trace)} --machine emulated`;
  const refusal = entry(unsupported, group, name);
  if (refusal) {
    expect(outcome, rerun).toMatchObject({ code: refusal });
    return;
  }
  expect(outcome.problem, `${stderr}to see it again: ${rerun}`).toBeNull();
  expect(outcome.frames).toBeGreaterThan(0);
  expect(outcome.xcr0.guest).toBe(outcome.xcr0.recorded);
  expect(code).toBe(0);
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
    if (reason) it.skip(`${name} (skipped: ${reason})`, () => {});
    else it(name, () => replays(group, trace, name));
  }
});

if (!largerCollection) it.skip(`the larger collection (skipped: ${MISSING})`, () => {});
