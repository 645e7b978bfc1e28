/** Builds what is out of date, then measures: `npm run bench -- [NAME...] [--list] [--json] [--machine KIND]`. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { root, script } from './lib.mjs';
import { ensureReady } from './setup.mjs';
import { unpackGroups } from './unpack.mjs';

/** Groups of recordings that subjects replay (src/bench/subjects). */
const GROUPS = ['forks', 'memory', 'real'];

await script(async () => {
  await ensureReady();
  if (!process.argv.includes('--list')) unpackGroups(GROUPS);
  const main = path.join(root, 'dist/bench/main.js');
  return spawnSync(process.execPath, [main, ...process.argv.slice(2)], { stdio: 'inherit' }).status ?? 1;
});
