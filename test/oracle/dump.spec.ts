import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { findTraces } from '../../src/jobs/manifest/find-traces.js';
import { BlockFile } from '../../src/engine/trace/chunk.js';
import { FileSource } from '../../src/engine/trace/source.js';
import { TraceReader } from '../../src/engine/trace/reader.js';
import { largerCollection, samples } from '../collections.js';
import { rrLines } from './rr-text.js';

/** Every field that rr prints of every frame of every trace that rr can read here equals ours. */

const root = path.resolve(import.meta.dirname, '../..');
const folders = [samples, ...(largerCollection ? [largerCollection] : [])];
// rr prints file names with links resolved.
const traces = folders.map((folder) => fs.realpathSync(folder)).flatMap((folder) => findTraces(folder));

const rr = (...args: string[]): { lines: string[]; error: string | null } => {
  const done = spawnSync('rr', ['dump', ...args], { encoding: 'utf8', maxBuffer: 1 << 28 });
  if (done.error) return { lines: [], error: `rr is not installed (${done.error.message})` };
  const failed = done.status !== 0;
  const reason = done.stderr.split('\n').find((line) => /fatal|error|invalid|wrong/i.test(line));
  const error = failed ? `rr cannot read it here: ${reason ?? `status ${done.status ?? done.signal}`}` : null;
  return { lines: done.stdout.split('\n'), error };
};

const installed = rr('--help').error?.startsWith('rr is not installed') !== true;

/** First difference, or null. Frames are compared as they are read: nothing large is kept but rr's text. */
function difference(trace: string, theirs: string[]): string | null {
  const reader = TraceReader.open(trace);
  try {
    let at = 0;
    for (let frame = reader.advance(); frame !== null; frame = reader.advance()) {
      for (const line of rrLines(reader, frame)) {
        if (line === theirs[at++]) continue;
        return `frame ${frame.frameTime}\nours: ${line}\nrr:   ${theirs[at - 1]}`;
      }
    }
    const rest = theirs.slice(at).filter((line) => line !== '' && !line.startsWith('//'));
    return rest.length === 0 ? null : `rr has more: ${rest[0]}`;
  } finally {
    reader.close();
  }
}

function decompressedSize(file: string): number {
  const blocks = new BlockFile(FileSource.open(file), false);
  blocks.covers(Infinity);
  blocks.close();
  return blocks.indexedEnd;
}

describe.skipIf(!installed)('rr dump (skipped where rr is not installed)', () => {
  for (const trace of traces) {
    it(`agrees about ${path.relative(root, trace)}`, ({ skip }) => {
      const { lines, error } = rr('-b', '-e', '-m', '-p', trace);
      if (error !== null) return skip(error);
      expect(difference(trace, lines)).toBeNull();
    });
  }

  for (const trace of traces) {
    it(`counts as many decompressed bytes in ${path.relative(root, trace)}`, ({ skip }) => {
      const { lines, error } = rr('--statistics', trace, '1');
      if (error !== null) return skip(error);
      const [, expected] = /Uncompressed bytes (\d+)/.exec(lines.join('\n')) ?? [];
      const sizes = ['events', 'data', 'mmaps', 'tasks'].map((name) =>
        decompressedSize(path.join(trace, name)),
      );
      expect(sizes.reduce((sum, size) => sum + size)).toBe(Number(expected));
    });
  }

  it('has traces to compare', () => {
    expect(traces.length).toBeGreaterThan(0);
  });
});
