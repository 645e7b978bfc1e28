// npm run faults [-- --quick | --only TEXT... | --moments N]
//   Runs every command while something around it fails: full disks, limits, closed streams, signals, killed machines, a
//   Redis that comes and goes. Prints a table of exit codes and messages; fails if a code is wrong
//   (70, or 1 without a divergence), a result is lost, or a process or file remains. Everything
//   runs in separate namespaces, apart from other machines, processes and folders.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import process from 'node:process';
import { buildStale, locked } from './build.mjs';
import { staleParts } from './stale.mjs';
import { root } from './lib.mjs';

const namespaces = ['--net', '--mount', '--pid', '--ipc', '--fork', '--kill-child', '--mount-proc'];
const asRoot = process.geteuid?.() === 0 ? [] : ['--map-root-user'];
const program = [path.join(root, 'node_modules/.bin/vite-node'), path.join(root, 'test/faults/main.ts')];
// Else each command would build, in the middle of its fault.
if (staleParts().length > 0) await locked(() => buildStale());
// All of it ends with us, however we end.
const words = ['--pdeathsig', 'KILL', 'unshare', ...asRoot, ...namespaces, process.execPath, ...program];
const run = spawnSync('setpriv', [...words, ...process.argv.slice(2)], { cwd: root, stdio: 'inherit' });
if (run.error)
  process.stderr.write(`faults: setpriv and unshare (util-linux) cannot be run: ${run.error.message}\n`);
process.exit(run.status ?? 1);
