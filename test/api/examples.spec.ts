/** The scripts of examples/, run as their readers would. */
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, expect, it } from 'vitest';

const run = promisify(execFile);
const root = path.resolve(import.meta.dirname, '../..');
const folder = path.join(root, 'examples');

/** What each prints, where it depends on nothing but the recording. */
const EXPECTED: Record<string, RegExp[]> = {
  'inserts.mjs': [
    /^24 keys are inserted: 108 78 /m,
    /^24 calls back, before the first: inserted is 0$/m,
    /^the first is of key 108, from main\nat programs\/tree\.c:65$/m,
  ],
  'who-wrote.mjs': [
    /^in the end, inserted is 21\n.* insert\+0x36 writes it \(programs\/tree\.c:16\)\n {2}before that it is 20$/m,
    /before that it is 18\n$/,
  ],
  'crash.mjs': [
    /^signal 11, reading at 0\nlast at handle, programs\/crash\.c:\d+, depth 0\nits request has the name 0$/m,
    /^and again where the signal came, after frame 123$/m,
  ],
  'threads.mjs': [/^1000 1000 2000 2000, by 2 threads\nmirrored: true\n$/],
  'divert.mjs': [
    /^sum 1431\nprinted 21 lines\n"tree of 21 keys, depth 10, sum 1431"\nstill at print_tree\n$/,
  ],
};

// The first use of the command builds what is out of date.
beforeAll(() => run(path.join(root, 'bin/revenant'), ['--version']));

it('every example is held to something', () => {
  const scripts = fs.readdirSync(folder).filter((name) => name.endsWith('.mjs'));
  expect(scripts.sort()).toEqual(Object.keys(EXPECTED).sort());
});

it.each(Object.entries(EXPECTED))('%s', async (name, expected) => {
  const { stdout } = await run(process.execPath, [path.join(folder, name)], { cwd: '/' });
  for (const pattern of expected) expect(stdout).toMatch(pattern);
});
