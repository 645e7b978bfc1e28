import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { findTraces } from '../../src/jobs/find-traces.js';
import { runCli } from '../cli/run-cli.js';
import { itOn, larger, largerCollection, samples } from '../collections.js';

const root = path.resolve(import.meta.dirname, '../..');
const collections = [samples, ...(largerCollection ? [largerCollection] : [])];

/** What is not replayed yet, and the error that says so; anything else is a failure. */
const unsupported: Record<string, string> = {};

interface Outcome {
  traces: {
    problem: string | null;
    code: string | null;
    frames: number;
    xcr0: { recorded: string; guest: string };
  }[];
}

describe.each(collections)('every trace below %s, in the emulated machine', (collection) => {
  it.each(findTraces(collection).map((trace) => path.relative(collection, trace)))('%s', async (name) => {
    const trace = path.join(collection, name);
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
    if (unsupported[name]) {
      expect(outcome, rerun).toMatchObject({ code: unsupported[name] });
      return;
    }
    expect(outcome.problem, `${stderr}to see it again: ${rerun}`).toBeNull();
    expect(outcome.frames).toBeGreaterThan(0);
    expect(outcome.xcr0.guest).toBe(outcome.xcr0.recorded);
    expect(code).toBe(0);
  });
});

if (!largerCollection) itOn(larger('zen2'), 'the larger collection', () => {});
